//! The Access application of the host name. An update is a full replacement, so it is made from what was read: what guardctl does not manage stays.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Input, Plan, UNKNOWN, policies, shown};
use crate::cloudflare::api::Call;
use crate::cloudflare::part::Part;
use crate::cloudflare::seen::{items, text};
use crate::cloudflare::wanted::{APPLICATION, MARK, seconds};

/// What Cloudflare adds to an application, and does not take back; `self_hosted_domains` is an older name of `destinations`.
const READ_ONLY: [&str; 6] = ["id", "uid", "aud", "created_at", "updated_at", "self_hosted_domains"];
/// Switches: name, wanted, what is meant where the name is absent.
const SWITCHES: [(&str, bool, bool); 4] = [
    ("http_only_cookie_attribute", true, true),
    // Phones cannot answer it.
    ("enable_binding_cookie", false, false),
    ("options_preflight_bypass", false, false),
    ("path_cookie_attribute", false, false),
];

pub(super) fn plan(plan: &mut Plan, input: &Input<'_>) {
    let (seen, wanted) = (input.seen, input.wanted);
    let path = format!("{}/access/apps", seen.account());
    let Some(login) = login_methods(plan, input) else { return };
    let policies = attached(input, None);
    match seen.applications(&wanted.host).as_slice() {
        [] => {
            let mut body = json!({
                "type": "self_hosted", "name": APPLICATION, "domain": wanted.host,
                "destinations": [{"type": "public", "uri": wanted.host}],
                "session_duration": wanted.session, "app_launcher_visible": true, "auto_redirect_to_identity": false,
                "http_only_cookie_attribute": true, "enable_binding_cookie": false, "service_auth_401_redirect": false,
                "policies": policies,
            });
            if !login.is_empty() {
                body["allowed_idps"] = json!(login);
            }
            let lines = vec![
                format!("host name: {}, no path; who matches no policy is refused", wanted.host),
                format!("policies: {}", policies::names(input).join(", ")),
                format!("a sign-in lasts {}", wanted.session),
            ];
            plan.push(
                true,
                format!("Access application {APPLICATION}"),
                lines,
                Call::write(Part::Applications, Method::POST, path, body),
            );
        }
        [app] => update(plan, input, app, &login, &path),
        many => plan.refusals.push(format!(
            "found {} Access applications for {}, wanted one; delete the others in the dashboard",
            many.len(),
            wanted.host
        )),
    }
}

fn update(plan: &mut Plan, input: &Input<'_>, app: &Value, login: &[String], path: &str) {
    let wanted = input.wanted;
    let is_ours = text(app, "name").contains(&format!("({MARK})"));
    if !is_ours && !input.adopt.contains(&super::Adopt::Application) {
        plan.refusals.push(format!(
            "{} has an Access application already, {:?}, which guardctl did not make; --adopt application takes it over, with its AUD tag",
            wanted.host,
            text(app, "name")
        ));
        return;
    }
    if app["type"] != "self_hosted" {
        plan.refusals.push(format!(
            "the Access application {:?} is of type {}, wanted self_hosted",
            text(app, "name"),
            text(app, "type")
        ));
        return;
    }
    let mut body = app.as_object().cloned().unwrap_or_default();
    body.retain(|member, _| !READ_ONLY.contains(&member.as_str()));
    let mut lines = Vec::new();
    if !is_ours {
        set(&mut body, &mut lines, "name", json!(APPLICATION));
    }
    if seconds(text(app, "session_duration")) != seconds(&wanted.session) {
        set(&mut body, &mut lines, "session_duration", json!(wanted.session));
    }
    for (switch, wanted, default) in SWITCHES {
        if app[switch].as_bool().unwrap_or(default) != wanted {
            set(&mut body, &mut lines, switch, json!(wanted));
        }
    }
    let mut had: Vec<_> = items(app, "allowed_idps").filter_map(Value::as_str).map(str::to_owned).collect();
    had.sort_unstable();
    if !login.is_empty() && had != login {
        set(&mut body, &mut lines, "allowed_idps", json!(login));
    }
    destinations(&mut body, &mut lines, app, &wanted.host);

    let policies = attached(input, Some(app));
    let ids = |list: &[Value]| list.iter().map(|policy| text(policy, "id").to_owned()).collect::<Vec<_>>();
    let mut now: Vec<_> = items(app, "policies").cloned().collect();
    now.sort_by_key(|policy| policy["precedence"].as_u64());
    if ids(&now) != ids(&policies) {
        let name = |policy: &Value| {
            let known = now.iter().chain(input.seen.list(Part::Policies)).find(|known| known["id"] == policy["id"]);
            known.map_or_else(|| UNKNOWN.to_owned(), |known| text(known, "name").to_owned())
        };
        lines.push(format!("policies: {} → {}", list(now.iter().map(name)), list(policies.iter().map(name))));
    }
    if lines.is_empty() {
        plan.right.push("Access application");
        return;
    }
    if let Some(inline) = now.iter().find(|policy| policy["reusable"] == false) {
        plan.refusals.push(format!(
            "the policy {:?} belongs to the application alone, and an update could lose it; in the dashboard, make it reusable or remove it",
            text(inline, "name")
        ));
        return;
    }
    body.insert("policies".to_owned(), Value::Array(policies));
    let call = Call::write(Part::Applications, Method::PUT, format!("{path}/{}", text(app, "id")), Value::Object(body));
    plan.push(false, format!("Access application {}", text(app, "name")), lines, call);
}

/// The policies of the application: ours first, then those that somebody else has attached, in their order. Never empty.
fn attached(input: &Input<'_>, app: Option<&Value>) -> Vec<Value> {
    let names = policies::names(input);
    let id = |name: &String| {
        let found = input.seen.list(Part::Policies).iter().find(|policy| policy["name"] == name.as_str());
        found.map_or(UNKNOWN, |policy| text(policy, "id")).to_owned()
    };
    let mut ids: Vec<_> = names.iter().map(id).collect();
    let mut others: Vec<_> = app.into_iter().flat_map(|app| items(app, "policies")).collect();
    others.sort_by_key(|policy| policy["precedence"].as_u64());
    let ours = input.wanted.named("");
    let others =
        others.into_iter().filter(|policy| !text(policy, "name").starts_with(&ours)).map(|policy| text(policy, "id").to_owned());
    ids.extend(others);
    ids.into_iter().zip(1..).map(|(id, precedence)| json!({"id": id, "precedence": precedence})).collect()
}

/// The ids of the wanted login methods, sorted; empty where all of the account will do.
fn login_methods(plan: &mut Plan, input: &Input<'_>) -> Option<Vec<String>> {
    let methods = input.seen.list(Part::LoginMethods);
    let mut ids = Vec::new();
    for name in &input.wanted.login {
        let hits: Vec<_> = methods
            .iter()
            .filter(|method| text(method, "name").eq_ignore_ascii_case(name) || method["type"] == name.as_str())
            .collect();
        if let [method] = hits.as_slice() {
            ids.push(text(method, "id").to_owned());
        } else {
            let known = list(methods.iter().map(|method| text(method, "name").to_owned()));
            plan.refusals.push(format!("found {} login methods named {name:?}, wanted one of: {known}", hits.len()));
            return None;
        }
    }
    ids.sort_unstable();
    Some(ids)
}

/// The host name as a destination, without exceptions; other destinations stay.
fn destinations(body: &mut Map<String, Value>, lines: &mut Vec<String>, app: &Value, host: &str) {
    let is_host = |item: &Value| text(item, "uri").trim_end_matches('/').eq_ignore_ascii_case(host);
    let mut wanted: Vec<_> = items(app, "destinations").cloned().collect();
    for item in wanted.iter_mut().filter(|item| is_host(item)) {
        let overrides = item.as_object_mut().and_then(|item| item.remove("overrides"));
        if overrides.as_ref().and_then(Value::as_array).is_some_and(|overrides| !overrides.is_empty()) {
            lines.push(format!("exceptions of {host}: {} → none", shown(&overrides.unwrap_or_default())));
        }
    }
    if !wanted.iter().any(is_host) {
        wanted.push(json!({"type": "public", "uri": host}));
        // An older application has its host name as domain only, which means the same.
        if !text(app, "domain").eq_ignore_ascii_case(host) || items(app, "destinations").next().is_some() {
            lines.push(format!("host names: also {host}"));
        }
    }
    body.insert("destinations".to_owned(), Value::Array(wanted));
}

fn set(body: &mut Map<String, Value>, lines: &mut Vec<String>, member: &str, wanted: Value) {
    lines.push(format!("{member}: {} → {}", shown(body.get(member).unwrap_or(&Value::Null)), shown(&wanted)));
    body.insert(member.to_owned(), wanted);
}

fn list(names: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = names.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
