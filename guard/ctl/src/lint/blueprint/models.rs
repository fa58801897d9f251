//! The models of Authentik that a blueprint may use here, with their identifiers, their attributes and their required fields.
//!
//! Source: authentik "Blueprints, Models" and the API reference, 2026.5. The table contains only what this repository uses.

/// A model of Authentik.
pub struct Model {
    /// The name, as `app.model`.
    pub name: &'static str,
    /// The fields that may identify an object of this model.
    pub identifiers: &'static [&'static str],
    /// The attributes that an entry may have beside its identifiers.
    pub attributes: &'static [&'static str],
    /// The fields that an entry must have, as attribute or identifier.
    pub required: &'static [&'static str],
}

/// The flows that every provider needs: to authorize, and to sign out.
pub const FLOWS: [&str; 2] = ["authorization_flow", "invalidation_flow"];

/// A provider for sign-in with `OpenID Connect`.
pub const OAUTH2_PROVIDER: &str = "authentik_providers_oauth2.oauth2provider";
/// A provider for authentication in front of an application: proxy or forward auth.
pub const PROXY_PROVIDER: &str = "authentik_providers_proxy.proxyprovider";
/// The claims of a scope.
pub const SCOPE_MAPPING: &str = "authentik_providers_oauth2.scopemapping";
/// An application.
pub const APPLICATION: &str = "authentik_core.application";
/// A rule that says who may use an application.
pub const BINDING: &str = "authentik_policies.policybinding";
/// A group.
pub const GROUP: &str = "authentik_core.group";
/// A user: a person or a service account.
pub const USER: &str = "authentik_core.user";
/// A token, for example the password of a phone.
pub const TOKEN: &str = "authentik_core.token";
/// An outpost: the program that authenticates requests for a proxy provider.
pub const OUTPOST: &str = "authentik_outposts.outpost";

/// All models.
pub const MODELS: [Model; 9] = [
    Model { name: GROUP, identifiers: &["name"], attributes: &["attributes", "parents", "users"], required: &[] },
    Model {
        name: USER,
        identifiers: &["username"],
        attributes: &["name", "email", "type", "path", "groups", "is_active", "attributes"],
        required: &["name", "type"],
    },
    Model {
        name: TOKEN,
        identifiers: &["identifier"],
        attributes: &["user", "intent", "description", "expiring", "expires", "key"],
        required: &["user", "intent", "key"],
    },
    Model {
        name: SCOPE_MAPPING,
        identifiers: &["name", "managed"],
        attributes: &["name", "scope_name", "description", "expression"],
        required: &["scope_name", "expression"],
    },
    Model {
        name: OAUTH2_PROVIDER,
        identifiers: &["name"],
        attributes: &[
            "authentication_flow",
            "authorization_flow",
            "invalidation_flow",
            "client_type",
            "client_id",
            "client_secret",
            "access_code_validity",
            "access_token_validity",
            "refresh_token_validity",
            "include_claims_in_id_token",
            "signing_key",
            "redirect_uris",
            "logout_uri",
            "logout_method",
            "sub_mode",
            "issuer_mode",
            "property_mappings",
        ],
        required: &["client_type", "client_id", "client_secret", "redirect_uris", "property_mappings"],
    },
    Model {
        name: PROXY_PROVIDER,
        identifiers: &["name"],
        attributes: &[
            "authentication_flow",
            "authorization_flow",
            "invalidation_flow",
            "mode",
            "external_host",
            "internal_host",
            "internal_host_ssl_validation",
            "intercept_header_auth",
            "skip_path_regex",
            "cookie_domain",
            "basic_auth_enabled",
            "access_token_validity",
            "refresh_token_validity",
        ],
        required: &["mode", "external_host"],
    },
    Model {
        name: APPLICATION,
        identifiers: &["slug"],
        attributes: &[
            "name",
            "provider",
            "group",
            "policy_engine_mode",
            "meta_launch_url",
            "meta_description",
            "open_in_new_tab",
        ],
        required: &["name", "provider"],
    },
    Model {
        name: BINDING,
        identifiers: &["target", "order"],
        attributes: &["policy", "group", "user", "enabled", "negate", "timeout", "failure_result"],
        required: &["target", "order"],
    },
    Model {
        name: OUTPOST,
        identifiers: &["name"],
        attributes: &["type", "providers", "config", "service_connection", "managed"],
        required: &["type", "providers", "config"],
    },
];

/// What `!Find` may look up: the model, the field, and the allowed values. An empty list allows any value.
pub const FINDABLE: [(&str, &str, &[&str]); 3] = [
    (
        "authentik_flows.flow",
        "slug",
        &[
            "default-provider-authorization-implicit-consent",
            "default-provider-authorization-explicit-consent",
            "default-provider-invalidation-flow",
            "default-invalidation-flow",
        ],
    ),
    ("authentik_crypto.certificatekeypair", "name", &[]),
    (
        SCOPE_MAPPING,
        // Name and scope are not unique: a mapping of this repository has the same scope as one of Authentik.
        "managed",
        &[
            "goauthentik.io/providers/oauth2/scope-openid",
            "goauthentik.io/providers/oauth2/scope-email",
            "goauthentik.io/providers/oauth2/scope-profile",
            "goauthentik.io/providers/oauth2/scope-offline_access",
        ],
    ),
];

impl Model {
    /// Returns the model with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// Whether the model has an identifier or attribute with this name.
    pub fn knows(&self, field: &str) -> bool {
        self.identifiers.contains(&field) || self.attributes.contains(&field)
    }
}
