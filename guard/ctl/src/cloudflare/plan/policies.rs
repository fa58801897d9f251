//! The two policies: `family` (Allow, people by address or group) and `phones` (Service Auth, one service token for each phone).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Input, Plan, UNKNOWN};
use crate::cloudflare::api::Call;
use crate::cloudflare::part::Part;
use crate::cloudflare::rule;
use crate::cloudflare::seen::{items, text};
use crate::cloudflare::wanted::Who;

/// What Cloudflare adds to a policy, and does not take back.
const READ_ONLY: [&str; 7] = ["id", "uid", "account_id", "app_count", "created_at", "updated_at", "reusable"];
/// A policy may name at most so many service tokens (Cloudflare's account limits).
const MAX_TOKENS: usize = 50;

/// The names of the policies that the application shall have, in the order in which it has them.
pub(super) fn names(input: &Input<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if !input.wanted.phones.is_empty() {
        names.push(input.wanted.named("phones"));
    }
    names.push(input.wanted.named("family"));
    names
}

pub(super) fn plan(plan: &mut Plan, input: &Input<'_>) {
    let before = plan.changes.len();
    if input.wanted.phones.len() > MAX_TOKENS {
        plan.refusals.push(format!(
            "found {} phones, wanted at most {MAX_TOKENS}: a policy names no more service tokens",
            input.wanted.phones.len()
        ));
    }
    if !input.wanted.phones.is_empty() {
        one(plan, input, &input.wanted.named("phones"), "non_identity", &phones(input));
    }
    let family = family(plan, input);
    one(plan, input, &input.wanted.named("family"), "allow", &family);
    if before == plan.changes.len() {
        plan.right.push("policies");
    }
}

fn one(plan: &mut Plan, input: &Input<'_>, name: &str, decision: &str, include: &[Value]) {
    let seen = input.seen;
    let hits: Vec<_> = seen.list(Part::Policies).iter().filter(|policy| policy["name"] == name).collect();
    let path = format!("{}/access/policies", seen.account());
    match hits.as_slice() {
        [] => {
            let mut lines = vec![format!("action: {}", action(decision))];
            lines.extend(include.iter().map(|it| format!("include: {}", rule::named(it, seen))));
            let body = json!({"name": name, "decision": decision, "include": include, "exclude": [], "require": []});
            plan.push(true, format!("policy {name}"), lines, Call::write(Part::Policies, Method::POST, path, body));
        }
        [found] => {
            let mut lines = Vec::new();
            if found["decision"] != decision {
                lines.push(format!("action: {} → {}", action(text(found, "decision")), action(decision)));
            }
            let (had, wanted) = (rule::canonical(items(found, "include")), rule::canonical(include.iter()));
            let lacks =
                |set: &std::collections::BTreeSet<String>, it: &Value| set.is_disjoint(&rule::canonical(std::iter::once(it)));
            lines.extend(
                items(found, "include")
                    .filter(|it| lacks(&wanted, it))
                    .map(|it| format!("include: less {}", rule::named(it, seen))),
            );
            lines
                .extend(include.iter().filter(|it| lacks(&had, it)).map(|it| format!("include: also {}", rule::named(it, seen))));
            if lines.is_empty() {
                return;
            }
            if found["app_count"].as_u64().unwrap_or(0) > 1 {
                plan.notes.push(format!("{} applications use the policy {name}: they all change", found["app_count"]));
            }
            // Everything else that somebody has set stays: `require`, `exclude`, a purpose, a second factor.
            let mut body = found.as_object().cloned().unwrap_or_default();
            body.retain(|member, _| !READ_ONLY.contains(&member.as_str()));
            body.insert("decision".to_owned(), json!(decision));
            body.insert("include".to_owned(), json!(include));
            let path = format!("{path}/{}", text(found, "id"));
            plan.push(
                false,
                format!("policy {name}"),
                lines,
                Call::write(Part::Policies, Method::PUT, path, Value::Object(body)),
            );
        }
        many => plan.refusals.push(format!(
            "found {} policies named {name:?}, wanted one; delete the others in Zero Trust > Access controls > Policies",
            many.len()
        )),
    }
}

fn phones(input: &Input<'_>) -> Vec<Value> {
    let id = |phone: &String| {
        let name = input.wanted.named(phone);
        let token = input.seen.list(Part::ServiceTokens).iter().find(|token| token["name"] == name.as_str());
        rule::service_token(token.map_or(UNKNOWN, |token| text(token, "id")))
    };
    input.wanted.phones.iter().map(id).collect()
}

fn family(plan: &mut Plan, input: &Input<'_>) -> Vec<Value> {
    let mut include = Vec::new();
    for who in &input.wanted.family {
        match who {
            Who::Email(address) => include.push(rule::email(address)),
            Who::Domain(domain) => include.push(rule::domain(domain)),
            Who::Group(name) => {
                let hits: Vec<_> = input.seen.list(Part::Groups).iter().filter(|group| group["name"] == name.as_str()).collect();
                match hits.as_slice() {
                    [group] => include.push(rule::group(text(group, "id"))),
                    hits => plan.refusals.push(format!(
                        "found {} rule groups named {name:?}, wanted one (Zero Trust > Access controls > Policies > Rule groups)",
                        hits.len()
                    )),
                }
            }
        }
    }
    include
}

/// The dashboard's name of a decision.
fn action(decision: &str) -> &str {
    match decision {
        "allow" => "Allow",
        "deny" => "Block",
        "non_identity" => "Service Auth",
        "bypass" => "Bypass",
        other => other,
    }
}
