//! A home behind an outpost, and ways to knock.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guard::config::OriginArgs;
use guard::origin::start::OriginServer;
use testkit::home::{asking_args, open};
use testkit::outpost::{Config, Outpost, Person};
use testkit::raw::Response;
use testkit::{Immich, RawClient};

/// What a browser sends when it goes to a page.
pub(crate) const PAGE: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\n";

/// An Immich behind a guard that asks an outpost.
pub(crate) struct Gate {
    pub(crate) outpost: Outpost,
    pub(crate) immich: Immich,
    pub(crate) door: OriginServer,
}

impl Gate {
    /// With its defaults, and ready.
    pub(crate) async fn open() -> Self {
        Self::with(Config::default(), |_args| {}).await
    }

    /// The same with another outpost, and the guard's arguments changed first.
    pub(crate) async fn with(config: Config, change: impl FnOnce(&mut OriginArgs)) -> Self {
        let gate = Self::not_waited_for(config, change).await;
        gate.door.trust_source.ready().await;
        gate.outpost.forget();
        gate
    }

    /// The same, ready or not.
    pub(crate) async fn not_waited_for(config: Config, change: impl FnOnce(&mut OriginArgs)) -> Self {
        let (outpost, immich) = (Outpost::start_with(config).await, Immich::start().await);
        let mut args = args(&outpost.url(), &immich.url());
        change(&mut args);
        Self { door: open(&args), outpost, immich }
    }

    /// The answer to a GET with these whole lines.
    pub(crate) async fn get(&self, target: &str, lines: &str) -> Response {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n")).await
    }

    /// The answer to this request.
    pub(crate) async fn send(&self, request: &str) -> Response {
        let mut client = RawClient::connect(self.door.address).await;
        client.send(request).await;
        client.read_response().await
    }

    /// How many questions came.
    pub(crate) fn questions(&self) -> usize {
        self.outpost.seen().questions().len()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.door.stop();
    }
}

/// Arguments of a guard before `upstream` that asks the outpost at `auth`.
pub(crate) fn args(auth: &str, upstream: &str) -> OriginArgs {
    asking_args(auth, "https://photos.example.com", upstream)
}

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
