//! The public name, as it is seen from this computer and by public resolvers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{LOOK, Scope, ahead, look};
use crate::doctor::dns;
use crate::doctor::evidence::{EdgeAnswer, Look};

/// What is seen of the public name.
#[derive(Default)]
pub(super) struct Outside {
    pub edge: Look<(EdgeAnswer, Option<i64>)>,
    pub phone: Look<EdgeAnswer>,
    pub websocket: Look<u16>,
    pub addresses: Look<Vec<String>>,
    pub public_addresses: BTreeMap<String, Look<Vec<String>>>,
}

pub(super) async fn outside(scope: &Scope, http: &reqwest::Client, host: Option<&str>) -> Outside {
    let Some(host) = host.filter(|_| scope.outside) else { return Outside::default() };
    let phone = async {
        match &scope.phone {
            Some(headers) => look(async { Ok(edge(http, host, headers).await?.0) }).await,
            None => Look::Skipped,
        }
    };
    let websocket = async {
        match &scope.phone {
            Some(headers) => look(websocket(http, host, headers)).await,
            None => Look::Skipped,
        }
    };
    let mut asked = tokio::task::JoinSet::new();
    for resolver in &scope.resolvers {
        let (http, resolver, host) = (http.clone(), resolver.clone(), host.to_owned());
        asked.spawn(async move {
            let found = look(dns::addresses(&http, &resolver, &host)).await;
            (dns::name(&resolver), found)
        });
    }
    let public = async { asked.join_all().await.into_iter().collect() };
    let (edge, phone, websocket, addresses, public_addresses) =
        tokio::join!(look(edge(http, host, &[])), phone, websocket, look(system(host)), public);
    Outside { edge, phone, websocket, addresses, public_addresses }
}

/// A and AAAA, as this computer's resolver says.
pub(super) async fn system(name: &str) -> Result<Vec<String>> {
    let found = tokio::net::lookup_host((name, 443)).await?;
    let mut found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

pub(crate) fn client() -> Result<reqwest::Client> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    // A redirect is the answer that is looked for.
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LOOK)
        .build()?)
}

async fn edge(http: &reqwest::Client, host: &str, headers: &[(String, String)]) -> Result<(EdgeAnswer, Option<i64>)> {
    let request = http.get(format!("https://{host}/api/server/ping"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    // The error names the address, which has no query.
    let response = request.send().await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = EdgeAnswer {
        status: response.status().as_u16(),
        location: header("location"),
        refusal: header("guard-refusal"),
        mitigated: header("cf-mitigated"),
    };
    Ok((answer, ahead(header("date").as_deref())))
}

/// The status of a handshake (RFC 6455) at Immich's path for live updates.
async fn websocket(http: &reqwest::Client, host: &str, headers: &[(String, String)]) -> Result<u16> {
    let request = http.get(format!("https://{host}/api/socket.io/?EIO=4&transport=websocket")).version(http::Version::HTTP_11);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
    Ok(request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").send().await?.status().as_u16())
}

/// The number of keys at the address of a team.
pub(crate) async fn team_keys(http: &reqwest::Client, team: &str) -> Result<usize> {
    let team = team.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(".cloudflareaccess.com");
    let response = http.get(format!("https://{team}.cloudflareaccess.com/cdn-cgi/access/certs")).send().await?;
    let body: Value = serde_json::from_slice(&response.bytes().await?)?;
    body["keys"].as_array().map(Vec::len).context("no key set at the team's address")
}
