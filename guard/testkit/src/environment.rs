//! A test environment on loopback: a front door, a photo server, and the guard between them.
//!
//! [`TestEnvironment`] is generic over the front door (an [`Issuer`] as at Cloudflare Access, a [`KeyServer`] of another signer, an
//! [`Outpost`] as auth server) and over the guard: in this process ([`OriginServer`]), as a process of its own ([`OriginProcess`]),
//! or none (`()`) where the test starts another proxy.

use std::net::SocketAddr;

use guard::config::{ForwardAuthArgs, FrontDoorArgs, OriginArgs, ProcessArgs};
use guard::jwks::Document;
use guard::origin::start::{OriginServer, start};
use guard::serve::Drained;
use guard::tls::Trust;

use crate::process::{OriginProcess, origin_variables};
use crate::raw::Response;
use crate::signer::KeyServer;
use crate::wait::eventually;
use crate::{Immich, Issuer, Outpost, RawClient, RawUpstream, outpost};

/// The programs around one guard, and the guard.
pub struct TestEnvironment<F = Issuer, G = OriginServer> {
    /// The service that authenticates requests, or the server of its keys.
    pub front_door: F,
    /// The photo server.
    pub immich: Immich,
    /// The guard.
    pub guard: G,
}

/// A guard with a public and an admin port.
pub trait Listening {
    /// The public address.
    fn address(&self) -> SocketAddr;
    /// The address of the probes and the metrics.
    fn admin_address(&self) -> SocketAddr;
}

impl Listening for OriginServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }
}

impl Listening for OriginProcess {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }
}

impl TestEnvironment {
    /// Cloudflare Access with its defaults, and a ready guard in this process.
    pub async fn start() -> Self {
        Self::with(|_args| {}).await
    }

    /// The same, with the guard's arguments changed first.
    pub async fn with(change: impl FnOnce(&mut OriginArgs)) -> Self {
        let issuer = Issuer::start().await;
        let immich = Immich::start().await;
        let mut args = args(&issuer, &immich.url());
        change(&mut args);
        let guard = open(&args);
        guard.trust_source.ready().await;
        Self { front_door: issuer, immich, guard }
    }

    /// With one worker, and so one pool, in front of a raw socket that the test answers on.
    pub async fn before_raw_upstream() -> (Self, RawUpstream) {
        let upstream = RawUpstream::start().await;
        let environment = Self::with(|args| {
            args.upstream = Some(upstream.url());
            args.process.workers = Some("1".to_owned());
        })
        .await;
        (environment, upstream)
    }

    /// Stops the guard and waits for the end of the drain: what it had to cut, and the photo server.
    ///
    /// # Panics
    /// When the guard panicked.
    pub async fn drain(self) -> (Drained, Immich) {
        let Self { immich, guard, .. } = self;
        let drained = tokio::task::spawn_blocking(move || guard.join()).await.expect("the guard does not panic");
        (drained, immich)
    }
}

impl TestEnvironment<Issuer> {
    /// What guard's refresh every ten minutes does, now: fetches the keys once, and returns when the set has `kid`.
    pub async fn refresh_keys(&self, kid: &str) {
        let source = Document::at(self.front_door.url().parse().expect("a URL"), &Trust::new(&[])).expect("a source of keys");
        let keys = self.guard.keys().expect("an issuer with a set of keys");
        let has_arrived = || keys.current().is_some_and(|set| set.find(kid).is_some());
        tokio::select! {
            () = keys.keep_fresh(source) => unreachable!("it keeps fresh for ever"),
            () = eventually("the new key to be fetched", has_arrived) => {}
        }
    }
}

impl TestEnvironment<KeyServer> {
    /// Another signer, whose keys are at `keys`: a ready guard whose front door has these arguments.
    pub async fn signed(keys: KeyServer, door: FrontDoorArgs) -> Self {
        let immich = Immich::start().await;
        let guard = open(&OriginArgs { door, ..base_args(&immich.url()) });
        guard.trust_source.ready().await;
        Self { front_door: keys, immich, guard }
    }
}

impl TestEnvironment<Outpost> {
    /// An auth server with its defaults, and a ready guard.
    pub async fn forward_auth() -> Self {
        Self::forward_auth_with(outpost::Config::default(), |_args| {}).await
    }

    /// The same with another auth server, and the guard's arguments changed first.
    pub async fn forward_auth_with(config: outpost::Config, change: impl FnOnce(&mut OriginArgs)) -> Self {
        let environment = Self::forward_auth_not_ready(config, change).await;
        environment.guard.trust_source.ready().await;
        environment.front_door.forget();
        environment
    }

    /// The same, without waiting until the guard is ready.
    pub async fn forward_auth_not_ready(config: outpost::Config, change: impl FnOnce(&mut OriginArgs)) -> Self {
        let (outpost, immich) = (Outpost::start_with(config).await, Immich::start().await);
        let mut args = forward_auth_args(&outpost.url(), "https://photos.example.com", &immich.url());
        change(&mut args);
        Self { guard: open(&args), front_door: outpost, immich }
    }

    /// How many auth requests the auth server has seen.
    pub fn auth_requests(&self) -> usize {
        self.front_door.seen().questions().len()
    }
}

impl TestEnvironment<Outpost, ()> {
    /// An auth server and a photo server, for a proxy that the test starts.
    pub async fn without_guard(config: outpost::Config) -> Self {
        Self { front_door: Outpost::start_with(config).await, immich: Immich::start().await, guard: () }
    }
}

impl TestEnvironment<Issuer, OriginProcess> {
    /// Cloudflare Access, and the binary `program` as a process of its own with more variables.
    pub async fn process(program: &str, more: &[(&'static str, &str)]) -> Self {
        let (issuer, immich) = (Issuer::start().await, Immich::start().await);
        let mut variables = origin_variables(&issuer, &immich.url());
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { guard: OriginProcess::start(program, &variables).await, front_door: issuer, immich }
    }
}

impl<F, G: Listening> TestEnvironment<F, G> {
    /// A raw connection to the guard.
    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.guard.address()).await
    }

    /// The response to this request, on a connection of its own.
    pub async fn send(&self, request: &str) -> Response {
        let mut client = self.connect().await;
        client.send(request).await;
        client.read_response().await
    }

    /// The response to a GET with these whole header lines.
    pub async fn get(&self, target: &str, lines: &str) -> Response {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n")).await
    }
}

impl<G> TestEnvironment<Issuer, G> {
    /// A token of a person, good for an hour.
    pub fn token(&self) -> String {
        self.front_door.token_for("ada@example.com")
    }

    /// The header line with that token.
    pub fn assertion(&self) -> String {
        format!("Cf-Access-Jwt-Assertion: {}\r\n", self.token())
    }

    /// The head of a request by that person: `extra` are whole lines, each with its CRLF.
    pub fn head(&self, request_line: &str, extra: &str) -> String {
        format!("{request_line} HTTP/1.1\r\nHost: photos.example.com\r\n{}{extra}\r\n", self.assertion())
    }
}

/// Arguments for a guard in front of `upstream`, known as `external`, that asks the auth server at `auth_url`.
pub fn forward_auth_args(auth_url: &str, external: &str, upstream: &str) -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs {
        external_url: some(external),
        door: FrontDoorArgs { front_door: some("forward-auth"), ..FrontDoorArgs::default() },
        auth: ForwardAuthArgs { auth_url: some(auth_url), ..ForwardAuthArgs::default() },
        ..base_args(upstream)
    }
}

/// Arguments for a guard in front of `upstream` that trusts `issuer`.
pub fn args(issuer: &Issuer, upstream: &str) -> OriginArgs {
    OriginArgs { door: door_args(issuer), ..base_args(upstream) }
}

/// Arguments without a front door: ports chosen by the system, two workers, a short grace.
fn base_args(upstream: &str) -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs { listen: some("127.0.0.1:0"), upstream: some(upstream), process: process_args(), ..OriginArgs::default() }
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
///
/// # Panics
/// When the arguments are wrong or no port is free.
pub fn open(args: &OriginArgs) -> OriginServer {
    start(&args.check().expect("good arguments")).expect("a guard that starts")
}
