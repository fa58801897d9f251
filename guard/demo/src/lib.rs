//! The demo: an issuer, a small photo server, the real `guard` binary between them as a child process, and a stand-in for Cloudflare's edge
//! that a browser can use. The tour sends real requests and says what each response proves; then everything stays up for a look.

pub mod client;
pub mod edge;
pub mod guard_process;
pub mod idtoken;
pub mod nas;
mod steps;
pub mod tour;

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use guard::config::{OriginArgs, Problems};
use serde_json::Value;
use testkit::Issuer;
use testkit::photos::Photos;
use testkit::process::origin_variables;

use guard_process::GuardProcess;

/// The identities that may enter: `GUARD_ALLOW_EMAIL`.
pub const ALLOWED: &str = "@family.example";

/// The arguments of `guard-demo`.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Another part of guard than `guard origin`
    #[arg(value_enum)]
    pub story: Option<Story>,
    /// End after the tour; the exit code is 1 if any step differs
    #[arg(long)]
    pub tour: bool,
    /// Put a real Immich behind guard, as <http://host:port>; the tour then keeps to what guard decides by itself
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// The address for a browser [default: a free port on loopback]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The guard binary [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    pub guard: Option<PathBuf>,
}

/// The parts of guard that have a demo of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// `guard nas`: the check of the NAS mount.
    Nas,
    /// `guard idtoken`: outbound requests to Cloud Run.
    Idtoken,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The arguments are wrong.
    #[error(transparent)]
    Arguments(#[from] Problems),
    /// A process or a socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the tour runs against.
pub struct Home {
    /// The issuer of assertions, with its key server.
    pub issuer: Issuer,
    /// The photo server; none where a real Immich stands behind guard.
    pub photos: Option<Photos>,
    /// The guard.
    pub guard: GuardProcess,
    /// The path of its binary.
    pub program: PathBuf,
    upstream: String,
}

impl Home {
    /// Starts everything. guard is ready when this returns.
    ///
    /// # Errors
    /// Where the arguments are wrong, or a process or a socket fails.
    pub async fn start(args: &DemoArgs) -> Result<Self, DemoError> {
        let program = guard_process::find(args.guard.as_deref())?;
        let issuer = Issuer::start().await;
        let photos = match &args.upstream {
            Some(_) => None,
            None => Some(Photos::start()?),
        };
        let upstream = args.upstream.clone().or_else(|| photos.as_ref().map(Photos::url)).unwrap_or_default();
        check_upstream(&issuer, &upstream)?;
        let guard = start_guard(&program, &issuer, &upstream).await?;
        Ok(Self { issuer, photos, guard, program, upstream })
    }

    /// Starts a second guard of the same home: the tour stops it.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn another_guard(&self) -> io::Result<GuardProcess> {
        start_guard(&self.program, &self.issuer, &self.upstream).await
    }

    /// The claims of Cloudflare Access for a person, valid for an hour.
    pub fn person(&self, email: &str) -> Value {
        self.issuer.person(email)
    }

    /// A token of a member of the family.
    pub fn token(&self) -> String {
        self.issuer.token_for("ada@family.example")
    }
}

/// A wrong `--upstream` is reported as guard itself reports it, before anything is started.
fn check_upstream(issuer: &Issuer, upstream: &str) -> Result<(), Problems> {
    let mut args = OriginArgs { upstream: Some(upstream.to_owned()), ..OriginArgs::default() };
    args.door.access_team = Some(issuer.team().to_owned());
    args.door.access_aud = Some(issuer.aud().to_owned());
    args.check().map(|_| ())
}

async fn start_guard(program: &std::path::Path, issuer: &Issuer, upstream: &str) -> io::Result<GuardProcess> {
    let mut variables = origin_variables(issuer, upstream);
    let own = [("GUARD_ALLOW_EMAIL", ALLOWED), ("GUARD_LAN_URL", "http://nas.lan:30283"), ("GUARD_GRACE", "10s")];
    variables.extend(own.map(|(name, value)| (name, value.to_owned())));
    let guard = GuardProcess::start(program, &["origin"], &variables).await?;
    guard.ready().await?;
    Ok(guard)
}

/// Runs the demo; `true` if every step of the tour was as wanted.
///
/// # Errors
/// Where the arguments are wrong, or a process or a socket fails.
pub async fn run(args: &DemoArgs) -> Result<bool, DemoError> {
    match args.story {
        Some(Story::Nas) => return Ok(nas::run(&guard_process::find(args.guard.as_deref())?)?),
        Some(Story::Idtoken) => return idtoken::run(&guard_process::find(args.guard.as_deref())?).await,
        None => {}
    }
    let home = Home::start(args).await?;
    let passed = tour::run(&home).await;
    if args.tour {
        return Ok(passed);
    }
    let listen = args.listen.as_deref().unwrap_or("127.0.0.1:0");
    let (guard, admin, token) = (home.guard.address(), home.guard.admin_address, home.token());
    let edge = edge::start(listen, guard, home.issuer.signer(), home.person("ada@family.example")).await?;
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
    Ok(passed)
}
