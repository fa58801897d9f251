//! A fake `<team>.cloudflareaccess.com`: wishes of a test enter, signed tokens and a key set over HTTP leave, or any way a key
//! endpoint can fail.
//!
//! Claims and key set have the shape that Cloudflare documents for an application token and for `/cdn-cgi/access/certs`.

mod forgeries;
mod keys;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::signer::KeyPair;
use aws_lc_rs::digest;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub use self::forgeries::CURED_BY_THE_WIRE;
use self::keys::SharedSigner;
pub use self::keys::{elliptic_jwk, weak_jwk};
use crate::deadline::{CONDITION, within};
use crate::noise::hex;
use crate::server::{ANY_PORT, Server};

/// Where Cloudflare serves the key set of a team.
pub const CERTS_PATH: &str = "/cdn-cgi/access/certs";

const TEAM: &str = "family";
const ISSUER: &str = "https://family.cloudflareaccess.com";
const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";

/// How the certs endpoint answers. The behaviours that spoil a key publish it alone and under the current `kid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// 200 with the current key set.
    Serve,
    /// This status with a JSON error.
    Fail(u16),
    /// Reads the request and never answers.
    Stall,
    /// 302 to this URL. Every path but [`CERTS_PATH`] serves the key set, see [`Issuer::detour`].
    Redirect(String),
    /// 200 with a page that is not JSON.
    Garbage,
    /// 200 with a body that starts like a key set and never ends.
    Grow,
    /// 200 with the whole key set under a `Content-Length` that promises more, then the connection closes.
    Truncate,
    /// 200 with no keys.
    Empty,
    /// 200 with the current key twice: once as it is, once with another modulus under the same `kid`.
    DuplicateKid,
    /// 200 with a 1024-bit modulus.
    WeakKey,
    /// 200 with the current key marked `"use": "enc"`.
    WrongUse,
    /// 200 with a P-256 key.
    NonRsa,
}

/// The fake. It stops when it is dropped.
#[derive(Debug)]
pub struct Issuer {
    shared: Arc<Shared>,
    server: Server,
}

#[derive(Debug)]
struct Shared {
    keys: Mutex<Keys>,
    behaviour: Mutex<Behaviour>,
    fetches: watch::Sender<u64>,
    held: watch::Sender<bool>,
}

struct Keys {
    current: Arc<KeyPair>,
    published: Vec<Value>,
}

impl Issuer {
    /// Starts with two keys, as the real endpoint has: a current one of its own, and a previous one that all issuers of a process
    /// share, because making a key costs a quarter of a second.
    pub async fn start() -> Self {
        let made = tokio::task::spawn_blocking(|| (Arc::new(KeyPair::generate()), SharedSigner::shared().jwk()));
        let (current, previous) = made.await.expect("keys are generated");
        let published = vec![current.jwk(), previous];
        let shared = Arc::new(Shared {
            keys: Mutex::new(Keys { current, published }),
            behaviour: Mutex::new(Behaviour::Serve),
            fetches: watch::Sender::new(0),
            held: watch::Sender::new(false),
        });
        let endpoint = Arc::clone(&shared);
        let server = Server::start(ANY_PORT, move |stream| {
            let shared = Arc::clone(&endpoint);
            async move {
                // The client may go away at any point of an answer; that is its business.
                let _ = shared.answer(stream).await;
            }
        })
        .await;
        Self { shared, server }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// The certs endpoint: `http://127.0.0.1:PORT/cdn-cgi/access/certs`.
    pub fn url(&self) -> String {
        format!("http://{}{CERTS_PATH}", self.addr())
    }

    /// A place beside [`Issuer::url`] that always serves the key set: where a [`Behaviour::Redirect`] would do harm.
    pub fn detour(&self) -> String {
        format!("http://{}/elsewhere", self.addr())
    }

    /// The team: `family`.
    pub fn team(&self) -> &'static str {
        TEAM
    }

    /// The `iss` of its tokens: `https://family.cloudflareaccess.com`, no slash at the end.
    pub fn issuer(&self) -> &'static str {
        ISSUER
    }

    /// The AUD tag of its only application: 64 hex digits.
    pub fn aud(&self) -> &'static str {
        AUD
    }

    /// The claims of a person who logged in just now, for one hour.
    pub fn person(&self, email: &str) -> Value {
        let now = unix_now();
        json!({
            "aud": [AUD], "email": email, "exp": now + 3600, "iat": now, "nbf": now, "iss": ISSUER, "type": "app",
            "identity_nonce": "6ei69kawdKzMIAPF", "sub": uuid_of(email), "country": "DE",
        })
    }

    /// The claims of a service token whose Client ID is `common_name`: no `nbf`, no `email`, an empty `sub`.
    pub fn service(&self, common_name: &str) -> Value {
        let now = unix_now();
        json!({
            "aud": [AUD], "exp": now + 3600, "iat": now, "iss": ISSUER, "type": "app", "common_name": common_name, "sub": "",
        })
    }

    /// A token over `claims`, signed with the current key.
    pub fn mint(&self, claims: &Value) -> String {
        self.signer().mint(claims)
    }

    /// A good token of a person.
    pub fn token_for(&self, email: &str) -> String {
        self.mint(&self.person(email))
    }

    /// The current key. Keep it over [`Issuer::rotate`] to sign with a previous or a retired one.
    pub fn signer(&self) -> Arc<KeyPair> {
        Arc::clone(&self.shared.keys.lock().unwrap().current)
    }

    /// Makes a new current key; the old one becomes the previous one, and what was previous is no longer published.
    /// Returns the new one.
    pub fn rotate(&self) -> Arc<KeyPair> {
        let fresh = Arc::new(KeyPair::generate());
        let mut keys = self.shared.keys.lock().unwrap();
        keys.published = vec![fresh.jwk(), keys.current.jwk()];
        keys.current = Arc::clone(&fresh);
        fresh
    }

    /// Publishes exactly these keys until the next call or rotation. What [`Issuer::mint`] signs with stays the same.
    pub fn publish(&self, keys: Vec<Value>) {
        self.shared.keys.lock().unwrap().published = keys;
    }

    /// Changes how the next fetches are answered.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// The number of requests seen so far, whatever became of them.
    pub fn fetches(&self) -> u64 {
        *self.shared.fetches.borrow()
    }

    /// Waits until `count` requests have been seen; panics after 10 s.
    pub async fn wait_for_fetches(&self, count: u64) {
        let mut seen = self.shared.fetches.subscribe();
        let what = format!("{count} fetches of the key set, {} seen", self.fetches());
        within(CONDITION, &what, seen.wait_for(|fetches| *fetches >= count)).await.expect("the issuer is alive");
    }

    /// Lets every fetch wait, after it has been counted, until [`Issuer::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets held and later fetches go on.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Named tokens that must all be refused, for table tests. Each is wrong in one way only.
    ///
    /// Call it before [`Issuer::rotate`] and [`Issuer::publish`]: the tokens with a duplicate member are signed with the key that
    /// is the previous one at start. A name in [`CURED_BY_THE_WIRE`] is wrong only where no HTTP parser stands before the verifier.
    pub fn forgeries(&self) -> Vec<(&'static str, String)> {
        forgeries::all(self, SharedSigner::shared())
    }

    /// Stops and returns when the port is closed.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl Shared {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(&mut stream);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if reader.read_line(&mut request).await? == 0 {
                return Ok(());
            }
        }
        self.fetches.send_modify(|fetches| *fetches += 1);
        // The sender lives as long as this value.
        let _ = self.held.subscribe().wait_for(|held| !held).await;

        let at_certs = request.split(' ').nth(1) == Some(CERTS_PATH);
        let behaviour = if at_certs { self.behaviour.lock().unwrap().clone() } else { Behaviour::Serve };
        match behaviour {
            Behaviour::Stall => {
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Behaviour::Grow => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n").await?;
                stream.write_all(b"{\"keys\": [").await?;
                let spaces = vec![b' '; 64 * 1024];
                loop {
                    stream.write_all(&spaces).await?;
                }
            }
            Behaviour::Fail(status) => stream.write_all(&reply(status, "", r#"{"success":false}"#, 0)).await?,
            Behaviour::Redirect(target) => {
                stream.write_all(&reply(302, &format!("Location: {target}\r\n"), "", 0)).await?;
            }
            Behaviour::Garbage => stream.write_all(&reply(200, "", "<!doctype html><title>Sign in</title>", 0)).await?,
            Behaviour::Truncate => {
                let document = self.document(&Behaviour::Serve);
                stream.write_all(&reply(200, "", &document, 64)).await?;
            }
            spoiled => {
                let document = self.document(&spoiled);
                stream.write_all(&reply(200, "", &document, 0)).await?;
            }
        }
        stream.shutdown().await
    }

    fn document(&self, behaviour: &Behaviour) -> String {
        let keys = self.keys.lock().unwrap();
        let kid = keys.current.kid();
        let published = match behaviour {
            Behaviour::Empty => Vec::new(),
            Behaviour::DuplicateKid => {
                let mut twin = SharedSigner::shared().jwk();
                twin["kid"] = kid.into();
                vec![keys.current.jwk(), twin]
            }
            Behaviour::WeakKey => vec![weak_jwk(kid)],
            Behaviour::WrongUse => {
                let mut key = keys.current.jwk();
                key["use"] = "enc".into();
                vec![key]
            }
            Behaviour::NonRsa => vec![elliptic_jwk(kid)],
            _ => keys.published.clone(),
        };
        // The real document carries certificates too, and says not to read them; here they are bare public keys.
        let certificate = json!({"kid": kid, "cert": keys.current.public_pem()});
        json!({"keys": published, "public_cert": certificate, "public_certs": [certificate]}).to_string()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("current", &self.current.kid()).field("published", &self.published).finish()
    }
}

/// Seconds since 1970, as `iat` and `exp` count them.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

fn reply(status: u16, extra: &str, body: &str, promised_too_much: usize) -> Vec<u8> {
    let length = body.len() + promised_too_much;
    format!(
        "HTTP/1.1 {status} Fake\r\nContent-Type: application/json\r\n{extra}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The same person has the same `sub` in every token.
fn uuid_of(email: &str) -> String {
    let hash = digest::digest(&digest::SHA256, email.as_bytes());
    let hex = hex(&hash.as_ref()[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
