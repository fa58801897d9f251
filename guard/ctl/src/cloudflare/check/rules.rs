//! Checks of policies: whom they let in.

use serde_json::Value;

use super::{Facts, fail, no_application, pass, warn};
use crate::cloudflare::part::Part;
use crate::cloudflare::rule::{self, Reach};
use crate::cloudflare::seen::{items, text};
use crate::doctor::graph::Outcome;

const POLICIES: &str = "Zero Trust > Access controls > Policies";

/// The policies of an application, as they are now: what the application says about a reusable one may be older.
pub(super) fn of<'f>(facts: &'f Facts<'_>, app: &'f Value) -> Vec<&'f Value> {
    let current =
        |policy: &'f Value| facts.seen.list(Part::Policies).iter().find(|known| known["id"] == policy["id"]).unwrap_or(policy);
    items(app, "policies").map(current).collect()
}

/// The first policy of the application at which `judge` says something.
fn first(facts: &Facts<'_>, judge: impl Fn(&Value) -> Option<Outcome>) -> Outcome {
    match facts.application() {
        Some(app) => of(facts, app).into_iter().find_map(judge).unwrap_or_else(pass),
        None => no_application(),
    }
}

pub(super) fn bypass(facts: &Facts<'_>) -> Outcome {
    first(facts, |policy| {
        (policy["decision"] == "bypass").then(|| {
            fail(
                format!(
                    "the policy {:?} has the action Bypass: Access asks nothing, and guard refuses with 401",
                    text(policy, "name")
                ),
                format!("{POLICIES}: remove it from the application, or give it the action Allow or Service Auth"),
            )
        })
    })
}

/// Whether a policy lets people in.
pub(super) fn is_allow(policy: &Value) -> bool {
    policy["decision"] == "allow"
}

/// By what a policy lets everybody in.
pub(super) fn everybody(policy: &Value, facts: &Facts<'_>) -> Option<String> {
    match rule::reach_of(policy, facts.seen, 0) {
        Reach::Everybody(how) if policy["decision"] != "deny" => Some(how),
        _ => None,
    }
}

fn is_pin(id: &Value, facts: &Facts<'_>) -> bool {
    facts.seen.list(Part::LoginMethods).iter().any(|method| method["id"] == *id && method["type"] == "onetimepin")
}

/// Whether a policy lets somebody in for a one-time PIN: anybody with a mailbox can have one.
fn takes_a_pin(policy: &Value, facts: &Facts<'_>) -> bool {
    items(policy, "include").any(|rule| rule["login_method"].is_object() && is_pin(&rule["login_method"]["id"], facts))
}

pub(super) fn everyone(facts: &Facts<'_>) -> Outcome {
    first(facts, |policy| {
        if takes_a_pin(policy, facts) {
            // The next check says it better.
            return None;
        }
        let how = everybody(policy, facts)?;
        Some(fail(
            format!("the policy {:?} lets everybody in: {how}", text(policy, "name")),
            format!("{POLICIES}: name the family's e-mail addresses, or a rule group of them"),
        ))
    })
}

pub(super) fn one_time_pin(facts: &Facts<'_>) -> Outcome {
    let by_rule = first(facts, |policy| {
        (takes_a_pin(policy, facts) && everybody(policy, facts).is_some()).then(|| {
            fail(
                format!(
                    "the policy {:?} lets in whoever has a one-time PIN: that is everybody with a mailbox",
                    text(policy, "name")
                ),
                format!("{POLICIES}: name the family's e-mail addresses instead of the login method"),
            )
        })
    });
    let Some(app) = facts.application().filter(|_| matches!(by_rule, Outcome::Pass(_))) else { return by_rule };
    let allowed: Vec<_> = items(app, "allowed_idps").collect();
    let usable = |method: &&Value| allowed.is_empty() || allowed.contains(&&method["id"]);
    let mut methods = facts.seen.list(Part::LoginMethods).iter().filter(usable).peekable();
    if methods.peek().is_none() || !methods.all(|method| method["type"] == "onetimepin") {
        return pass();
    }
    let broad =
        of(facts, app).into_iter().find(|policy| is_allow(policy) && rule::reach_of(policy, facts.seen, 0) > Reach::Named);
    let fix = "Zero Trust > Integrations > Identity providers: add Google or another one with a second factor, then name it in the settings (login)";
    match broad {
        Some(policy) => fail(
            format!("a one-time PIN is the only login method, and the policy {:?} names no single people", text(policy, "name")),
            fix,
        ),
        None => warn("a one-time PIN is the only login method: whoever reads the family's mail gets in", fix),
    }
}

pub(super) fn service_auth(facts: &Facts<'_>) -> Outcome {
    first(facts, |policy| {
        let wrong = |rule: &&Value| rule::kind(rule).0 != "service_token";
        let wrong = items(policy, "include").find(wrong).filter(|_| policy["decision"] == "non_identity")?;
        if items(policy, "require").any(|rule| rule::kind(rule).0 == "service_token") {
            return None;
        }
        Some(fail(
            format!("the policy {:?} (Service Auth) lets in by {}", text(policy, "name"), rule::named(wrong, facts.seen)),
            format!("{POLICIES}: include only service tokens by name; the tokens of other applications must not open this one"),
        ))
    })
}

pub(super) fn unknown(facts: &Facts<'_>) -> Outcome {
    first(facts, |policy| match rule::reach_of(policy, facts.seen, 0) {
        Reach::Unknown(kind) if policy["decision"] != "deny" => Some(warn(
            format!("the policy {:?} has a rule that guardctl cannot judge: {kind}", text(policy, "name")),
            format!("{POLICIES}: look at it yourself: whom does it let in?"),
        )),
        _ => None,
    })
}
