//! A zone: records, cache rules, switches, bots, certificates.

use serde_json::{Value, json};

use super::Asked;
use super::reply::Reply;
use super::routes::{body, merge, no_route, position, read};
use super::state::{State, THEN, items, text};

pub(super) fn answer(state: &mut State, asked: &Asked, path: &[&str]) -> Reply {
    match path {
        [] if asked.method == "GET" => {
            let name = asked.parameter("name");
            let shown: Vec<_> =
                state.zones.iter().filter(|zone| name.as_ref().is_none_or(|name| text(zone, "name") == name)).cloned().collect();
            Reply::page(asked, &shown)
        }
        [zone, ..] if position(&state.zones, zone).is_none() => {
            Reply::error(404, 7003, "Could not route to the zone, perhaps your object identifier is invalid?")
        }
        [zone, "dns_records", rest @ ..] => records(state, asked, zone, rest),
        [_, "rulesets", rest @ ..] => rulesets(state, asked, rest),
        [_, "settings", id] => setting(state, asked, id),
        [_, "bot_management"] => {
            if asked.method == "PUT" {
                merge(&mut state.bots, &body(asked));
            }
            Reply::ok(&state.bots)
        }
        [_, "ssl", "certificate_packs"] => Reply::page(asked, &state.certificates),
        _ => no_route(asked),
    }
}

fn records(state: &mut State, asked: &Asked, zone: &str, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let filters = ["name", "content", "type"]
                .map(|member| (member, asked.parameter(&format!("{member}.exact")).or_else(|| asked.parameter(member))));
            let is_shown = |record: &&Value| {
                text(record, "zone_id") == zone
                    && filters.iter().all(|(member, wanted)| {
                        wanted.as_ref().is_none_or(|wanted| text(record, member).eq_ignore_ascii_case(wanted))
                    })
            };
            Reply::page(asked, &state.records.iter().filter(is_shown).cloned().collect::<Vec<_>>())
        }
        ("GET", [_]) => read(asked, rest, &state.records),
        ("POST", []) => {
            let sent = body(asked);
            if let Some(refusal) = wrong_record(&sent) {
                return refusal;
            }
            let exclusive = ["A", "AAAA", "CNAME"];
            let is_in_the_way = |record: &Value| {
                record["name"] == sent["name"]
                    && exclusive.contains(&text(record, "type"))
                    && exclusive.contains(&text(&sent, "type"))
                    && (record["type"] == "CNAME" || sent["type"] == "CNAME")
            };
            if state.records.iter().any(is_in_the_way) {
                return Reply::error(400, 81053, "An A, AAAA, or CNAME record with that host already exists.");
            }
            let mut record = json!({
                "id": state.hex(), "zone_id": zone, "proxiable": true, "meta": {}, "settings": {}, "tags": [], "comment": null,
                "created_on": THEN, "modified_on": THEN,
            });
            merge(&mut record, &sent);
            state.records.push(record.clone());
            Reply::ok(&record)
        }
        ("PATCH" | "PUT", [id]) => {
            let Some(at) = position(&state.records, id) else { return Reply::error(404, 81044, "Record does not exist.") };
            let sent = body(asked);
            if sent["type"].is_string() && sent["type"] != state.records[at]["type"] {
                return Reply::error(400, 9000, "The type of a record cannot be changed.");
            }
            merge(&mut state.records[at], &sent);
            Reply::ok(&state.records[at])
        }
        ("DELETE", [id]) => match position(&state.records, id) {
            Some(at) => Reply::ok(&json!({"id": state.records.remove(at)["id"]})),
            None => Reply::error(404, 81044, "Record does not exist."),
        },
        _ => no_route(asked),
    }
}

fn wrong_record(sent: &Value) -> Option<Reply> {
    if ["type", "name", "content"].iter().any(|member| text(sent, member).is_empty()) {
        return Some(Reply::error(400, 9005, "DNS record needs type, name and content"));
    }
    let is_long = text(sent, "comment").len() > 100;
    is_long.then(|| Reply::error(400, 9304, "DNS record comment exceeds 100 characters"))
}

fn rulesets(state: &mut State, asked: &Asked, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", ["phases", "http_request_cache_settings", "entrypoint"]) => match &state.ruleset {
            Some(ruleset) => Reply::ok(ruleset),
            None => Reply::error(404, 10003, "could not find entrypoint ruleset in the http_request_cache_settings phase"),
        },
        ("PUT", ["phases", "http_request_cache_settings", "entrypoint"]) => {
            let sent = body(asked);
            let unknown = sent
                .as_object()
                .into_iter()
                .flatten()
                .find(|(member, _)| !["rules", "name", "description"].contains(&member.as_str()));
            if let Some((member, _)) = unknown {
                return Reply::error(400, 20120, &format!("invalid JSON: unknown field {member}"));
            }
            let id = state.hex();
            let rules: Vec<_> = items(&sent, "rules").map(|rule| rule_of(state, rule, None)).collect();
            state.ruleset = Some(json!({
                "id": id, "name": "default", "description": "", "kind": "zone", "phase": "http_request_cache_settings", "version": "1",
                "last_updated": THEN, "rules": rules,
            }));
            Reply::ok(state.ruleset.as_ref().unwrap_or(&Value::Null))
        }
        (method @ ("POST" | "PATCH"), [id, "rules", rest @ ..]) => {
            if state.ruleset.as_ref().is_none_or(|ruleset| ruleset["id"] != *id) {
                return Reply::error(404, 10000, "could not find ruleset");
            }
            let old = rest.first().copied();
            let rule = rule_of(state, &body(asked), old);
            let Some(rules) = state.ruleset.as_mut().and_then(|ruleset| ruleset["rules"].as_array_mut()) else {
                return no_route(asked);
            };
            match (method, old) {
                ("POST", None) => rules.push(rule),
                ("PATCH", Some(old)) => match position(rules, old) {
                    Some(at) => rules[at] = rule,
                    None => return Reply::error(404, 10000, "could not find rule"),
                },
                _ => return no_route(asked),
            }
            Reply::ok(state.ruleset.as_ref().unwrap_or(&Value::Null))
        }
        _ => no_route(asked),
    }
}

fn rule_of(state: &mut State, sent: &Value, old: Option<&str>) -> Value {
    let id = old.map_or_else(|| state.hex(), str::to_owned);
    let mut rule = json!({"id": id, "ref": id, "version": "1", "enabled": true, "last_updated": THEN});
    merge(&mut rule, sent);
    rule
}

fn setting(state: &mut State, asked: &Asked, id: &str) -> Reply {
    let Some(setting) = state.settings.get_mut(id) else { return Reply::error(400, 1001, "Undefined zone setting") };
    if asked.method == "PATCH" {
        if setting["editable"] == false {
            return Reply::error(403, 1007, "This setting cannot be changed on this plan");
        }
        setting["value"] = body(asked)["value"].clone();
    }
    Reply::ok(setting)
}
