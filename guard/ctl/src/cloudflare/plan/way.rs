//! The way of a request to the home: the tunnel, the cache rule, WebSockets, and, last, the DNS record.

use reqwest::Method;
use serde_json::json;

use super::{Adopt, Change, Effect, Input, Plan, UNKNOWN, shown};
use crate::cloudflare::api::Call;
use crate::cloudflare::part::Part;
use crate::cloudflare::seen::{items, target, text};
use crate::cloudflare::wanted::MARK;

/// The types of records that lead a browser somewhere.
const LEADING: [&str; 4] = ["A", "AAAA", "CNAME", "HTTPS"];

/// A tunnel whose rules are a file in Git. Its rules are never written from here: for a locally managed tunnel that could make it the dashboard's.
pub(super) fn tunnel(plan: &mut Plan, input: &Input<'_>) {
    let (seen, name) = (input.seen, &input.wanted.tunnel);
    let file = input.files.tunnel();
    let Some(tunnel) = seen.tunnel(input.wanted) else {
        let body = json!({"name": name, "config_src": "local"});
        let lines = vec!["locally managed: its only rule is apps/networking/cloudflared/config.yaml, to guard".to_owned()];
        let path = format!("{}/cfd_tunnel", seen.account());
        plan.push(true, format!("tunnel {name}"), lines, Call::write(Part::Tunnels, Method::POST, path, body));
        token(plan, UNKNOWN, &file.display().to_string());
        return;
    };
    if tunnel["config_src"] != "local" {
        plan.refusals.push(format!(
            "the tunnel {name} is managed in the dashboard, and its rules there replace those in Git; wanted a locally managed one: choose another name (--tunnel)"
        ));
        return;
    }
    plan.right.push("tunnel");
    // A tunnel that was connected has its token at home.
    let is_connected = matches!(text(tunnel, "status"), "healthy" | "degraded");
    if !is_connected && !file.exists() {
        token(plan, text(tunnel, "id"), &file.display().to_string());
    }
}

fn token(plan: &mut Plan, id: &str, file: &str) {
    plan.changes.push(Change {
        is_new: true,
        what: format!("file {file}"),
        lines: vec!["the token of the tunnel (mode 0600), for the Secret cloudflared-tunnel".to_owned()],
        part: Part::Tunnels,
        opens: false,
        effect: Effect::TunnelToken(id.to_owned()),
    });
}

/// The key of our cache rule.
pub(crate) fn reference(host: &str) -> String {
    let word: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("immich_guard_{word}")
}

/// A rule that keeps photos out of Cloudflare's cache. It is appended: the others' rules are never replaced.
pub(super) fn cache_rule(plan: &mut Plan, input: &Input<'_>) {
    let host = &input.wanted.host;
    let rule = json!({
        "ref": reference(host), "description": format!("{MARK}: no copies of {host} in the cache"),
        "expression": format!("(http.host eq \"{host}\")"), "action": "set_cache_settings", "action_parameters": {"cache": false},
        "enabled": true,
    });
    let ruleset = input.seen.one(Part::CacheRules);
    let zone = input.seen.zone_path();
    let what = format!("cache rule for {host}");
    let found = items(ruleset, "rules").find(|found| found["ref"] == rule["ref"]);
    let (method, path, body, lines) = match (ruleset["id"].as_str(), found) {
        (None, _) => {
            let path = format!("{zone}/rulesets/phases/http_request_cache_settings/entrypoint");
            (Method::PUT, path, json!({"rules": [rule]}), vec!["bypass cache".to_owned()])
        }
        (Some(id), None) => (Method::POST, format!("{zone}/rulesets/{id}/rules"), rule, vec!["bypass cache".to_owned()]),
        (Some(id), Some(found)) => {
            let members = ["expression", "action", "enabled"];
            let mut lines: Vec<_> = members
                .iter()
                .filter(|member| found[**member] != rule[**member] && !(**member == "enabled" && found[**member].is_null()))
                .map(|member| format!("{member}: {} → {}", shown(&found[*member]), shown(&rule[*member])))
                .collect();
            if found["action_parameters"]["cache"] != false {
                lines.push(format!("action_parameters: {} → bypass cache", shown(&found["action_parameters"])));
            }
            if lines.is_empty() {
                plan.right.push("cache rule");
                return;
            }
            (Method::PATCH, format!("{zone}/rulesets/{id}/rules/{}", text(found, "id")), rule, lines)
        }
    };
    plan.push(method != Method::PATCH, what, lines, Call::write(Part::CacheRules, method, path, body));
}

/// WebSockets: the only switch of the whole zone that is changed, because the app needs it and nothing else minds.
pub(super) fn websockets(plan: &mut Plan, input: &Input<'_>) {
    let Some(setting) = input.seen.list(Part::Settings).iter().find(|setting| setting["id"] == "websockets") else { return };
    match (setting["value"] == "on", setting["editable"] != false) {
        (true, _) => plan.right.push("WebSockets"),
        (false, false) => plan.notes.push(
            "WebSockets are off, and this plan does not let them be switched on: the app says \"Server offline\"".to_owned(),
        ),
        (false, true) => {
            let path = format!("{}/settings/websockets", input.seen.zone_path());
            let lines = vec![format!("{} → on, for the whole domain", shown(&setting["value"]))];
            plan.push(false, "WebSockets", lines, Call::write(Part::Settings, Method::PATCH, path, json!({"value": "on"})));
        }
    }
}

/// The record that makes the host name reachable: the last change.
pub(super) fn record(plan: &mut Plan, input: &Input<'_>) {
    let (seen, host) = (input.seen, &input.wanted.host);
    let tunnel = seen.tunnel(input.wanted).map_or(UNKNOWN, |tunnel| text(tunnel, "id"));
    let content = target(tunnel);
    let here: Vec<_> = seen
        .list(Part::Records)
        .iter()
        .filter(|record| text(record, "name").eq_ignore_ascii_case(host) && LEADING.contains(&text(record, "type")))
        .collect();
    let path = format!("{}/dns_records", seen.zone_path());
    let body = json!({"type": "CNAME", "name": host, "content": content, "proxied": true, "ttl": 1, "comment": MARK});
    let (is_new, lines, call) = match here.as_slice() {
        [] => {
            let lines = vec![format!("CNAME → {content}, proxied; written only when the gate before it was read back")];
            (true, lines, Call::write(Part::Records, Method::POST, path, body))
        }
        [found] if found["type"] == "CNAME" => {
            let is_right = text(found, "content").eq_ignore_ascii_case(&content);
            if is_right && found["proxied"] == true {
                plan.right.push("DNS record");
                return;
            }
            // Without a proxy, a record to the tunnel leads nowhere: to put that right harms nobody.
            let is_ours = text(found, "comment").starts_with(MARK) || is_right;
            if !is_ours && !input.adopt.contains(&Adopt::Record) {
                plan.refusals.push(format!(
                    "{host} has a record already, CNAME {}, which guardctl did not make; --adopt record lets it lead to the tunnel",
                    text(found, "content")
                ));
                return;
            }
            let mut lines = Vec::new();
            for member in ["content", "proxied"] {
                if found[member] != body[member] {
                    lines.push(format!("{member}: {} → {}", shown(&found[member]), shown(&body[member])));
                }
            }
            let body = json!({"type": "CNAME", "name": host, "content": content, "proxied": true, "ttl": 1, "comment": MARK});
            (false, lines, Call::write(Part::Records, Method::PATCH, format!("{path}/{}", text(found, "id")), body))
        }
        found => {
            let all: Vec<_> =
                found.iter().map(|record| format!("{} {}", text(record, "type"), text(record, "content"))).collect();
            plan.refusals.push(format!(
                "{host} has records already ({}), which guardctl did not make; delete them in the dashboard: DNS > Records",
                all.join(", ")
            ));
            return;
        }
    };
    plan.changes.push(Change {
        is_new,
        what: format!("DNS record {host}"),
        lines,
        part: Part::Records,
        opens: true,
        effect: Effect::Write(call),
    });
}
