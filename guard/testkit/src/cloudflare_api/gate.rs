//! The account from outside: which host names lead into a tunnel, and which of them everybody can pass. Written apart from what guardctl thinks.

use serde_json::Value;

use super::state::{State, items, text};

/// The host names with a proxied record into a tunnel that exists.
pub(super) fn reachable(state: &State) -> Vec<String> {
    let leads = |record: &&Value| {
        let tunnel = text(record, "content").strip_suffix(".cfargotunnel.com").unwrap_or_default();
        record["proxied"] == true && state.tunnels.iter().any(|it| it["id"] == tunnel && it["deleted_at"].is_null())
    };
    state.records.iter().filter(leads).map(|record| text(record, "name").to_owned()).collect()
}

/// Those of them without a closed gate.
pub(super) fn open(state: &State) -> Vec<String> {
    reachable(state).into_iter().filter(|host| !is_closed(state, host)).collect()
}

fn is_closed(state: &State, host: &str) -> bool {
    let covers = |app: &&Value| text(app, "domain") == host || items(app, "destinations").any(|it| text(it, "uri") == host);
    let mut apps = state.apps.iter().filter(covers).peekable();
    let below = |app: &&Value| text(app, "domain").starts_with(&format!("{host}/"));
    apps.peek().is_some()
        && apps.all(|app| lets_nobody_by(state, app))
        && state.apps.iter().filter(below).all(|app| lets_nobody_by(state, app))
}

fn lets_nobody_by(state: &State, app: &Value) -> bool {
    let has_exception = items(app, "destinations").flat_map(|it| items(it, "overrides")).any(|it| it["behavior"] == "public");
    let attached = items(app, "policies").filter_map(|link| state.policies.iter().find(|policy| policy["id"] == link["id"]));
    let is_wide = |policy: &Value| {
        policy["decision"] == "bypass"
            || (policy["decision"] != "deny" && items(policy, "include").any(|rule| rule["everyone"].is_object()))
    };
    !has_exception && !attached.into_iter().any(is_wide)
}
