//! Checks from outside: the public name, Cloudflare Access, and that nobody gets in without a sign-in. And the address at home.

use crate::doctor::dns::is_private;
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
        // Where nobody answers at all, it is not the name that is wrong.
        Look::Failed(reason) if is_offline(evidence) => Outcome::Fail(Problem::new(
            format!("this computer reaches no resolver, neither its own ({reason}) nor a public one"),
            "getent hosts cloudflare.com   # the network of this computer first; then look again, or look at the cluster only: --cluster",
        )),
        failed => Outcome::Fail(Problem::new(
            format!("{} has no address: {}", host(evidence), failed.failure().unwrap_or("none")),
            format!("cloudflared tunnel route dns photos {}", host(evidence)),
        )),
    }
}

fn is_offline(evidence: &Evidence) -> bool {
    let mut public = evidence.public_addresses.values().peekable();
    public.peek().is_some() && public.all(|found| found.failure().is_some())
}

pub(super) fn addresses(evidence: &Evidence) -> Outcome {
    let Some(addresses) = evidence.addresses.found() else { return Outcome::Skip("not looked at from outside".to_owned()) };
    let private = addresses.iter().find(|address| address.parse().is_ok_and(is_private));
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
        Ok(EdgeAnswer { status: 503, refusal: None, .. }) => Outcome::Fail(Problem::new(
            "503 from the edge: the tunnel has no rule for this name, because the dashboard's empty configuration replaced ours",
            "kubectl -n immich-edge logs deploy/cloudflared | grep -i configuration   # then a tunnel that is managed here (quickstart, step 7)",
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

pub(super) fn phone(evidence: &Evidence) -> Outcome {
    let answer = match &evidence.phone {
        Look::Found(answer) => answer,
        Look::Failed(reason) => return Outcome::Skip(format!("no answer: {reason}")),
        Look::Skipped => return Outcome::Skip("no token of a phone was given (--phone FILE)".to_owned()),
    };
    let fail = |found: String, fix: &str| Outcome::Fail(Problem::new(found, fix));
    match answer.status {
        200..=299 => Outcome::Pass(format!("status {}", answer.status)),
        300..=399 => fail(
            "with a phone's token, Access still asks for a sign-in: the policy's action is Allow".to_owned(),
            "Zero Trust > Access > Policies > phones: action Service Auth, include the service token (quickstart, step 7)",
        ),
        401 if answer.refusal.is_none() => fail(
            "Access does not know this token: it is mistyped, has expired, or was deleted".to_owned(),
            "Zero Trust > Access > Service credentials: look at its expiry, or make a new one, and enter it on the phone (docs/mobile.md)",
        ),
        403 if answer.refusal.is_none() => fail(
            "Access knows this token, and no policy of the application includes it".to_owned(),
            "Zero Trust > Access > Policies > phones: include this service token",
        ),
        403 => fail(
            "guard knows this token, and it is not in ALLOW_SERVICE".to_owned(),
            "add its client id to ALLOW_SERVICE in the Secret immich-edge; then: kubectl -n immich-edge rollout restart deploy/immich-origin-proxy",
        ),
        401 => fail(
            "Access lets this token through, and guard refuses it".to_owned(),
            "kubectl -n immich-edge logs deploy/immich-origin-proxy --tail=20   # ACCESS_TEAM or ACCESS_AUD is another one's",
        ),
        status => fail(
            format!("with a phone's token, the answer is {status}"),
            "kubectl -n immich-edge logs deploy/immich-origin-proxy --tail=20",
        ),
    }
}

pub(super) fn websocket(evidence: &Evidence) -> Outcome {
    match &evidence.websocket {
        Look::Found(101) => Outcome::Pass(String::new()),
        Look::Found(status) => Outcome::Fail(Problem::new(
            format!("a WebSocket gets {status}, wanted 101: the app says \"server offline\""),
            "dashboard > your domain > Network > WebSockets: on",
        )),
        Look::Failed(reason) => Outcome::Skip(format!("no answer: {reason}")),
        Look::Skipped => Outcome::Skip("no token of a phone was given (--phone FILE)".to_owned()),
    }
}
