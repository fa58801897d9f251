//! Everything on loopback in one process: an issuer, a small photo server, the guard between them, and a stand-in for the edge that a
//! browser can use. The tour sends real requests and says what each proves; then the home stays up for a look.

pub mod client;
pub mod cloud_run;
pub mod edge;
pub mod google;
pub mod idtoken;
pub mod issuer;
pub mod keyserver;
pub mod nas;
pub mod photos;
mod steps;
pub mod text;
pub mod tour;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::config::{FrontDoorArgs, OriginArgs, Problems, ProcessArgs};
use crate::idtoken::start::OpenError;
use crate::origin::start::{OriginServer, start};
use crate::serve::sockets::StartError;
use issuer::Signer;
use keyserver::KeyServer;
use photos::Photos;

/// The demo's team, as in `GUARD_ACCESS_TEAM`.
pub const TEAM: &str = "family";
/// The demo's AUD tag, in the shape of Cloudflare's.
pub const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
/// Who may enter: `GUARD_ALLOW_EMAIL`.
pub const ALLOWED: &str = "@family.example";

/// `guard demo`.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Another story than that of the door
    #[arg(value_enum)]
    pub story: Option<Story>,
    /// End after the tour; the exit code is 1 if any step differs
    #[arg(long)]
    pub tour: bool,
    /// Put a real Immich behind the guard, as <http://host:port>; the tour then keeps to what guard decides by itself
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Where a browser may look [default: a free port on loopback]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
}

/// Stories besides that of the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// The gate before the disk.
    Nas,
    /// The way out, to Cloud Run.
    Idtoken,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The arguments are wrong.
    #[error(transparent)]
    Arguments(#[from] Problems),
    /// The guard did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The way out did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A socket could not be had.
    #[error("the demo's own servers: {0}")]
    Io(#[from] std::io::Error),
}

/// A home on loopback.
pub struct Home {
    /// Who signs.
    pub signer: Arc<Signer>,
    /// Where the keys are published.
    pub keys: KeyServer,
    /// The photo server; none where a real Immich stands behind.
    pub photos: Option<Photos>,
    /// The guard.
    pub door: OriginServer,
    upstream: String,
}

impl Home {
    /// Starts everything; the guard is ready when this returns.
    pub async fn start(args: &DemoArgs) -> Result<Self, DemoError> {
        let signer = Arc::new(Signer::generate());
        let keys = KeyServer::start(vec![signer.jwk()])?;
        let photos = match &args.upstream {
            Some(_) => None,
            None => Some(Photos::start()?),
        };
        let upstream = args.upstream.clone().or_else(|| photos.as_ref().map(Photos::url)).unwrap_or_default();
        let door = start(&guard_args(&keys, &upstream).check()?)?;
        door.trust_source.ready().await;
        Ok(Self { signer, keys, photos, door, upstream })
    }

    /// A second guard of the same home: the tour closes it.
    pub async fn another_door(&self) -> Result<OriginServer, DemoError> {
        let door = start(&guard_args(&self.keys, &self.upstream).check()?)?;
        door.trust_source.ready().await;
        Ok(door)
    }

    /// What Access says of a person, good for an hour.
    pub fn person(&self, email: &str) -> Value {
        let now = unix_now();
        json!({
            "aud": [AUD], "email": email, "exp": now + 3600, "iat": now, "nbf": now, "type": "app", "country": "NL",
            "iss": format!("https://{TEAM}.cloudflareaccess.com"), "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
            "identity_nonce": "6ei69kawdKzMIAPF",
        })
    }

    /// A token of someone of the family.
    pub fn token(&self) -> String {
        self.signer.mint(&self.person("ada@family.example"))
    }
}

fn guard_args(keys: &KeyServer, upstream: &str) -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs {
        listen: some("127.0.0.1:0"),
        upstream: some(upstream),
        door: FrontDoorArgs {
            access_team: some(TEAM),
            access_aud: some(AUD),
            jwks_url: Some(keys.url()),
            allow_email: some(ALLOWED),
            ..FrontDoorArgs::default()
        },
        lan_url: some("http://nas.lan:30283"),
        process: ProcessArgs { admin_listen: some("127.0.0.1:0"), grace: some("10s"), ..ProcessArgs::default() },
        ..OriginArgs::default()
    }
}

/// Runs the demo; `true` if every step of the tour was as wanted.
pub async fn run(args: &DemoArgs) -> Result<bool, DemoError> {
    match args.story {
        Some(Story::Nas) => return Ok(nas::run()?),
        Some(Story::Idtoken) => return idtoken::run().await,
        None => {}
    }
    let home = Home::start(args).await?;
    let passed = tour::run(&home).await;
    if args.tour {
        home.door.stop();
        return Ok(passed);
    }
    let listen = args.listen.as_deref().unwrap_or("127.0.0.1:0");
    let edge = edge::start(listen, home.door.address, home.signer.clone(), home.person("ada@family.example")).await?;
    let (guard, admin, token) = (home.door.address, home.door.admin_address, home.token());
    println!(
        "\nThe home stays up; Ctrl-C ends it.\n\
         \n  in a browser, signed in by a stand-in for Cloudflare's edge   http://{edge}/\
         \n  the guard itself, as cloudflared sees it                      http://{guard}/\
         \n  its status page                                               http://{admin}/\n\
         \n  export TOKEN={token}\n\
         \n  curl -i http://{guard}/                                        # 401: no proof\
         \n  curl -i -H \"Cf-Access-Jwt-Assertion: $TOKEN\" http://{guard}/   # 200\
         \n  curl -i http://{admin}/readyz                                 # ok\n"
    );
    let _ = tokio::signal::ctrl_c().await;
    home.door.stop();
    Ok(passed)
}

/// A listener on a free port of loopback.
pub(crate) fn loopback() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
