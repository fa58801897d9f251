//! People and header lines of the forward-auth tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::TestEnvironment;
use testkit::outpost::{Outpost, Person};

/// A guard that asks an outpost.
pub(crate) type Environment = TestEnvironment<Outpost>;

/// What a browser sends when it goes to a page.
pub(crate) const PAGE: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\n";

/// Ada, whom the outpost knows.
pub(crate) fn ada() -> Person {
    Person::named("Ada")
}

/// A service account: an account without an address.
pub(crate) fn phone() -> Person {
    Person { email: String::new(), ..Person::named("phone-of-ada") }
}

/// An `Authorization` line with a password.
pub(crate) fn basic(user_and_password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(user_and_password))
}
