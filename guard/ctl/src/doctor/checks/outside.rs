//! Checks from outside: the public name, Cloudflare Access, and that nobody gets in without a sign-in. And the address at home.

use std::net::IpAddr;

use crate::doctor::evidence::{EdgeAnswer, Evidence, Look};
use crate::doctor::graph::{Outcome, Problem};

fn host(evidence: &Evidence) -> &str {
    evidence.host.as_deref().unwrap_or("your host name")
}

pub(super) fn lan(evidence: &Evidence) -> Outcome {
    match &evidence.lan {
        Look::Found(200) => Outcome::Pass(String::new()),
        Look::Found(status) => Outcome::Fail(Problem::new(
            format!("the NodePort 30283 answers with {status}"),
            "kubectl -n immich get endpointslices -l kubernetes.io/service-name=immich-server",
        )),
        // This computer may be elsewhere.
        Look::Failed(reason) => Outcome::Warn(Problem::new(
            format!("from this computer, port 30283 of the node does not answer: {reason}"),
            "at home: curl -sm 5 http://NODE:30283/api/server/ping   # a firewall, or another network (docs/network.md)",
        )),
        Look::Skipped => Outcome::Skip("no node address is known".to_owned()),
    }
}

pub(super) fn name(evidence: &Evidence) -> Outcome {
    match &evidence.addresses {
        Look::Found(addresses) if !addresses.is_empty() => Outcome::Pass(addresses.join(", ")),
        Look::Skipped => Outcome::Skip("not looked at from outside".to_owned()),
        failed => Outcome::Fail(Problem::new(
            format!("{} has no address: {}", host(evidence), failed.failure().unwrap_or("none")),
            format!("cloudflared tunnel route dns photos {}", host(evidence)),
        )),
    }
}

pub(super) fn addresses(evidence: &Evidence) -> Outcome {
    let Some(addresses) = evidence.addresses.found() else { return Outcome::Skip("not looked at from outside".to_owned()) };
    let private = addresses.iter().find(|address| match address.parse() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || (address.segments()[0] & 0xfe00) == 0xfc00 || (address.segments()[0] & 0xffc0) == 0xfe80
        }
        Err(_) => false,
    });
    match private {
        None => Outcome::Pass(String::new()),
        Some(address) => Outcome::Warn(Problem::new(
            format!(
                "{} leads to {address} here: a record of your own network, or one that was made public by mistake",
                host(evidence)
            ),
            format!("dig +short {} @1.1.1.1   # Cloudflare's addresses only", host(evidence)),
        )),
    }
}

pub(super) fn team(evidence: &Evidence) -> Outcome {
    match &evidence.team_keys {
        Look::Found(0) | Look::Failed(_) => Outcome::Fail(Problem::new(
            format!(
                "no key set at {}.cloudflareaccess.com: {}",
                evidence.edge_value("ACCESS_TEAM").unwrap_or("TEAM"),
                evidence.team_keys.failure().unwrap_or("it is empty")
            ),
            "the team's name is in Zero Trust > Settings > Custom pages; then: kubectl -n immich-edge patch secret immich-edge --type merge -p \
             '{\"stringData\":{\"ACCESS_TEAM\":\"TEAM\"}}'",
        )),
        Look::Found(count) => Outcome::Pass(format!("{count} keys")),
        Look::Skipped => Outcome::Skip("not looked at from outside".to_owned()),
    }
}

fn answer(evidence: &Evidence) -> Result<&EdgeAnswer, Outcome> {
    evidence.edge.found().ok_or_else(|| Outcome::Skip("not looked at from outside".to_owned()))
}

pub(super) fn answers(evidence: &Evidence) -> Outcome {
    match &evidence.edge {
        Look::Found(answer) => Outcome::Pass(format!("status {}", answer.status)),
        Look::Failed(reason) => Outcome::Fail(Problem::new(
            format!("https://{} does not answer: {reason}", host(evidence)),
            format!("curl -sv https://{}/api/server/ping 2>&1 | tail -20", host(evidence)),
        )),
        Look::Skipped => Outcome::Skip("not looked at from outside".to_owned()),
    }
}

pub(super) fn gated(evidence: &Evidence) -> Outcome {
    let answer = match answer(evidence) {
        Ok(answer) => answer,
        Err(skip) => return skip,
    };
    let fix = "Zero Trust > Access > Applications > Add an application > Self-hosted: this host name, no path, no Bypass policy (quickstart)";
    match answer.status {
        200..=299 => Outcome::Fail(Problem::new(
            format!(
                "ANYONE gets status {} from https://{}: no Access application covers it, and the tunnel leads past guard",
                answer.status,
                host(evidence)
            ),
            format!("kubectl -n immich-edge scale deploy/cloudflared --replicas=0   # at once; then: {fix}"),
        )),
        401 if answer.refusal.is_some() => Outcome::Fail(Problem::new(
            "Access lets everybody through (no application, or a Bypass policy), and only guard refuses",
            fix,
        )),
        _ => Outcome::Pass(format!("status {} without a token", answer.status)),
    }
}

pub(super) fn challenge(evidence: &Evidence) -> Outcome {
    match answer(evidence) {
        Err(skip) => skip,
        Ok(answer) if answer.mitigated.is_some() => Outcome::Fail(Problem::new(
            "Cloudflare answers with a challenge page (cf-mitigated), which the app cannot solve",
            "dashboard > Security > Settings > Bot Fight Mode: off; no rule with a challenge for this host name",
        )),
        Ok(_) => Outcome::Pass(String::new()),
    }
}

pub(super) fn tunnel(evidence: &Evidence) -> Outcome {
    let host = host(evidence);
    match answer(evidence) {
        Err(skip) => skip,
        Ok(EdgeAnswer { status: 530, .. }) => Outcome::Fail(Problem::new(
            "Cloudflare finds no tunnel for this name (530, error 1033): its record leads to another tunnel",
            format!("cloudflared tunnel route dns --overwrite-dns photos {host}"),
        )),
        Ok(EdgeAnswer { status: status @ (502..=504 | 520..=526), .. }) => Outcome::Fail(Problem::new(
            format!("Cloudflare answers with {status} before anybody has signed in"),
            "kubectl -n immich-edge logs deploy/cloudflared --tail=20",
        )),
        Ok(_) => Outcome::Pass(String::new()),
    }
}

/// The query of the redirect to the sign-in: `https://TEAM.cloudflareaccess.com/cdn-cgi/access/login/HOST?kid=AUD&…`.
fn sign_in(evidence: &Evidence) -> Option<(String, Option<String>)> {
    let location = evidence.edge.found()?.location.as_deref()?;
    let rest = location.strip_prefix("https://")?;
    let team = rest.split('/').next()?.strip_suffix(".cloudflareaccess.com")?;
    let query = location.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let audience = query.split('&').find_map(|pair| pair.strip_prefix("kid=")).map(str::to_owned);
    Some((team.to_owned(), audience))
}

pub(super) fn same_team(evidence: &Evidence) -> Outcome {
    let Some(((team, _), ours)) = sign_in(evidence).zip(evidence.edge_value("ACCESS_TEAM")) else {
        return Outcome::Skip("no redirect to a sign-in was seen".to_owned());
    };
    let ours = ours.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(".cloudflareaccess.com");
    if team == ours {
        return Outcome::Pass(team);
    }
    Outcome::Fail(Problem::new(
        format!("the sign-in is at the team {team}, and guard trusts {ours}"),
        format!(
            "kubectl -n immich-edge patch secret immich-edge --type merge -p '{{\"stringData\":{{\"ACCESS_TEAM\":\"{team}\"}}}}' && \
             kubectl -n immich-edge rollout restart deploy/immich-origin-proxy"
        ),
    ))
}

pub(super) fn same_audience(evidence: &Evidence) -> Outcome {
    let audience = sign_in(evidence).and_then(|(_, audience)| audience);
    let Some((theirs, ours)) = audience.zip(evidence.edge_value("ACCESS_AUD")) else {
        return Outcome::Skip("the redirect to the sign-in names no application".to_owned());
    };
    if ours.split(',').any(|tag| tag.trim().eq_ignore_ascii_case(&theirs)) {
        return Outcome::Pass(String::new());
    }
    Outcome::Fail(Problem::new(
        "the application at this host name has another AUD tag than the one that guard trusts".to_owned(),
        format!(
            "kubectl -n immich-edge patch secret immich-edge --type merge -p '{{\"stringData\":{{\"ACCESS_AUD\":\"{theirs}\"}}}}' && \
             kubectl -n immich-edge rollout restart deploy/immich-origin-proxy"
        ),
    ))
}
