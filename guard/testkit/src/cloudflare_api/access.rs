//! Access: applications, reusable policies, service tokens, groups, login methods, and the organization.

use serde_json::{Value, json};

use super::Asked;
use super::reply::Reply;
use super::routes::{body, merge, no_route, position, read};
use super::state::{State, THEN, items, text};

/// A date that no test reaches.
const FAR: &str = "2099-01-01T00:00:00Z";

pub(super) fn answer(state: &mut State, asked: &Asked, path: &[&str]) -> Reply {
    match path {
        ["organizations"] if asked.method == "GET" => Reply::ok(&state.organization),
        ["identity_providers", rest @ ..] => read(asked, rest, &state.login_methods),
        ["groups", rest @ ..] => read(asked, rest, &state.groups),
        ["apps", rest @ ..] => apps(state, asked, rest),
        ["policies", rest @ ..] => policies(state, asked, rest),
        ["service_tokens", rest @ ..] => service_tokens(state, asked, rest),
        _ => no_route(asked),
    }
}

fn apps(state: &mut State, asked: &Asked, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let domain = asked.parameter("domain");
            let shown: Vec<_> = state
                .apps
                .iter()
                .filter(|app| domain.as_ref().is_none_or(|it| text(app, "domain") == it))
                .map(|app| expanded(state, app))
                .collect();
            Reply::page(asked, &shown)
        }
        ("GET", [id]) => match position(&state.apps, id) {
            Some(at) => Reply::ok(&expanded(state, &state.apps[at])),
            None => absent("application"),
        },
        ("POST", []) => {
            let mut app = body(asked);
            if app["type"].as_str().is_none() || text(&app, "domain").is_empty() {
                return invalid("type and domain are required");
            }
            if let Some(refusal) = claimed(state, &app, "") {
                return refusal;
            }
            let links = match links(state, &app["policies"]) {
                Ok(links) => links,
                Err(refusal) => return refusal,
            };
            merge(
                &mut app,
                &json!({"id": state.uuid(), "aud": format!("{:064x}", state.number()), "created_at": THEN, "policies": links}),
            );
            let app = with_defaults(app);
            state.apps.push(app.clone());
            Reply::ok(&expanded(state, &app))
        }
        // A full replacement: what is not sent is gone, except for the policies where they are null or absent.
        ("PUT", [id]) => {
            let Some(at) = position(&state.apps, id) else { return absent("application") };
            let mut app = body(asked);
            if app["self_hosted_domains"].is_array() {
                return invalid("self_hosted_domains is no longer supported");
            }
            if let Some(refusal) = claimed(state, &app, id) {
                return refusal;
            }
            let old = state.apps[at].clone();
            let links = match &app["policies"] {
                Value::Null => old["policies"].clone(),
                sent => match links(state, sent) {
                    Ok(links) => links,
                    Err(refusal) => return refusal,
                },
            };
            merge(&mut app, &json!({"id": id, "aud": old["aud"], "created_at": old["created_at"], "policies": links}));
            state.apps[at] = with_defaults(app);
            Reply::ok(&expanded(state, &state.apps[at]))
        }
        ("DELETE", [id]) => match position(&state.apps, id) {
            Some(at) => Reply::ok(&json!({"id": state.apps.remove(at)["id"]})),
            None => absent("application"),
        },
        _ => no_route(asked),
    }
}

/// 409 where another application has the domain already.
fn claimed(state: &State, app: &Value, id: &str) -> Option<Reply> {
    let domain = text(app, "domain");
    let is_taken = state.apps.iter().any(|other| text(other, "id") != id && text(other, "domain") == domain);
    is_taken.then(|| Reply::error(409, 11010, "access.api.error.application_already_exists"))
}

/// What Cloudflare adds.
fn with_defaults(mut app: Value) -> Value {
    let domain = app["domain"].clone();
    let defaults = json!({
        "uid": app["id"], "updated_at": THEN, "session_duration": "24h", "app_launcher_visible": true, "http_only_cookie_attribute": true,
        "allowed_idps": [], "tags": [], "enable_binding_cookie": false, "auto_redirect_to_identity": false,
        "destinations": [{"type": "public", "uri": domain}], "self_hosted_domains": [domain],
    });
    for (member, value) in defaults.as_object().into_iter().flatten() {
        if app[member].is_null() {
            app[member] = value.clone();
        }
    }
    app
}

/// The policies of an application as links: `[{"id", "precedence"}]`, ids, or nothing.
fn links(state: &State, sent: &Value) -> Result<Value, Reply> {
    let mut links = Vec::new();
    for (link, number) in sent.as_array().into_iter().flatten().zip(1_u64..) {
        let id = link.as_str().or_else(|| link["id"].as_str()).unwrap_or_default();
        if position(&state.policies, id).is_none() {
            return Err(invalid(&format!("policy {id} does not exist")));
        }
        links.push(json!({"id": id, "precedence": link["precedence"].as_u64().unwrap_or(number)}));
    }
    let mut seen: Vec<_> = links.iter().map(|link| link["precedence"].as_u64()).collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() != links.len() {
        return Err(invalid("policy precedences must be unique"));
    }
    Ok(json!(links))
}

/// An application with its policies in full.
fn expanded(state: &State, app: &Value) -> Value {
    let mut app = app.clone();
    let full = |link: &Value| match position(&state.policies, text(link, "id")) {
        Some(at) => {
            let mut policy = counted(state, &state.policies[at]);
            policy["precedence"] = link["precedence"].clone();
            policy
        }
        None => link.clone(),
    };
    app["policies"] = items(&app, "policies").map(full).collect();
    app
}

/// A policy with the number of its applications.
fn counted(state: &State, policy: &Value) -> Value {
    let uses = |app: &&Value| items(app, "policies").any(|link| link["id"] == policy["id"]);
    let mut policy = policy.clone();
    merge(&mut policy, &json!({"app_count": state.apps.iter().filter(uses).count(), "reusable": true}));
    policy
}

fn policies(state: &mut State, asked: &Asked, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", _) => {
            let all: Vec<_> = state.policies.iter().map(|policy| counted(state, policy)).collect();
            read(asked, rest, &all)
        }
        ("POST", []) | ("PUT", [_]) => {
            let mut policy = body(asked);
            if let Some(refusal) = wrong_policy(state, &policy) {
                return refusal;
            }
            let at = if let [id] = rest {
                position(&state.policies, id)
            } else {
                let id = state.uuid();
                state.policies.push(json!({"id": id, "created_at": THEN}));
                Some(state.policies.len() - 1)
            };
            let Some(at) = at else { return absent("policy") };
            let old = &state.policies[at];
            merge(&mut policy, &json!({"id": old["id"], "created_at": old["created_at"], "updated_at": THEN}));
            for member in ["exclude", "require"] {
                if policy[member].is_null() {
                    policy[member] = json!([]);
                }
            }
            state.policies[at] = policy.clone();
            Reply::ok(&counted(state, &policy))
        }
        ("DELETE", [id]) => match position(&state.policies, id) {
            None => absent("policy"),
            Some(at) if counted(state, &state.policies[at])["app_count"] != 0 => {
                Reply::error(409, 12132, "access.api.error.conflict: policy is attached to an application")
            }
            Some(at) => Reply::ok(&json!({"id": state.policies.remove(at)["id"]})),
        },
        _ => no_route(asked),
    }
}

fn wrong_policy(state: &State, policy: &Value) -> Option<Reply> {
    let decisions = ["allow", "deny", "non_identity", "bypass"];
    if text(policy, "name").is_empty()
        || !decisions.contains(&text(policy, "decision"))
        || items(policy, "include").next().is_none()
    {
        return Some(invalid("name, decision and include are required"));
    }
    let wrong = items(policy, "include").chain(items(policy, "require")).chain(items(policy, "exclude")).find(|rule| {
        let is_known = |part: &[Value], inner: &Value, member: &str| position(part, text(inner, member)).is_some();
        match rule.as_object().and_then(|rule| rule.iter().next()) {
            Some((kind, inner)) if kind == "service_token" => !is_known(&state.service_tokens, inner, "token_id"),
            Some((kind, inner)) if kind == "group" => !is_known(&state.groups, inner, "id"),
            Some((kind, inner)) if kind == "email" => !text(inner, "email").contains('@'),
            Some(_) => false,
            None => true,
        }
    });
    wrong.map(|rule| invalid(&format!("the rule {rule} is not valid")))
}

fn service_tokens(state: &mut State, asked: &Asked, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", _) => {
            let name = asked.parameter("name");
            let shown: Vec<_> = state
                .service_tokens
                .iter()
                .filter(|it| name.as_ref().is_none_or(|name| text(it, "name") == name))
                .cloned()
                .collect();
            read(asked, rest, &shown)
        }
        ("POST", []) => {
            let sent = body(asked);
            if text(&sent, "name").is_empty() {
                return invalid("name is required");
            }
            let token = json!({
                "id": state.uuid(), "name": sent["name"], "client_id": format!("{}.access", state.hex()), "enabled": true,
                "duration": sent["duration"].as_str().unwrap_or("8760h"), "expires_at": FAR, "created_at": THEN, "updated_at": THEN,
            });
            state.service_tokens.push(token.clone());
            Reply::ok(&with_secret(state, token))
        }
        ("POST", [id, "rotate"]) => match position(&state.service_tokens, id) {
            Some(at) => {
                let token = state.service_tokens[at].clone();
                Reply::ok(&with_secret(state, token))
            }
            None => absent("service token"),
        },
        ("DELETE", [id]) => match position(&state.service_tokens, id) {
            Some(at) => Reply::ok(&state.service_tokens.remove(at)),
            None => absent("service token"),
        },
        _ => no_route(asked),
    }
}

/// The secret is shown in this answer only.
fn with_secret(state: &mut State, mut token: Value) -> Value {
    token["client_secret"] = json!(state.secret("cfast_"));
    token
}

fn invalid(why: &str) -> Reply {
    Reply::error(400, 12130, &format!("access.api.error.invalid_request: {why}"))
}

fn absent(what: &str) -> Reply {
    Reply::error(404, 12083, &format!("access.api.error.{}_not_found", what.replace(' ', "_")))
}
