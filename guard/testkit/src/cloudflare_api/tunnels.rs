//! Tunnels: made, found by name, their token, and the configuration of a remotely managed one.

use serde_json::{Value, json};

use super::Asked;
use super::reply::Reply;
use super::routes::{body, merge, no_route, position};
use super::state::{ACCOUNT, State, THEN, text};

pub(super) fn answer(state: &mut State, asked: &Asked, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let (name, deleted) = (asked.parameter("name"), asked.parameter("is_deleted"));
            let is_shown = |tunnel: &&Value| {
                name.as_ref().is_none_or(|name| text(tunnel, "name") == name)
                    && deleted.as_ref().is_none_or(|deleted| (deleted == "true") != tunnel["deleted_at"].is_null())
            };
            Reply::page(asked, &state.tunnels.iter().filter(is_shown).cloned().collect::<Vec<_>>())
        }
        ("POST", []) => {
            let sent = body(asked);
            let name = text(&sent, "name");
            if name.is_empty() {
                return Reply::error(400, 1002, "Bad Request: The tunnel name is required");
            }
            if state.tunnels.iter().any(|tunnel| text(tunnel, "name") == name && tunnel["deleted_at"].is_null()) {
                return Reply::error(409, 1013, "You already have a tunnel with this name. Please choose a different name");
            }
            let id = state.uuid();
            let tunnel = json!({
                "id": id, "account_tag": ACCOUNT, "name": name, "config_src": sent["config_src"].as_str().unwrap_or("local"),
                "status": "inactive", "tun_type": "cfd_tunnel", "remote_config": sent["config_src"] == "cloudflare", "connections": [],
                "metadata": {}, "created_at": THEN, "deleted_at": null, "conns_active_at": null, "conns_inactive_at": THEN,
            });
            state.tunnels.push(tunnel.clone());
            let mut shown = tunnel;
            shown["token"] = json!(state.tunnel_token(&id));
            Reply::ok(&shown)
        }
        (method, [id, rest @ ..]) => {
            let Some(at) = position(&state.tunnels, id) else { return Reply::error(404, 1003, "Tunnel not found") };
            one(state, asked, method, id, at, rest)
        }
        _ => no_route(asked),
    }
}

fn one(state: &mut State, asked: &Asked, method: &str, id: &str, at: usize, rest: &[&str]) -> Reply {
    match (method, rest) {
        ("GET", []) => Reply::ok(&state.tunnels[at]),
        ("GET", ["token"]) => Reply::ok(&json!(state.tunnel_token(id))),
        ("GET", ["connections"]) => Reply::ok(&json!([])),
        ("GET", ["configurations"]) => {
            let config = state.configurations.get(id).cloned().unwrap_or(Value::Null);
            Reply::ok(
                &json!({"tunnel_id": id, "version": 1, "config": config, "source": state.tunnels[at]["config_src"], "created_at": THEN}),
            )
        }
        ("PUT", ["configurations"]) => {
            state.configurations.insert(id.to_owned(), body(asked)["config"].clone());
            state.tunnels[at]["config_src"] = json!("cloudflare");
            Reply::ok(&json!({"tunnel_id": id, "version": 2, "config": state.configurations[id]}))
        }
        ("PATCH", []) => {
            merge(&mut state.tunnels[at], &body(asked));
            Reply::ok(&state.tunnels[at])
        }
        ("DELETE", []) => {
            state.tunnels[at]["deleted_at"] = json!(THEN);
            Reply::ok(&state.tunnels[at])
        }
        _ => no_route(asked),
    }
}
