//! Stands in for Authentik's proxy outpost: it reaches Authentik first, as the real one fetches its configuration, and listens then. One account is
//! known, a phone's; its app password is the line that it prints.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::outpost::{Config, Outpost, Person};
use tokio::net::TcpStream;

/// How often the real one tries, in seconds.
const PAUSE: Duration = Duration::from_secs(3);
const PORT: u16 = 9000;

pub(crate) async fn run() -> Result<()> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let authentik = variable("AUTHENTIK_HOST")?;
    variable("AUTHENTIK_TOKEN")?;
    let sessions = std::path::Path::new(&variable("TMPDIR")?).join("sessions");
    std::fs::write(&sessions, "{}").with_context(|| sessions.display().to_string())?;
    let host =
        authentik.strip_prefix("https://").with_context(|| format!("AUTHENTIK_HOST: found {authentik}, wanted https://"))?;
    while let Err(error) = TcpStream::connect((host, 443)).await {
        println!("Failed to fetch outpost configuration, retrying in 3 seconds: {error}");
        tokio::time::sleep(PAUSE).await;
    }
    let external = "https://photos.family.test".to_owned();
    let outpost =
        Outpost::start_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), Config { external, ..Config::default() }).await;
    println!("app password: {}", outpost.app_password(&Person::named("Phone")));
    std::future::pending().await
}
