//! Secrets that lack something, or hold what they should not. Each is cured by the command that doctor prints.

use anyhow::{Context as _, Result};

use super::{HOST, Homes};
use crate::World;
use crate::secrets::{AUD, TUNNEL_TOKEN};

/// The whole story. It begins with the Secrets of these tests, which are no real ones, and ends with a home that is well.
pub(in super::super) async fn broken(world: &mut World) -> Result<String> {
    let mut homes = Homes::new(world);
    let edge =
        |homes: &Homes<'_>, data: &str| homes.patch("immich-edge", "secret/immich-edge", &format!("{{\"stringData\":{data}}}"));
    let postgres = |homes: &Homes<'_>, password: &str| {
        homes.patch("immich", "secret/immich-postgres", &format!("{{\"stringData\":{{\"POSTGRES_PASSWORD\":\"{password}\"}}}}"))
    };
    let values =
        [(":\"AUD\"", format!(":\"{AUD}\"")), ("YOUR HOST NAME", HOST.to_owned()), ("photos.example.org", HOST.to_owned())];
    let values: Vec<_> = values.iter().map(|(word, value)| (*word, value.as_str())).collect();

    let fix = homes.named("a token that is none, and an AUD that is a word", &["GD-SECRET-02", "GD-SECRET-05"])?;
    homes.cure(&fix, &[])?;
    homes.cured("an AUD that is a word", "GD-SECRET-05", &values).or_else(|_| {
        // The example's host name is behind it.
        homes.cured("the example's host name", "GD-SECRET-05", &values)
    })?;
    postgres(&homes, "planted-database-password")?;
    homes.well()?;

    edge(&homes, &format!("{{\"EXTERNAL_HOST\":\"https://{HOST}\"}}"))?;
    homes.cured("a host name with a scheme", "GD-SECRET-05", &values)?;
    edge(&homes, "{\"ALLOW_EMAILS\":\"ada@family.test\"}")?;
    homes.cured("a misspelt key", "GD-SECRET-06", &[])?;
    homes.patch("immich-edge", "secret/immich-edge", "{\"data\":{\"ACCESS_TEAM\":null}}")?;
    homes.cured("a key is missing", "GD-SECRET-03", &[("KEY", "ACCESS_TEAM"), ("VALUE", "family")])?;
    homes.kubectl(&["-n", "immich-edge", "delete", "secret", "immich-edge"])?;
    homes.cured(
        "no Secret of guard",
        "GD-SECRET-03",
        &[("=TEAM", "=family"), ("=AUD", &format!("={AUD}")), ("=HOST", &format!("={HOST}"))],
    )?;

    postgres(&homes, "planted-database-password\\n")?;
    homes.cured("a line break in a password", "GD-SECRET-04", &[])?;
    postgres(&homes, "")?;
    homes.cured("an empty password", "GD-SECRET-01", &[])?;
    homes.kubectl(&["-n", "immich", "delete", "secret", "immich-postgres"])?;
    homes.cured("no Secret of the database", "GD-SECRET-01", &[])?;
    postgres(&homes, "planted-database-password")?;

    let tunnel = |homes: &Homes<'_>, token: &str| {
        homes.patch("immich-edge", "secret/cloudflared-tunnel", &format!("{{\"stringData\":{{\"token\":\"{token}\"}}}}"))
    };
    tunnel(&homes, &TUNNEL_TOKEN.replace("==", "==\\n"))?;
    homes.cured("a line break behind a token", "GD-SECRET-04", &[])?;
    tunnel(&homes, "{\\\"AccountTag\\\":\\\"1\\\",\\\"TunnelSecret\\\":\\\"x\\\"}")?;
    homes.cured("a credentials file in the place of a token", "GD-SECRET-02", &[])?;
    homes.kubectl(&["-n", "immich-edge", "delete", "secret", "cloudflared-tunnel"])?;
    homes.cured("no Secret of the tunnel", "GD-SECRET-02", &[])?;
    homes.well().context("at the end")?;
    Ok(homes.end())
}
