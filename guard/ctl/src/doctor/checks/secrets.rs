//! Checks of Secrets: which keys there are, and what their values look like. The values are never printed.

use std::collections::BTreeMap;

use clap::{Args as _, Command};
use guard::config::OriginArgs;
use guard::config::secret_keys::OTHERS;

use crate::doctor::evidence::{Evidence, KeyFacts};
use crate::doctor::graph::{Outcome, Problem};

const EDGE: &str = "immich-edge/immich-edge";

/// The Secrets, where they could be listed.
fn listed(evidence: &Evidence) -> Result<&BTreeMap<String, BTreeMap<String, KeyFacts>>, Outcome> {
    match evidence.unreadable.get("Secret") {
        Some(_) => Err(Outcome::Skip("Secrets cannot be listed with this kubeconfig".to_owned())),
        None => Ok(&evidence.secrets),
    }
}

/// `make` is the cure where there is no such Secret, and `change` where it lacks a key.
fn has(evidence: &Evidence, secret: &str, keys: &[&str], make: &str, change: &str) -> Outcome {
    let secrets = match listed(evidence) {
        Ok(secrets) => secrets,
        Err(skip) => return skip,
    };
    let Some(found) = secrets.get(secret) else {
        return Outcome::Fail(Problem::new(format!("there is no Secret {secret}"), make));
    };
    let missing: Vec<_> = keys.iter().filter(|key| found.get(**key).is_none_or(|facts| facts.bytes == 0)).copied().collect();
    if missing.is_empty() {
        return Outcome::Pass(String::new());
    }
    Outcome::Fail(Problem::new(format!("the Secret {secret} lacks {}", missing.join(", ")), change))
}

pub(super) fn database(evidence: &Evidence) -> Outcome {
    let make =
        "kubectl -n immich create secret generic immich-postgres --from-literal=POSTGRES_PASSWORD=\"$(openssl rand -hex 24)\"";
    let change = "kubectl -n immich patch secret immich-postgres --type merge -p \"{\\\"stringData\\\":{\\\"POSTGRES_PASSWORD\\\":\\\"$(openssl rand -hex 24)\\\"}}\"";
    has(evidence, "immich/immich-postgres", &["POSTGRES_PASSWORD"], make, change)
}

pub(super) fn tunnel(evidence: &Evidence) -> Outcome {
    let fix = "cloudflared tunnel token photos | tr -d '\\n' > token && kubectl -n immich-edge create secret generic cloudflared-tunnel \
               --from-file=token --dry-run=client -o yaml | kubectl apply -f - && rm token";
    let outcome = has(evidence, "immich-edge/cloudflared-tunnel", &["token"], fix, fix);
    let is_token = evidence.secrets.get("immich-edge/cloudflared-tunnel").and_then(|keys| keys.get("token")?.is_tunnel_token);
    match (outcome, is_token) {
        (Outcome::Pass(_), Some(false)) => Outcome::Fail(Problem::new(
            "the key token of cloudflared-tunnel is no tunnel token (base64 of JSON with a, s and t)",
            fix,
        )),
        (outcome, _) => outcome,
    }
}

pub(super) fn edge(evidence: &Evidence) -> Outcome {
    let make = "kubectl -n immich-edge create secret generic immich-edge --from-literal=ACCESS_TEAM=TEAM --from-literal=ACCESS_AUD=AUD \
                --from-literal=EXTERNAL_HOST=HOST   # quickstart, the Secrets";
    let change = "kubectl -n immich-edge patch secret immich-edge --type merge -p '{\"stringData\":{\"KEY\":\"VALUE\"}}'   \
                  # quickstart, the Secrets; then: kubectl -n immich-edge rollout restart deploy/immich-origin-proxy";
    has(evidence, EDGE, &["ACCESS_TEAM", "ACCESS_AUD", "EXTERNAL_HOST"], make, change)
}

pub(super) fn spaces(evidence: &Evidence) -> Outcome {
    let secrets = match listed(evidence) {
        Ok(secrets) => secrets,
        Err(skip) => return skip,
    };
    let ours = ["immich/immich-postgres", "immich-edge/cloudflared-tunnel", EDGE];
    let bad = ours.iter().find_map(|secret| {
        let (key, _) = secrets.get(*secret)?.iter().find(|(_, facts)| facts.has_space)?;
        Some((secret.split_once('/')?, key.clone()))
    });
    match bad {
        None => Outcome::Pass(String::new()),
        Some(((namespace, name), key)) => Outcome::Fail(Problem::new(
            format!("{key} in the Secret {namespace}/{name} begins or ends with white space or a line break"),
            format!(
                "kubectl -n {namespace} get secret {name} -o go-template='{{{{index .data \"{key}\"}}}}' | base64 -d | tr -d ' \\n' | base64 -w0 | \
                 xargs -I% kubectl -n {namespace} patch secret {name} --type merge -p '{{\"data\":{{\"{key}\":\"%\"}}}}'"
            ),
        )),
    }
}

pub(super) fn forms(evidence: &Evidence) -> Outcome {
    let set = |key: &str, wanted: &str| {
        format!(
            "kubectl -n immich-edge patch secret immich-edge --type merge -p '{{\"stringData\":{{\"{key}\":\"{wanted}\"}}}}' && \
             kubectl -n immich-edge rollout restart deploy/immich-origin-proxy"
        )
    };
    let Some(audience) = evidence.edge_value("ACCESS_AUD") else {
        return Outcome::Skip("the Secret could not be read".to_owned());
    };
    let is_tag = |tag: &str| tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !audience.split(',').all(|tag| is_tag(tag.trim())) {
        let found = "ACCESS_AUD is no AUD tag: wanted 64 hexadecimal digits, from Zero Trust > Access > Applications > Overview";
        return Outcome::Fail(Problem::new(found, set("ACCESS_AUD", "AUD")));
    }
    let host = evidence.edge_value("EXTERNAL_HOST").unwrap_or_default();
    if host.contains("://") || host.contains('/') || !host.contains('.') {
        return Outcome::Fail(Problem::new(
            format!("EXTERNAL_HOST is {host:?}, wanted a host name only"),
            set("EXTERNAL_HOST", "photos.example.org"),
        ));
    }
    if host == "example.com" || host.ends_with(".example.com") {
        return Outcome::Fail(Problem::new(
            format!("EXTERNAL_HOST is the example's: {host}"),
            set("EXTERNAL_HOST", "YOUR HOST NAME"),
        ));
    }
    Outcome::Pass(host.to_owned())
}

/// Whether guard reads a key of its Secret: the key `ALLOW_EMAIL` is the variable `GUARD_ALLOW_EMAIL`.
fn is_read(key: &str) -> bool {
    let command = OriginArgs::augment_args(Command::new("origin"));
    let variables = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).map(str::to_owned);
    OTHERS.contains(&key) || variables.into_iter().any(|name| name.strip_prefix("GUARD_") == Some(key))
}

pub(super) fn keys(evidence: &Evidence) -> Outcome {
    let unread: Vec<_> =
        evidence.secrets.get(EDGE).into_iter().flat_map(BTreeMap::keys).filter(|key| !is_read(key)).cloned().collect();
    match unread.first() {
        None => Outcome::Pass(String::new()),
        Some(key) => Outcome::Fail(Problem::new(
            format!(
                "guard reads no key {}: it does not start, because a misspelt list of addresses would let everybody in",
                unread.join(", ")
            ),
            format!(
                "kubectl -n immich-edge patch secret immich-edge --type json -p '[{{\"op\":\"remove\",\"path\":\"/data/{key}\"}}]' && \
                 kubectl -n immich-edge rollout restart deploy/immich-origin-proxy"
            ),
        )),
    }
}
