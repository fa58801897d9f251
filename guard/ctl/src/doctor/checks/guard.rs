//! Checks of guard and of cloudflared, by what they say themselves.

use crate::doctor::checks::pods;
use crate::doctor::evidence::{Evidence, Look};
use crate::doctor::graph::{Outcome, Problem};

const LOGS: &str = "kubectl -n immich-edge logs deploy/immich-origin-proxy --tail=20";
const TUNNEL_LOGS: &str = "kubectl -n immich-edge logs deploy/cloudflared --tail=20";
/// The address of guard in the cluster.
const GUARD: &str = "immich-origin-proxy";

pub(super) fn runs(evidence: &Evidence) -> Outcome {
    // Its readiness is a question of its own: it needs the front door's keys.
    let is_running = evidence.pods_of("immich-edge", GUARD).any(|pod| {
        let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        containers.into_iter().any(|status| status["state"]["running"].is_object())
    });
    if is_running { Outcome::Pass(String::new()) } else { pods::runs(evidence, "immich-edge", GUARD) }
}

pub(super) fn ready(evidence: &Evidence) -> Outcome {
    match &evidence.guard_ready {
        Look::Found(_) => Outcome::Pass(String::new()),
        Look::Failed(reason) => Outcome::Fail(Problem::new(format!("guard is not ready: {reason}"), LOGS)),
        Look::Skipped => Outcome::Skip("no pod of guard runs".to_owned()),
    }
}

pub(super) fn passes(evidence: &Evidence) -> Outcome {
    let sum = |begin: &str| -> f64 {
        evidence.guard_metrics.iter().filter(|(name, _)| name.starts_with(begin)).map(|(_, value)| *value).sum()
    };
    let of = |cause: &str| sum(&format!("guard_assertion_failures_total{{cause=\"{cause}\""));
    let passed = sum("guard_requests_total{decision=\"passed\"");
    if passed > 0.0 || evidence.guard_metrics.is_empty() {
        return Outcome::Pass(format!("{passed} requests passed"));
    }
    let causes = [
        ("audience", "tokens for another application arrive: ACCESS_AUD is not that of this one", "ACCESS_AUD"),
        ("issuer", "tokens of another team arrive: ACCESS_TEAM is not the team of this tunnel", "ACCESS_TEAM"),
    ];
    for (cause, found, key) in causes {
        if of(cause) > 0.0 {
            let fix = format!(
                "kubectl -n immich-edge patch secret immich-edge --type merge -p '{{\"stringData\":{{\"{key}\":\"VALUE\"}}}}' && \
                 kubectl -n immich-edge rollout restart deploy/immich-origin-proxy"
            );
            return Outcome::Fail(Problem::new(found, fix));
        }
    }
    let forbidden = sum("guard_refusals_total{reason=\"forbidden\"");
    if forbidden > 0.0 {
        return Outcome::Fail(Problem::new(
            "people sign in, and nobody is on the list of those who may enter (ALLOW_EMAIL, ALLOW_SERVICE)",
            "kubectl -n immich-edge logs deploy/immich-origin-proxy | grep '\"reason\":\"forbidden\"' | tail -3   # then correct ALLOW_EMAIL in the Secret immich-edge",
        ));
    }
    Outcome::Pass("no request yet".to_owned())
}

pub(super) fn room(evidence: &Evidence) -> Outcome {
    let value = |name: &str| evidence.guard_metrics.get(name).copied();
    match (value("guard_memory_reserved_bytes"), value("guard_memory_budget_bytes")) {
        (Some(reserved), Some(budget)) if budget > 0.0 && reserved / budget > 0.9 => Outcome::Warn(Problem::new(
            format!("{:.0} % of the memory for requests is in use", 100.0 * reserved / budget),
            "kubectl -n immich-edge port-forward deploy/immich-origin-proxy 9090 & sleep 2; curl -s localhost:9090/metrics | grep open_; kill %1",
        )),
        (Some(_), Some(_)) => Outcome::Pass(String::new()),
        _ => Outcome::Skip("guard's metrics could not be read".to_owned()),
    }
}

pub(super) fn tunnel_runs(evidence: &Evidence) -> Outcome {
    let is_running = evidence.pods_of("immich-edge", "cloudflared").any(|pod| {
        let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        containers.into_iter().any(|status| status["state"]["running"].is_object())
    });
    if is_running { Outcome::Pass(String::new()) } else { pods::runs(evidence, "immich-edge", "cloudflared") }
}

pub(super) fn tunnel_connected(evidence: &Evidence) -> Outcome {
    match &evidence.tunnel {
        Look::Found(tunnel) if tunnel.connections > 0 => Outcome::Pass(format!("{} connections", tunnel.connections)),
        Look::Found(_) => Outcome::Fail(Problem::new(
            "cloudflared runs, and has no connection to Cloudflare: the internet is away, port 7844 is blocked, or the token is of a deleted tunnel",
            format!("{TUNNEL_LOGS}   # `Unauthorized`: a new token; `timeout`: allow port 7844 (UDP, TCP) outwards"),
        )),
        Look::Failed(reason) => Outcome::Fail(Problem::new(format!("cloudflared does not answer: {reason}"), TUNNEL_LOGS)),
        Look::Skipped => Outcome::Skip("no pod of cloudflared runs".to_owned()),
    }
}

pub(super) fn tunnel_connections(evidence: &Evidence) -> Outcome {
    match evidence.tunnel.found() {
        Some(tunnel) if tunnel.connections < 4 => Outcome::Warn(Problem::new(
            format!("{} of 4 connections", tunnel.connections),
            format!("{TUNNEL_LOGS}   # they come back by themselves"),
        )),
        Some(_) => Outcome::Pass(String::new()),
        None => Outcome::Skip("not looked at".to_owned()),
    }
}

pub(super) fn tunnel_local(evidence: &Evidence) -> Outcome {
    match evidence.tunnel.found() {
        Some(tunnel) if tunnel.config_version > -1 => Outcome::Fail(Problem::new(
            format!(
                "the dashboard's configuration is in force (version {}): whoever has the dashboard can lead the tunnel past guard",
                tunnel.config_version
            ),
            "cloudflared tunnel create photos   # a tunnel that is managed here; then its token into the Secret cloudflared-tunnel (quickstart)",
        )),
        Some(_) => Outcome::Pass(String::new()),
        None => Outcome::Skip("not looked at".to_owned()),
    }
}

pub(super) fn tunnel_ends(evidence: &Evidence) -> Outcome {
    let in_force = evidence.tunnel.found().map(|tunnel| tunnel.services.clone()).unwrap_or_default();
    let configured = evidence.all("ConfigMap").filter(|map| {
        map["metadata"]["namespace"] == "immich-edge"
            && map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("cloudflared"))
    });
    let texts = configured.flat_map(|map| map["data"].as_object().into_iter().flatten()).filter_map(|(_, text)| text.as_str());
    let services = texts
        .flat_map(str::lines)
        .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("service:"))
        .map(|it| it.trim().to_owned());
    // The share tunnel leads to the public proxy, which has no key of anybody.
    let is_good = |service: &String| {
        service.contains(GUARD) || service.contains("immich-public-proxy") || service.starts_with("http_status:")
    };
    let all: Vec<_> = in_force.into_iter().chain(services).collect();
    match all.iter().find(|service| !is_good(service)) {
        _ if all.is_empty() => Outcome::Skip("no configuration of the tunnel was found".to_owned()),
        None => Outcome::Pass(String::new()),
        Some(service) => Outcome::Fail(Problem::new(
            format!("the tunnel leads to {service}, past guard"),
            "kubectl -n immich-edge scale deploy/cloudflared --replicas=0   # at once; then correct apps/networking/cloudflared/config.yaml",
        )),
    }
}

pub(super) fn too_large(evidence: &Evidence) -> Outcome {
    let refused: f64 = evidence
        .guard_metrics
        .iter()
        .filter(|(name, _)| name.starts_with("guard_refusals_total{reason=\"body-too-large\""))
        .map(|(_, count)| *count)
        .sum();
    if refused == 0.0 {
        return Outcome::Pass(String::new());
    }
    Outcome::Warn(Problem::new(
        format!("{refused} uploads were refused since guard started: they are above the limit over the internet"),
        "docs/large-files.md   # at home the app uses the address of the node; over the internet: GUARD_LARGE_UPLOADS=on",
    ))
}

pub(super) fn tunnel_asks(evidence: &Evidence) -> Outcome {
    let maps = evidence.all("ConfigMap").filter(|map| {
        map["metadata"]["namespace"] == "immich-edge"
            && map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("cloudflared"))
    });
    let texts = maps.flat_map(|map| map["data"].as_object().into_iter().flatten()).filter_map(|(_, text)| text.as_str());
    for text in texts {
        let top = text.lines().skip_while(|line| !line.starts_with("originRequest:")).skip(1);
        let mut inside = top.take_while(|line| line.starts_with([' ', '#']) || line.is_empty());
        if inside.any(|line| line.trim_start().starts_with("access:")) {
            return Outcome::Warn(Problem::new(
                "the block `access` stands at the top of cloudflared's configuration, where cloudflared ignores it (cloudflared#784)",
                "put originRequest.access under each rule of apps/networking/cloudflared/config.yaml; guard checks the token either way",
            ));
        }
    }
    Outcome::Pass(String::new())
}
