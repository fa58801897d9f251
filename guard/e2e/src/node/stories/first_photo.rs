//! Stories about a new home: the quickstart's files, Flux, and the first photo.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyper::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::node::http::{form, photo, request, send};
use crate::node::sandbox::NODE_ADDRESS;
use crate::node::{Home, SITE};
use crate::stories::home as overlay;
use crate::{flux, secrets};

/// Every container is Ready within this time, images not counted: they are on the node already.
const READY: Duration = Duration::from_secs(240);
const EMAIL: &str = "family@example.com";

/// The quickstart: the overlay is copied and edited, the Secrets are created, Flux applies the rest.
pub(super) async fn applied(home: &mut Home) -> Result<String> {
    let digest = home.publish_guard()?;
    let tree = home.world.repo.tree.clone();
    overlay::copy(&tree.join("clusters/home.example"), &tree.join("clusters/home.local"))?;
    overlay::fill(&tree.join("clusters/home.local"), &home.nas_id)?;
    let none = "0".repeat(64);
    home.world.repo.edit("clusters/home/kustomization.yaml", &format!("0.1.0@sha256:{none}"), &format!("0.1.0@{digest}"))?;
    home.world.repo.edit("clusters/home/kustomization.yaml", "ghcr.io/example/guard", "registry.example.com/family/guard")?;
    for namespace in ["apps/media/immich/namespace.yaml", "apps/networking/immich-edge/namespace.yaml"] {
        home.world.cluster.kubectl(&["apply", "-f", &tree.join(namespace).display().to_string()])?;
    }
    for ((namespace, name), keys) in secrets::wanted(&home.world.rendered()?) {
        let mut secret = secrets::example(&(namespace, name), &keys);
        let data = secret["stringData"].as_object_mut().context("a Secret with values")?;
        for (key, value) in [
            ("ACCESS_TEAM", home.issuer.team()),
            ("ACCESS_AUD", home.issuer.aud()),
            ("EXTERNAL_HOST", SITE),
            ("token", secrets::TUNNEL_TOKEN),
        ] {
            if let Some(field) = data.get_mut(key) {
                *field = value.into();
            }
        }
        home.world.cluster.kubectl_stdin(&["apply", "-f", "-"], &secret.to_string())?;
    }

    let pushed = Instant::now();
    let commit = home.world.repo.commit("A home")?;
    home.world.apply("clusters/home.local/flux")?;
    home.world.applied(&commit).await?;
    let count = home.world.as_rendered().await?;
    let ready = pushed.elapsed();
    ensure!(ready < READY, "Ready after {ready:?}, wanted at most {READY:?}");
    let mut slowest = (0, String::new());
    for namespace in ["immich", "immich-edge"] {
        for pod in home.pods(namespace)? {
            let name = flux::text(&pod, "/metadata/labels/app.kubernetes.io~1name").to_owned();
            for container in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
                ensure!(container["ready"] == true, "{name} is not Ready: {container:#}");
                ensure!(container["restartCount"] == 0, "{name} was restarted: {container:#}");
            }
            slowest = slowest.max((seconds_to_ready(&pod), name));
        }
    }
    Ok(format!(
        "{count} objects, all Ready {:.0} s after the push, slowest pod {} with {} s",
        ready.as_secs_f32(),
        slowest.1,
        slowest.0
    ))
}

/// Seconds from a pod's creation to its readiness.
fn seconds_to_ready(pod: &Value) -> i64 {
    let time = |text: &str| {
        text.parse::<k8s_openapi::jiff::Timestamp>().map(k8s_openapi::jiff::Timestamp::as_second).unwrap_or_default()
    };
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.filter(|it| it["type"] == "Ready").map(|it| time(flux::text(it, "/lastTransitionTime"))).max();
    ready.unwrap_or_default() - time(flux::text(pod, "/metadata/creationTimestamp"))
}

/// Edge, connector, guard, Immich, NAS: with a proof it is stored; without one 401, above the limit 413.
pub(super) async fn by_tunnel(home: &mut Home) -> Result<String> {
    home.edge.wait_for_tunnels(1).await;
    let token = home.issuer.token_for(EMAIL);
    let front = home.edge.front();
    let post = async |photo: &[u8], token: Option<&str>| {
        let (kind, body) = form("IMG_0001.jpg", photo);
        let mut fields = vec![("content-type", kind.as_str())];
        fields.extend(token.map(|token| ("cf-access-jwt-assertion", token)));
        send(TcpStream::connect(front).await?, request("POST", SITE, "/api/assets", &fields, body)?).await
    };
    let first = photo(1, 3 << 20);
    let start = Instant::now();
    let stored = post(&first, Some(&token)).await?;
    ensure!(stored.status == StatusCode::CREATED, "found {} {:?}, wanted 201", stored.status, stored.body);
    let took = start.elapsed();
    on_nas(home, &first)?;

    let again = post(&first, Some(&token)).await?;
    ensure!(again.status == StatusCode::OK, "the same photo again: found {}, wanted 200", again.status);
    let refused = post(&photo(2, 1 << 20), None).await?;
    ensure!(refused.status == StatusCode::UNAUTHORIZED, "without a proof: found {}, wanted 401", refused.status);
    let large = post(&photo(3, 101 << 20), Some(&token)).await?;
    ensure!(large.status == StatusCode::PAYLOAD_TOO_LARGE, "101 MiB: found {}, wanted 413", large.status);
    let stored = home.nas.as_ref().context("a NAS")?.list("immich/library").len();
    ensure!(stored == 2, "found {stored} files on the NAS, wanted the photo and the marker");
    Ok(format!("3 MiB stored in {} ms; 401 without a proof, 413 above the limit", took.as_millis()))
}

/// A phone on the LAN uses the NodePort.
pub(super) async fn by_lan(home: &mut Home) -> Result<String> {
    // Larger than what the tunnel takes.
    let photo = photo(4, 120 << 20);
    let (kind, body) = form("IMG_0002.jpg", &photo);
    let to = SocketAddr::from((NODE_ADDRESS, 30283));
    let stream = home.networks.lan.connect(to, Duration::from_secs(10)).context("the NodePort, from the LAN")?;
    stream.set_nonblocking(true)?;
    let host = to.to_string();
    let request = request("POST", &host, "/api/assets", &[("content-type", &kind)], body)?;
    let stored = send(TcpStream::from_std(stream)?, request).await?;
    ensure!(stored.status == StatusCode::CREATED, "found {} {:?}, wanted 201", stored.status, stored.body);
    on_nas(home, &photo)?;
    Ok("120 MiB stored".to_owned())
}

/// Fails unless exactly this photo lies on the NAS.
pub(crate) fn on_nas(home: &Home, photo: &[u8]) -> Result<()> {
    let sha256 = crate::node::http::sha256(photo);
    let found = home.nas.as_ref().context("a NAS")?.read(&format!("immich/library/{sha256}"));
    ensure!(found.as_deref() == Some(photo), "the photo {sha256} is not on the NAS as it was sent");
    Ok(())
}
