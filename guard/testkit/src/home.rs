//! A whole home on loopback: an issuer, an Immich, and a real guard between them, as `guard origin` would start it.

use guard::config::{ForwardAuthArgs, FrontDoorArgs, OriginArgs, ProcessArgs};
use guard::origin::start::{OriginServer, start};

use crate::{Immich, Issuer, RawClient, RawUpstream};

/// What stands in one test.
pub struct Home {
    /// The front door's key server.
    pub issuer: Issuer,
    /// The photo server.
    pub immich: Immich,
    /// The guard, ready.
    pub door: OriginServer,
}

impl Home {
    /// Everything with its defaults, and ready.
    pub async fn start() -> Self {
        Self::with(|_args| {}).await
    }

    /// The same, with the guard's arguments changed first.
    pub async fn with(change: impl FnOnce(&mut OriginArgs)) -> Self {
        let issuer = Issuer::start().await;
        let immich = Immich::start().await;
        let mut args = args(&issuer, &immich.url());
        change(&mut args);
        let door = open(&args);
        door.trust_source.ready().await;
        Self { issuer, immich, door }
    }

    /// With one worker, and so one pool, in front of a raw socket that the test answers on.
    pub async fn before_raw_upstream() -> (Self, RawUpstream) {
        let upstream = RawUpstream::start().await;
        let home = Self::with(|args| {
            args.upstream = Some(upstream.url());
            args.process.workers = Some("1".to_owned());
        })
        .await;
        (home, upstream)
    }

    /// A raw connection to the guard.
    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.door.address).await
    }

    /// A token of a person, good for an hour.
    pub fn token(&self) -> String {
        self.issuer.token_for("ada@example.com")
    }

    /// The head of a request by that person: `extra` are whole lines, each with its CRLF.
    pub fn head(&self, request_line: &str, extra: &str) -> String {
        format!("{request_line} HTTP/1.1\r\nHost: photos.example.com\r\nCf-Access-Jwt-Assertion: {}\r\n{extra}\r\n", self.token())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.door.stop();
    }
}

/// Arguments for a guard in front of `upstream`, known as `external`, that asks at `auth_url`.
pub fn asking_args(auth_url: &str, external: &str, upstream: &str) -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs {
        listen: some("127.0.0.1:0"),
        upstream: some(upstream),
        external_url: some(external),
        door: FrontDoorArgs { front_door: some("forward-auth"), ..FrontDoorArgs::default() },
        auth: ForwardAuthArgs { auth_url: some(auth_url), ..ForwardAuthArgs::default() },
        process: process_args(),
        ..OriginArgs::default()
    }
}

/// Arguments for a guard in front of `upstream` that trusts `issuer`: ports chosen by the system, two workers, a short grace.
pub fn args(issuer: &Issuer, upstream: &str) -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs {
        listen: some("127.0.0.1:0"),
        upstream: some(upstream),
        door: door_args(issuer),
        process: process_args(),
        ..OriginArgs::default()
    }
}

/// A front door that trusts `issuer`.
pub fn door_args(issuer: &Issuer) -> FrontDoorArgs {
    let some = |text: &str| Some(text.to_owned());
    FrontDoorArgs {
        access_team: some(issuer.team()),
        access_aud: some(issuer.aud()),
        jwks_url: some(&issuer.url()),
        ..FrontDoorArgs::default()
    }
}

/// An admin port chosen by the system, two workers, a short grace.
pub fn process_args() -> ProcessArgs {
    let some = |text: &str| Some(text.to_owned());
    ProcessArgs { admin_listen: some("127.0.0.1:0"), workers: some("2"), grace: some("10s"), ..ProcessArgs::default() }
}

/// A guard with these arguments, ready or not.
pub fn open(args: &OriginArgs) -> OriginServer {
    start(&args.check().expect("good arguments")).expect("a guard that starts")
}
