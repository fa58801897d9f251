//! The identity of the sender of an authenticated request, for every front door.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// The identity of the sender of an authenticated request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A person who signed in at the identity provider.
    Person {
        /// The stable id at the identity provider (`sub`).
        sub: String,
        /// The email address (`email`).
        email: String,
        /// False if the issuer says that nobody has checked that the address is this person's (`email_verified`, `OpenID` Connect Core
        /// 1.0, 5.1). A list of addresses does not let it in.
        email_is_verified: bool,
    },
    /// A service token of Cloudflare Access.
    Service {
        /// Its client id (`common_name`).
        common_name: String,
    },
    /// An account without an email address: a service account of the auth server, or a person without one.
    Account {
        /// The name of the account at the auth server.
        name: String,
    },
}

impl Identity {
    /// Returns a person if there is an email address, otherwise an account. `name` is the name of an account in the allow list; without
    /// it, `sub` is used.
    pub fn of_account(sub: String, email: Option<String>, name: Option<String>) -> Self {
        match email.filter(|email| !email.is_empty()) {
            Some(email) => Self::Person { sub, email, email_is_verified: true },
            None => Self::Account { name: name.filter(|name| !name.is_empty()).unwrap_or(sub) },
        }
    }

    /// The email address, if it is known to be this person's.
    pub fn verified_address(&self) -> Option<&str> {
        match self {
            Self::Person { email, email_is_verified: true, .. } => Some(email),
            _ => None,
        }
    }

    /// The name of this identity in the log, never an email address. If the id is an email address, its digest is used.
    pub fn log_name(&self) -> Cow<'_, str> {
        let name = match self {
            Self::Person { sub: name, .. } | Self::Service { common_name: name } | Self::Account { name } => name,
        };
        if !name.contains('@') {
            return name.into();
        }
        let mut text = "sha256:".to_owned();
        for byte in &digest(&SHA256, name.as_bytes()).as_ref()[..8] {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_never_sees_an_address() {
        let person = Identity::of_account("ada@example.com".to_owned(), Some("ada@example.com".to_owned()), None);
        assert!(!person.log_name().contains("ada") && person.log_name().starts_with("sha256:"), "{}", person.log_name());
        let account = Identity::of_account("7f3a".to_owned(), Some(String::new()), Some("phone-of-ada".to_owned()));
        assert_eq!(account, Identity::Account { name: "phone-of-ada".to_owned() });
        assert_eq!(account.log_name(), "phone-of-ada");
        assert_eq!(Identity::of_account("7f3a".to_owned(), None, None), Identity::Account { name: "7f3a".to_owned() });
    }
}
