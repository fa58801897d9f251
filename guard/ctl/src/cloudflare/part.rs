//! The parts of an account that guardctl reads, and the permission of the API token that each needs.
//!
//! Cloudflare's refusal never names the permission that is missing (403 with code 10000 or 9109), so this table does.

/// A part of an account or of a zone: one kind of object of Cloudflare's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// The token itself.
    Token,
    /// The zone of the host name.
    Zone,
    /// The Zero Trust organization.
    Organization,
    /// The login methods (identity providers).
    LoginMethods,
    /// The rule groups.
    Groups,
    /// The service tokens.
    ServiceTokens,
    /// The reusable policies.
    Policies,
    /// The Access applications.
    Applications,
    /// The tunnels.
    Tunnels,
    /// The configuration of a remotely managed tunnel.
    Ingress,
    /// The DNS records of the host name, and those that lead to the tunnel.
    Records,
    /// The cache rules.
    CacheRules,
    /// The switches of the zone.
    Settings,
    /// Bot Fight Mode and its relatives.
    Bots,
    /// The certificates of the zone.
    Certificates,
}

impl Part {
    /// The name of the part in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Token => "API token",
            Self::Zone => "zone",
            Self::Organization => "Zero Trust organization",
            Self::LoginMethods => "login methods",
            Self::Groups => "rule groups",
            Self::ServiceTokens => "service tokens",
            Self::Policies => "policies",
            Self::Applications => "Access applications",
            Self::Tunnels => "tunnels",
            Self::Ingress => "tunnel configuration",
            Self::Records => "DNS records",
            Self::CacheRules => "cache rules",
            Self::Settings => "zone settings",
            Self::Bots => "bot settings",
            Self::Certificates => "certificates",
        }
    }

    /// The row of the page at which the token is made: scope, group, and the names by which it is also known.
    pub(crate) const fn permission(self) -> &'static str {
        match self {
            Self::Token => "none: every token may look at itself",
            Self::Zone => "Zone > Zone",
            Self::Organization | Self::LoginMethods | Self::Groups => {
                "Account > Access: Organizations, Identity Providers, and Groups"
            }
            Self::ServiceTokens => "Account > Access: Service Tokens",
            Self::Policies | Self::Applications => "Account > Access: Apps and Policies",
            Self::Tunnels | Self::Ingress => "Account > Cloudflare Tunnel (also shown as \"Argo Tunnel (Legacy)\")",
            Self::Records => "Zone > DNS",
            Self::CacheRules => "Zone > Cache Rules (in the API: Cache Settings)",
            Self::Settings => "Zone > Zone Settings",
            Self::Bots => "Zone > Bot Management",
            Self::Certificates => "Zone > SSL and Certificates",
        }
    }
}
