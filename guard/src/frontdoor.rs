//! Who vouches for a request: its headers in, a [`Verified`] identity out, or the refusal.
//!
//! One variant a front door. Decision comes before effect: nothing is stripped before this has looked.

pub mod cloudflare;
pub mod opening;

use hyper::header::HeaderMap;

use crate::assertion::{Identity, Verified};
use crate::config::AllowList;
use crate::refusal::{Reason, Refusal};

/// The configured front door, with the state that one worker keeps of it.
pub enum FrontDoor {
    /// Cloudflare Access.
    CloudflareAccess(cloudflare::Access),
}

impl FrontDoor {
    /// Who sent the request, with proof, at `now` (seconds since 1970).
    pub async fn identify(&self, headers: &HeaderMap, now: u64) -> Result<Verified, Refusal> {
        match self {
            Self::CloudflareAccess(access) => access.identify(headers, now).await,
        }
    }

    /// Whether a cookie of this name belongs to the front door, not to Immich.
    pub fn owns_cookie(&self, name: &[u8]) -> bool {
        match self {
            Self::CloudflareAccess(_) => cloudflare::owns_cookie(name),
        }
    }
}

impl AllowList {
    /// Refuses a verified identity that is not on the list of its kind. An empty list lets everyone of that kind in.
    pub fn permits(&self, identity: &Identity) -> Result<(), Refusal> {
        let permitted = match identity {
            Identity::Person { email, .. } => {
                let email = email.to_lowercase();
                let domain = email.rfind('@').map_or("", |place| &email[place..]);
                self.emails.is_empty() || self.emails.iter().any(|entry| *entry == email || *entry == domain)
            }
            Identity::Service { common_name } => self.services.is_empty() || self.services.contains(common_name),
        };
        let (list, kind) = match identity {
            Identity::Person { .. } => ("GUARD_ALLOW_EMAIL", "person"),
            Identity::Service { .. } => ("GUARD_ALLOW_SERVICE", "service token"),
        };
        if permitted { Ok(()) } else { Err(Refusal::new(Reason::Forbidden, format!("verified {kind} is not in {list}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lets_in_addresses_and_domains_in_any_case_and_nobody_else() {
        let list =
            AllowList { emails: vec!["ada@example.com".into(), "@family.example".into()], services: vec!["a.access".into()] };
        let person = |email: &str| list.permits(&Identity::Person { sub: "1".into(), email: email.into() }).is_ok();
        let service = |name: &str| list.permits(&Identity::Service { common_name: name.into() }).is_ok();
        assert!(person("ada@example.com") && person("Ada@Example.COM") && person("bob@family.example"));
        assert!(
            !person("eve@example.com") && !person("eve@notfamily.example") && !person("eve@family.example.org") && !person("@")
        );
        assert!(!person("ada@example.com@evil.example"), "only the last part is the domain");
        assert!(service("a.access") && !service("b.access") && !service("A.access"));
        let empty = AllowList::default();
        assert!(empty.permits(&Identity::Service { common_name: "any".into() }).is_ok());
    }
}
