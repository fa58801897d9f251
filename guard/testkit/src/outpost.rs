//! A stand-in for Authentik's proxy outpost: the questions of a forward-auth client enter and are recorded byte for byte, answers leave
//! as the outpost of authentik 2026.5 gives them, and some that only a broken one gives.
//!
//! | request | nobody is signed in | somebody is |
//! |---|---|---|
//! | `/outpost.goauthentik.io/ping` | 204, for any host | 204 |
//! | `/outpost.goauthentik.io/auth/caddy`, `/auth/traefik` | 302 to the provider and a cookie, also for a wrong password; 500 `configuration error` when `X-Forwarded-Proto`, `-Host` and `-Uri` make no URL | 200 and `X-authentik-*` |
//! | the same, with `X-authentik-auth-callback=true` or `X-authentik-logout=true` in the query of `X-Forwarded-Uri` | the sign-in ends here | the sign-out begins here |
//! | `/outpost.goauthentik.io/auth/nginx` | 401 and a cookie; 500 without `X-Original-URI` and `X-Original-URL` | 200 and `X-authentik-*` |
//! | `/outpost.goauthentik.io/auth/envoy/<path>` | 302, the path is that of the request | 200 and `X-authentik-*` |
//! | `/outpost.goauthentik.io/start?rd=` | 302 to the provider | the same |
//! | `/outpost.goauthentik.io/callback` | 302 to where the sign-in began; 400 with a strange `state` | the same |
//! | `/outpost.goauthentik.io/sign_out` | 302 to `/start` | 302 to the provider's end of session |
//! | a path of [`Config::skip_paths`] | 200 without any identity | 200 and `X-authentik-*` |
//! | any, for a host without an application | 400, JSON, `no app for hostname` | the same |
//!
//! The application is looked up by `X-Forwarded-Host`, else `Host`, exactly. Somebody is signed in by session cookie, by a
//! `Bearer` that is known, or by `Basic` with an app password; the last two start a session, set its cookie, and are remembered for a
//! minute by the very value of `Authorization`. With a provider ([`Config::provider`]) it is a real relying party (`OpenID` Connect Core
//! 1.0, 3.1, with a client secret); without one, [`Outpost::sign_in`] and [`Outpost::grant`] take its place.

mod forwarded;
mod login;
mod routes;
mod sessions;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;
use tokio::sync::watch;

pub use self::login::RelyingParty;
pub use self::sessions::Person;
use self::sessions::Sessions;
pub use self::wire::Question;
use self::wire::{Peer, Reply};
use crate::deadline::{CONDITION, within};
use crate::server::{ANY_PORT, Server};

/// Everything below it belongs to the outpost.
pub const PREFIX: &str = "/outpost.goauthentik.io";
/// The question that guard asks, and Caddy.
pub const AUTH_CADDY: &str = "/outpost.goauthentik.io/auth/caddy";
/// In a query: the sign-in comes back.
pub const CALLBACK_MARK: &str = "X-authentik-auth-callback";
/// In a query: the sign-out begins.
pub const LOGOUT_MARK: &str = "X-authentik-logout";

/// How it is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The external host of its only application, as a URL without a path.
    pub external: String,
    /// Who signs people in; none: [`Outpost::sign_in`] and [`Outpost::grant`].
    pub provider: Option<RelyingParty>,
    /// `skip_path_regex`: a path that has one of these in it needs no sign-in. Unanchored there, too, but a regular expression.
    pub skip_paths: Vec<String>,
    /// Whether another application is there, so that an unknown host is an error: with a single one the host does not matter.
    pub has_neighbour: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { external: "https://photos.example.com".to_owned(), provider: None, skip_paths: Vec::new(), has_neighbour: true }
    }
}

/// How it answers everything but a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As the table says.
    Well,
    /// Reads and never answers.
    Silent,
    /// This status, with a short text.
    Fail(u16),
    /// 200 to everybody, without an identity.
    Nobody,
    /// 200 with all identity headers, and each of them empty.
    Blank,
    /// 302 with a body that never ends.
    Giant,
    /// Half of a head, then the connection closes.
    HalfHead,
    /// 302 whose body breaks off.
    HalfBody,
    /// 302 to a path of the same host: what some other auth servers answer.
    Relative,
    /// 400 `no app for hostname`, whatever the host.
    WrongHost,
}

/// What it did so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every request, in order.
    pub requests: Vec<Question>,
    /// Token requests for app passwords: each is one query to authentik.
    pub token_requests: usize,
    /// Introspections of bearer tokens: likewise.
    pub introspections: usize,
    /// `LOGIN` events: token requests that were granted.
    pub logins: usize,
    /// Sessions that were made, those of nobody in particular among them: each is a row, or a file.
    pub sessions: usize,
    /// Connections that were opened to it.
    pub connections: usize,
}

impl Seen {
    /// The requests that ask about another one: those below `/auth/`.
    pub fn questions(&self) -> Vec<&Question> {
        self.requests.iter().filter(|question| question.path().starts_with("/outpost.goauthentik.io/auth/")).collect()
    }
}

/// The stand-in. It stops, and its connections break, when it is dropped.
#[derive(Debug)]
pub struct Outpost {
    shared: Arc<Shared>,
    server: Option<Server>,
    address: SocketAddr,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: Config,
    sessions: Sessions,
    seen: watch::Sender<Seen>,
    behaviour: Mutex<Behaviour>,
    held: watch::Sender<bool>,
}

impl Outpost {
    /// For `https://photos.example.com`, without a provider.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// As `config` says.
    pub async fn start_with(config: Config) -> Self {
        Self::start_at(ANY_PORT, config).await
    }

    /// The same, at this address.
    pub async fn start_at(address: SocketAddr, config: Config) -> Self {
        let client_id = config.provider.as_ref().map_or(login::CLIENT_ID, |provider| &provider.client_id);
        let seen = watch::Sender::default();
        let shared = Arc::new(Shared {
            sessions: Sessions::new(client_id, &config.external, Clone::clone(&seen)),
            config,
            seen,
            behaviour: Mutex::new(Behaviour::Well),
            held: watch::Sender::new(false),
        });
        let server = listen(address, &shared).await;
        Self { address: server.address(), server: Some(server), shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, as in `GUARD_AUTH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// What it did so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// The latest question; panics when there was none.
    pub fn last_question(&self) -> Question {
        self.shared.seen.borrow().questions().last().copied().cloned().expect("a question came")
    }

    /// Forgets the requests, and counts from 0 again. Sessions stay.
    pub fn forget(&self) {
        self.shared.seen.send_replace(Seen::default());
    }

    /// Waits until `condition` holds; panics with `what` and the last state after 10 s.
    pub async fn wait_until(&self, what: &str, mut condition: impl FnMut(&Seen) -> bool) {
        let mut changes = self.shared.seen.subscribe();
        within(CONDITION, what, changes.wait_for(|seen| condition(seen))).await.expect("it is shared");
    }

    /// The name of its cookie: `authentik_proxy_` and the first 8 hex digits of the client id's SHA-256.
    pub fn cookie_name(&self) -> &str {
        self.shared.sessions.cookie_name()
    }

    /// Signs somebody in without a provider: `name=value` for a `Cookie` field.
    pub fn sign_in(&self, person: &Person) -> String {
        self.shared.sessions.sign_in(person)
    }

    /// A code that a callback takes once, without a provider.
    pub fn grant(&self, person: &Person) -> String {
        self.shared.sessions.grant(person)
    }

    /// Gives somebody an app password: `user:password` for `Authorization: Basic` before it is encoded.
    pub fn app_password(&self, person: &Person) -> String {
        self.shared.sessions.app_password(person)
    }

    /// Takes all app passwords back. Sessions, and what is remembered for a minute, stay.
    pub fn revoke_app_passwords(&self) {
        self.shared.sessions.revoke_app_passwords();
    }

    /// An access token of that person which introspection knows.
    pub fn access_token(&self, person: &Person) -> String {
        self.shared.sessions.access_token(person)
    }

    /// What happens after a minute: no `Authorization` is remembered any more.
    pub fn forget_credentials(&self) {
        self.shared.sessions.forget_credentials();
    }

    /// Changes how the next requests are answered.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// Lets every request wait, after it has been recorded, until [`Outpost::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets held and later requests go on.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Closes its port and breaks its connections.
    pub async fn leave(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Listens where it did before it left.
    pub async fn come_back(&mut self) {
        self.server = Some(listen(self.address, &self.shared).await);
    }
}

async fn listen(address: SocketAddr, shared: &Arc<Shared>) -> Server {
    let shared = Arc::clone(shared);
    Server::start(address, move |stream| {
        let shared = Arc::clone(&shared);
        async move {
            shared.seen.send_modify(|seen| seen.connections += 1);
            // A client may go away at any point; that is its business.
            let _ = serve(&shared, stream).await;
        }
    })
    .await
}

async fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut peer = Peer::new(stream);
    while let Some(question) = peer.read().await? {
        shared.seen.send_modify(|seen| seen.requests.push(question.clone()));
        // The sender lives as long as this value.
        let _ = shared.held.subscribe().wait_for(|held| !held).await;
        let behaviour = *shared.behaviour.lock().unwrap();
        let reply = match behaviour {
            _ if question.path() == "/outpost.goauthentik.io/ping" => Reply::new(204),
            Behaviour::Well => routes::answer(shared, &question).await,
            Behaviour::Silent => return peer.wait_for_close().await,
            Behaviour::Fail(status) => Reply::text(status, "the outpost is not well"),
            Behaviour::Nobody => Reply::new(200),
            Behaviour::Blank => Person::default().headers(Reply::new(200), ""),
            Behaviour::Giant => return peer.flood().await,
            Behaviour::HalfHead => return peer.send(b"HTTP/1.1 200 OK\r\nX-Authentik-Uid: ab").await,
            Behaviour::HalfBody => {
                let head = b"HTTP/1.1 302 Found\r\nLocation: https://sso.family.example/\r\nContent-Length: 100\r\n\r\nhalf";
                return peer.send(head).await;
            }
            Behaviour::Relative => Reply::new(302).with("Location", "/login?next=here"),
            Behaviour::WrongHost => routes::no_app(&question),
        };
        if !peer.answer(&question, reply).await? {
            return Ok(());
        }
    }
    Ok(())
}
