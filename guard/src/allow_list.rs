//! The allow list: which of the authenticated identities may use guard.

use crate::identity::Identity;

/// The identities that may enter. An empty list allows every identity of its kind.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    /// Addresses or `@domain`, in lower case (`GUARD_ALLOW_EMAIL`).
    pub emails: Vec<String>,
    /// Common names of service tokens, and names of accounts without an address (`GUARD_ALLOW_SERVICE`).
    pub services: Vec<String>,
}

/// An authenticated identity that is not on the list of its kind. Its text is for the log and names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("verified {kind} is not in {list}")]
pub struct NotListed {
    kind: &'static str,
    list: &'static str,
}

impl AllowList {
    /// Checks that an identity is on the list of its kind, or that this list is empty. An account without an address is not allowed by a
    /// list of addresses: where any list is set, it must be named in `GUARD_ALLOW_SERVICE`.
    ///
    /// # Errors
    /// [`NotListed`] where the identity is not allowed.
    pub fn check(&self, identity: &Identity) -> Result<(), NotListed> {
        let (allowed, list, kind) = match identity {
            Identity::Person { email_is_verified: false, .. } => (
                self.emails.is_empty(),
                "GUARD_ALLOW_EMAIL, which takes verified addresses only",
                "person whose email_verified is false",
            ),
            Identity::Person { email, .. } => {
                // ASCII only: other alphabets have letters that fold into ours, and would be another address.
                let email = email.to_ascii_lowercase();
                // An address with two `@` is one of a quoted local part, or none: its domain is not read.
                let domain =
                    if email.matches('@').count() == 1 { email.find('@').map_or("", |place| &email[place..]) } else { "" };
                let listed = self.emails.iter().any(|entry| *entry == email || *entry == domain);
                (self.emails.is_empty() || listed, "GUARD_ALLOW_EMAIL", "person")
            }
            Identity::Service { common_name } => {
                (self.services.is_empty() || self.services.contains(common_name), "GUARD_ALLOW_SERVICE", "service token")
            }
            Identity::Account { name } => {
                let no_list = self.emails.is_empty() && self.services.is_empty();
                (no_list || self.services.contains(name), "GUARD_ALLOW_SERVICE", "account without an address")
            }
        };
        if allowed { Ok(()) } else { Err(NotListed { kind, list }) }
    }
}

impl AllowList {
    /// Says in one line who may enter.
    pub fn description(&self) -> String {
        match (self.emails.len(), self.services.len()) {
            (0, 0) => "everyone whom the front door authenticates".to_owned(),
            (emails, 0) => format!("{emails} addresses or domains, every service token, no account without an address"),
            (0, services) => format!("every person with an address, {services} service tokens or accounts"),
            (emails, services) => format!("{emails} addresses or domains, {services} service tokens or accounts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lets_in_addresses_and_domains_in_any_case_and_nobody_else() {
        let list =
            AllowList { emails: vec!["ada@example.com".into(), "@family.example".into()], services: vec!["a.access".into()] };
        let person =
            |email: &str| list.check(&Identity::Person { sub: "1".into(), email: email.into(), email_is_verified: true }).is_ok();
        let service = |name: &str| list.check(&Identity::Service { common_name: name.into() }).is_ok();
        assert!(person("ada@example.com") && person("Ada@Example.COM") && person("bob@family.example"));
        assert!(
            !person("eve@example.com") && !person("eve@notfamily.example") && !person("eve@family.example.org") && !person("@")
        );
        assert!(!person("ada@example.com@evil.example") && !person("\"eve@evil.example\"@family.example"), "two @ are no domain");
        let unverified = |list: &AllowList| {
            list.check(&Identity::Person { sub: "1".into(), email: "ada@example.com".into(), email_is_verified: false })
        };
        assert!(unverified(&list).is_err() && unverified(&AllowList::default()).is_ok());
        let kids = AllowList { emails: vec!["@kids.example".into()], ..AllowList::default() };
        let kelvin = Identity::Person { sub: "1".into(), email: "eve@\u{212a}ids.example".into(), email_is_verified: true };
        assert!(kids.check(&kelvin).is_err(), "the Kelvin sign folds into k, and is another domain");
        assert!(service("a.access") && !service("b.access") && !service("A.access"));
        let empty = AllowList::default();
        assert!(empty.check(&Identity::Service { common_name: "any".into() }).is_ok());
    }

    #[test]
    fn who_has_no_address_does_not_slip_past_a_list_of_addresses() {
        let account = Identity::Account { name: "phone-of-ada".into() };
        let list = |emails: &[&str], services: &[&str]| AllowList {
            emails: emails.iter().map(|name| (*name).to_owned()).collect(),
            services: services.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(list(&[], &[]).check(&account).is_ok(), "anyone verified");
        assert!(list(&["ada@example.com"], &[]).check(&account).is_err(), "it is not on the list that there is");
        assert!(list(&["ada@example.com"], &["phone-of-ada"]).check(&account).is_ok());
        assert!(list(&[], &["phone-of-bob"]).check(&account).is_err());
        let nameless = Identity::of_account("1".into(), Some(String::new()), None);
        assert!(list(&["@example.com"], &[]).check(&nameless).is_err());
    }
}
