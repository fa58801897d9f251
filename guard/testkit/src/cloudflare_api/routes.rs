//! From method and path to the part of the account; the token and its permissions come first.

use serde_json::{Value, json};

use super::reply::Reply;
use super::state::{ACCOUNT, State, text};
use super::{Asked, access, permissions, tunnels, zone};

pub(super) fn answer(state: &mut State, asked: &Asked) -> Reply {
    let Some(token) = asked.authorization.strip_prefix("Bearer ").filter(|token| !token.contains(char::is_whitespace)) else {
        return Reply::error(400, 6003, "Invalid request headers");
    };
    let Some(granted) = state.permissions(token).cloned() else {
        return Reply::error(401, 1000, "Invalid API Token");
    };
    if asked.body.is_err() {
        return Reply::error(400, 9207, "Request body is invalid.");
    }
    let path: Vec<_> = asked.path.trim_matches('/').split('/').collect();
    if let ["user" | "accounts", .., "tokens", "verify"] = path.as_slice() {
        // A user's token and an account's are verified at different addresses.
        return if (path[0] == "accounts") == token.starts_with("cfat_") {
            let mut result = json!({"id": "ed17574386854bf78a67040be0a770b0", "status": "active"});
            if let Some(expires) = &state.token_expires {
                result["expires_on"] = json!(expires);
            }
            Reply::ok(&result)
        } else {
            Reply::error(401, 1000, "Invalid API Token")
        };
    }
    if let Some(refusal) = permissions::refusal(asked, &granted) {
        return refusal;
    }
    match path.as_slice() {
        ["accounts", ACCOUNT, "access", rest @ ..] if state.has_zero_trust => access::answer(state, asked, rest),
        ["accounts", ACCOUNT, "access", ..] => Reply::error(403, 9999, "access.api.error.not_enabled"),
        ["accounts", ACCOUNT, "cfd_tunnel", rest @ ..] => tunnels::answer(state, asked, rest),
        ["zones", rest @ ..] => zone::answer(state, asked, rest),
        _ => no_route(asked),
    }
}

pub(super) fn no_route(asked: &Asked) -> Reply {
    Reply::error(400, 7003, &format!("Could not route to {}, perhaps your object identifier is invalid?", asked.path))
}

/// The member of the body; `Null` where there is none.
pub(super) fn body(asked: &Asked) -> Value {
    asked.body.clone().ok().flatten().unwrap_or(Value::Null)
}

/// Reads, and nothing else: a list with pages, or one object of it.
pub(super) fn read(asked: &Asked, rest: &[&str], all: &[Value]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", []) => Reply::page(asked, all),
        ("GET", [id]) => all.iter().find(|it| it["id"] == *id).map_or_else(|| Reply::error(404, 12130, "not_found"), Reply::ok),
        _ => no_route(asked),
    }
}

/// The object of this id.
pub(super) fn position(all: &[Value], id: &str) -> Option<usize> {
    all.iter().position(|object| text(object, "id") == id)
}

/// Puts the members of `body` over those of `object`.
pub(super) fn merge(object: &mut Value, body: &Value) {
    for (member, value) in body.as_object().into_iter().flatten() {
        object[member] = value.clone();
    }
}
