//! Who is behind a verified request, whoever vouched for it.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// Who is behind a verified request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A person who signed in at the identity provider.
    Person {
        /// The stable id (`sub`).
        sub: String,
        /// The address (`email`).
        email: String,
    },
    /// A service token of Cloudflare Access.
    Service {
        /// Its client id (`common_name`).
        common_name: String,
    },
    /// An account without an address: a service account of the auth server, or a person who gave none.
    Account {
        /// Its name there.
        name: String,
    },
}

impl Identity {
    /// A person where there is an address, an account where there is none. `name` is what an account without an address is listed by.
    pub fn of_account(sub: String, email: Option<String>, name: Option<String>) -> Self {
        match email.filter(|email| !email.is_empty()) {
            Some(email) => Self::Person { sub, email },
            None => Self::Account { name: name.filter(|name| !name.is_empty()).unwrap_or(sub) },
        }
    }

    /// What the log calls this identity: never an address. Some auth servers use one as the id; that becomes its digest.
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
