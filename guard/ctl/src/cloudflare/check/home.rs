//! Checks of the Secret of guard against the account: the same application, the same team, the same name.

use super::{Facts, fail, no_application, pass};
use crate::cloudflare::part::Part;
use crate::cloudflare::seen::text;
use crate::doctor::graph::Outcome;

/// The command that sets a key of the Secret.
fn set(key: &str, value: &str) -> String {
    format!(
        "kubectl -n immich-edge patch secret immich-edge --type merge -p '{{\"stringData\":{{\"{key}\":\"{value}\"}}}}' && \
         kubectl -n immich-edge rollout restart deploy/immich-origin-proxy"
    )
}

fn value<'f>(facts: &'f Facts<'_>, key: &str) -> Result<&'f str, Outcome> {
    match &facts.home {
        Ok(values) => values
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| fail(format!("the Secret immich-edge has no {key}"), set(key, "VALUE"))),
        Err(reason) => Err(Outcome::Skip(reason.clone())),
    }
}

pub(super) fn audience(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    match value(facts, "ACCESS_AUD") {
        Err(outcome) => outcome,
        Ok(ours) if ours.split(',').any(|tag| tag.trim().eq_ignore_ascii_case(text(app, "aud"))) => pass(),
        Ok(_) => fail(
            format!("guard trusts another AUD tag than that of {:?}: every request gets 401", text(app, "name")),
            set("ACCESS_AUD", text(app, "aud")),
        ),
    }
}

pub(super) fn team(facts: &Facts<'_>) -> Outcome {
    let domain = text(facts.seen.one(Part::Organization), "auth_domain");
    let team = domain.strip_suffix(".cloudflareaccess.com").unwrap_or(domain);
    match value(facts, "ACCESS_TEAM") {
        Err(outcome) => outcome,
        Ok(ours) => {
            let ours = ours.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(".cloudflareaccess.com");
            if ours.eq_ignore_ascii_case(team) {
                return Outcome::Pass(team.to_owned());
            }
            fail(format!("guard trusts the team {ours}, and this account is {team}"), set("ACCESS_TEAM", team))
        }
    }
}

pub(super) fn host(facts: &Facts<'_>) -> Outcome {
    match value(facts, "EXTERNAL_HOST") {
        Err(outcome) => outcome,
        Ok(ours) if ours.eq_ignore_ascii_case(&facts.wanted.host) => pass(),
        Ok(ours) => fail(
            format!("guard serves {ours}, wanted {}: every request gets 421", facts.wanted.host),
            set("EXTERNAL_HOST", &facts.wanted.host),
        ),
    }
}
