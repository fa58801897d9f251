//! Checks of the domain: features of Cloudflare that break the app, the cache, and the API token.

use super::access::{SOON_DAYS, days_left};
use super::{Facts, fail, pass, warn};
use crate::cloudflare::part::Part;
use crate::cloudflare::plan::reference;
use crate::cloudflare::seen::{items, text};
use crate::doctor::graph::Outcome;

fn setting<'f>(facts: &'f Facts<'_>, id: &str) -> &'f str {
    facts.seen.list(Part::Settings).iter().find(|setting| setting["id"] == id).map_or("", |setting| text(setting, "value"))
}

pub(super) fn active(facts: &Facts<'_>) -> Outcome {
    let zone = &facts.seen.zone;
    match (text(zone, "status"), zone["paused"] == true) {
        ("active", false) => pass(),
        ("active", true) => fail(
            "the domain is paused: nothing passes Cloudflare, and Access stands before nothing",
            "dashboard > Overview > Resume",
        ),
        (status, _) => fail(format!("the domain is {status}"), "set its name servers to Cloudflare's: dashboard > Overview"),
    }
}

pub(super) fn fight_mode(facts: &Facts<'_>) -> Outcome {
    if facts.seen.one(Part::Bots)["fight_mode"] == true {
        return fail(
            "Bot Fight Mode is on: the app gets challenges that it cannot solve, and no rule can except it",
            "dashboard > Security > Settings > Bot Fight Mode: off (for the whole domain)",
        );
    }
    pass()
}

pub(super) fn super_fight_mode(facts: &Facts<'_>) -> Outcome {
    let bots = facts.seen.one(Part::Bots);
    let strict = ["sbfm_definitely_automated", "sbfm_likely_automated"]
        .into_iter()
        .find(|member| matches!(text(bots, member), "block" | "managed_challenge"));
    match strict {
        None => pass(),
        Some(member) => warn(
            format!("Super Bot Fight Mode meets automated clients with {} ({member}): the app is one", text(bots, member)),
            format!(
                "dashboard > Security > Security rules: a rule that skips Super Bot Fight Mode for the host name {}",
                facts.wanted.host
            ),
        ),
    }
}

pub(super) fn websockets(facts: &Facts<'_>) -> Outcome {
    if setting(facts, "websockets") == "on" {
        return pass();
    }
    fail(
        "WebSockets are off: the app says \"Server offline\"",
        "guardctl cloudflare apply   # or: dashboard > Network > WebSockets",
    )
}

pub(super) fn rocket_loader(facts: &Facts<'_>) -> Outcome {
    if setting(facts, "rocket_loader") == "on" {
        return fail(
            "Rocket Loader is on: it rewrites Immich's pages, which stay white",
            "dashboard > Speed > Settings > Rocket Loader: off",
        );
    }
    pass()
}

pub(super) fn challenges(facts: &Facts<'_>) -> Outcome {
    if setting(facts, "security_level") == "under_attack" {
        return fail(
            "the domain is in Under Attack mode: every client gets a challenge, the app, too",
            "dashboard > Security > Settings: Under Attack mode off",
        );
    }
    if setting(facts, "browser_check") == "on" {
        return warn(
            "Browser Integrity Check is on: it may refuse clients that are no browsers",
            "if a phone gets 403 with error 1010: dashboard > Security > Settings > Browser Integrity Check: off",
        );
    }
    pass()
}

pub(super) fn https(facts: &Facts<'_>) -> Outcome {
    if setting(facts, "always_use_https") == "on" {
        return pass();
    }
    warn("plain HTTP is answered, too", "dashboard > SSL/TLS > Edge Certificates > Always Use HTTPS: on")
}

pub(super) fn cache(facts: &Facts<'_>) -> Outcome {
    let host = &facts.wanted.host;
    let ruleset = facts.seen.one(Part::CacheRules);
    let mut covers = None;
    // The last rule that matches wins.
    for rule in items(ruleset, "rules").filter(|rule| rule["enabled"] != false) {
        let expression = text(rule, "expression");
        let is_ours = text(rule, "ref") == reference(host);
        if is_ours || expression.contains(host.as_str()) || expression == "true" || !expression.contains("http.host") {
            covers = Some((rule["action_parameters"]["cache"] == false, text(rule, "description")));
        }
    }
    match covers {
        Some((true, _)) => pass(),
        Some((false, name)) => warn(
            format!("a cache rule after ours may match {host}, and the last one wins: {name:?}"),
            "dashboard > Caching > Cache Rules: move the rule of this host name to the end",
        ),
        None => fail(format!("no cache rule bypasses the cache for {host}"), "guardctl cloudflare apply"),
    }
}

pub(super) fn token(facts: &Facts<'_>) -> Outcome {
    let token = facts.seen.one(Part::Token);
    let fix = "make a new one (docs/cloudflare.md), or none: the home needs it only for plan, apply and check";
    match days_left(text(token, "expires_on"), facts) {
        _ if text(token, "status") != "active" => fail(format!("the API token is {}", text(token, "status")), fix),
        Some(days) if days < 0 => fail("the API token has expired", fix),
        Some(days) if days < SOON_DAYS => warn(format!("the API token expires in {days} days"), fix),
        _ => pass(),
    }
}
