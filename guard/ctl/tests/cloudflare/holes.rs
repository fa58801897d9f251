//! Each hole that `check` knows, planted in a healthy account: it is found, and nothing else is.

use std::collections::BTreeSet;

use guardctl::cloudflare::CHECKS;
use serde_json::{Value, json};
use testkit::cloudflare_api::State;

use super::home::{HOST, Home};

fn app(state: &mut State) -> &mut Value {
    &mut state.apps[0]
}

/// The policy with this action.
fn policy<'s>(state: &'s mut State, decision: &str) -> &'s mut Value {
    state.policies.iter_mut().find(|policy| policy["decision"] == decision).unwrap()
}

/// Attaches a policy to the application.
fn attach(state: &mut State, policy: Value) {
    let id = state.add(|state| &mut state.policies, policy);
    state.apps[0]["policies"].as_array_mut().unwrap().push(json!({"id": id, "precedence": 9}));
}

fn pin(state: &mut State) -> String {
    state.add(|state| &mut state.login_methods, json!({"name": "One-time PIN", "type": "onetimepin", "config": {}}))
}

fn in_days(days: u64) -> String {
    let now = std::time::SystemTime::now() + std::time::Duration::from_secs(days * 86_400 + 3600);
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut days = seconds / 86_400;
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T00:00:00Z", days + 1)
}

type Plant = fn(&mut State);

/// Id, status, what is planted.
fn holes() -> Vec<(&'static str, &'static str, Plant)> {
    vec![
        ("CF-ACCESS-01", "fail", |state| state.apps.clear()),
        ("CF-ACCESS-01", "fail", |state| {
            let twin = app(state).clone();
            state.apps.push(twin);
        }),
        ("CF-ACCESS-01", "fail", |state| app(state)["type"] = json!("bookmark")),
        ("CF-ACCESS-02", "fail", |state| app(state)["policies"] = json!([])),
        ("CF-ACCESS-03", "fail", |state| {
            attach(state, json!({"name": "open", "decision": "bypass", "include": [{"email": {"email": "a@example.com"}}]}));
        }),
        ("CF-ACCESS-04", "fail", |state| policy(state, "allow")["include"] = json!([{"everyone": {}}])),
        ("CF-ACCESS-04", "fail", |state| {
            attach(
                state,
                json!({"name": "all", "decision": "allow", "include": [{"everyone": {}}], "require": [{"geo": {"country_code": "CH"}}]}),
            );
        }),
        ("CF-ACCESS-04", "fail", |state| policy(state, "allow")["include"] = json!([{"email_domain": {"domain": "Gmail.com"}}])),
        ("CF-ACCESS-04", "fail", |state| {
            let inner = state.add(|state| &mut state.groups, json!({"name": "Inner", "include": [{"everyone": {}}]}));
            let outer = state.add(|state| &mut state.groups, json!({"name": "Outer", "include": [{"group": {"id": inner}}]}));
            policy(state, "allow")["include"] = json!([{"group": {"id": outer}}]);
        }),
        ("CF-ACCESS-04", "fail", |state| {
            let google = state.login_methods[0]["id"].clone();
            policy(state, "allow")["include"] = json!([{"login_method": {"id": google}}]);
        }),
        ("CF-ACCESS-05", "fail", |state| {
            let pin = pin(state);
            policy(state, "allow")["include"] = json!([{"login_method": {"id": pin}}]);
        }),
        ("CF-ACCESS-05", "warn", |state| {
            state.login_methods.clear();
            pin(state);
        }),
        ("CF-ACCESS-05", "fail", |state| {
            let pin = pin(state);
            app(state)["allowed_idps"] = json!([pin]);
            policy(state, "allow")["include"] = json!([{"email_domain": {"domain": "example.org"}}]);
        }),
        ("CF-ACCESS-06", "fail", |state| policy(state, "non_identity")["include"] = json!([{"any_valid_service_token": {}}])),
        ("CF-ACCESS-07", "fail", |state| {
            app(state)["destinations"] =
                json!([{"type": "public", "uri": HOST, "overrides": [{"path_pattern": "/api/*", "behavior": "public"}]}]);
        }),
        ("CF-ACCESS-08", "fail", |state| {
            let open = state
                .add(|state| &mut state.policies, json!({"name": "share", "decision": "bypass", "include": [{"everyone": {}}]}));
            let app = json!({"name": "Share", "type": "self_hosted", "domain": format!("{HOST}/share"), "policies": [{"id": open, "precedence": 1}]});
            state.add(|state| &mut state.apps, app);
        }),
        ("CF-ACCESS-08", "warn", |state| {
            let app = json!({"name": "Admin", "type": "self_hosted", "domain": format!("{HOST}/admin"), "policies": []});
            state.add(|state| &mut state.apps, app);
        }),
        ("CF-ACCESS-09", "fail", |state| app(state)["session_duration"] = json!("169h")),
        ("CF-ACCESS-09", "fail", |state| policy(state, "allow")["session_duration"] = json!("730h")),
        ("CF-ACCESS-09", "fail", |state| state.organization["session_duration"] = json!("720h")),
        ("CF-ACCESS-10", "fail", |state| state.service_tokens[0]["enabled"] = json!(false)),
        ("CF-ACCESS-10", "fail", |state| state.service_tokens[0]["expires_at"] = json!("2026-01-01T00:00:00Z")),
        ("CF-ACCESS-10", "warn", |state| state.service_tokens[0]["expires_at"] = json!(in_days(20))),
        ("CF-ACCESS-10", "fail", |state| policy(state, "non_identity")["decision"] = json!("allow")),
        ("CF-ACCESS-11", "fail", |state| app(state)["enable_binding_cookie"] = json!(true)),
        ("CF-ACCESS-11", "fail", |state| app(state)["options_preflight_bypass"] = json!(true)),
        ("CF-ACCESS-12", "warn", |state| policy(state, "allow")["include"] = json!([{"kind_of_tomorrow": {}}])),
        ("CF-ACCESS-13", "warn", |state| state.login_methods[0]["type"] = json!("cloudflare")),
        ("CF-ACCESS-13", "fail", |state| app(state)["allowed_idps"] = json!(["00000000-0000-4000-8000-00000000dead"])),
        ("CF-TUNNEL-01", "fail", |state| state.tunnels[0]["config_src"] = json!("cloudflare")),
        ("CF-TUNNEL-01", "fail", |state| state.tunnels[0]["deleted_at"] = json!("2026-11-02T00:00:00Z")),
        ("CF-TUNNEL-02", "fail", |state| {
            state.tunnels[0]["config_src"] = json!("cloudflare");
            let id = state.tunnels[0]["id"].as_str().unwrap().to_owned();
            let ingress = json!([{"hostname": HOST, "service": "http://immich-server.immich.svc.cluster.local:2283"}, {"service": "http_status:404"}]);
            state.configurations.insert(id, json!({"ingress": ingress}));
        }),
        ("CF-TUNNEL-03", "warn", |state| state.tunnels[0]["status"] = json!("down")),
        ("CF-DNS-01", "fail", |state| state.records[0]["proxied"] = json!(false)),
        ("CF-DNS-01", "fail", |state| state.records[0]["content"] = json!("elsewhere.example.org")),
        ("CF-DNS-01", "fail", |state| {
            let mut leak = state.records[0].clone();
            leak["id"] = json!("1ea4");
            leak["type"] = json!("AAAA");
            leak["content"] = json!("2001:db8::1");
            leak["proxied"] = json!(false);
            state.records.push(leak);
        }),
        ("CF-DNS-02", "fail", |state| {
            let mut second = state.records[0].clone();
            second["id"] = json!("5ec0");
            second["name"] = json!("www.example.com");
            state.records.push(second);
        }),
        ("CF-DNS-02", "fail", |state| {
            let mut other = state.zones[0].clone();
            other["id"] = json!("0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e");
            other["name"] = json!("example.org");
            state.zones.push(other.clone());
            let mut second = state.records[0].clone();
            second["id"] = json!("5ec0");
            second["name"] = json!("photos.example.org");
            second["zone_id"] = other["id"].clone();
            state.records.push(second);
        }),
        ("CF-ZONE-01", "fail", |state| state.zones[0]["paused"] = json!(true)),
        ("CF-ZONE-02", "fail", |state| state.bots["fight_mode"] = json!(true)),
        ("CF-ZONE-03", "warn", |state| state.bots["sbfm_definitely_automated"] = json!("managed_challenge")),
        ("CF-ZONE-04", "fail", |state| state.settings.get_mut("websockets").unwrap()["value"] = json!("off")),
        ("CF-ZONE-05", "fail", |state| state.settings.get_mut("rocket_loader").unwrap()["value"] = json!("on")),
        ("CF-ZONE-06", "fail", |state| state.settings.get_mut("security_level").unwrap()["value"] = json!("under_attack")),
        ("CF-ZONE-06", "warn", |state| state.settings.get_mut("browser_check").unwrap()["value"] = json!("on")),
        ("CF-ZONE-07", "warn", |state| state.settings.get_mut("always_use_https").unwrap()["value"] = json!("off")),
        ("CF-ZONE-08", "fail", |state| state.ruleset = None),
        ("CF-ZONE-08", "warn", |state| {
            let rule = json!({"id": "aa", "ref": "aa", "description": "Cache everything", "expression": "true", "action": "set_cache_settings",
                "action_parameters": {"cache": true}, "enabled": true});
            state.ruleset.as_mut().unwrap()["rules"].as_array_mut().unwrap().push(rule);
        }),
        ("CF-TOKEN-01", "warn", |state| state.token_expires = Some(in_days(5))),
    ]
}

/// What a hole also means.
fn consequences(id: &str) -> &'static [&'static str] {
    match id {
        // Everything that is about the application, or the tunnel, cannot be looked at.
        "CF-ACCESS-01" => &["CF-DNS-02"],
        // A remotely managed tunnel is one finding, where it leads another.
        "CF-TUNNEL-02" => &["CF-TUNNEL-01"],
        _ => &[],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_account_has_no_finding() {
    let home = Home::healthy().await;
    let run = home.check().await;
    run.expect(0);
    let passed: BTreeSet<_> = run.with_status("pass").into_iter().collect();
    assert_eq!(passed, CHECKS.iter().map(|check| check.id.to_owned()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hole_is_found_and_nothing_else() {
    for (id, status, plant) in holes() {
        let home = Home::healthy().await;
        home.api.edit(plant);
        let run = home.check().await;
        let finding = run.finding(id);
        assert_eq!(finding["status"], status, "{id}: {}", run.said());
        assert!(finding["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{finding}");
        assert_eq!(run.code, Some(i32::from(status == "fail")), "{id}");
        for other in run.with_status("fail").into_iter().chain(run.with_status("warn")) {
            assert!(other == id || consequences(id).contains(&&*other), "{id} planted, {other} found: {}", run.finding(&other));
        }
        if status == "warn" {
            let values = home.file("edge.env");
            home.run(&["check", "--strict", "--values", values.to_str().unwrap()]).await.expect(1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_but_the_homes_has_a_hole() {
    let planted: BTreeSet<_> = holes().into_iter().map(|(id, ..)| id).collect();
    let missing: Vec<_> =
        CHECKS.iter().map(|check| check.id).filter(|id| !planted.contains(id) && !id.starts_with("CF-HOME")).collect();
    // A name two labels deep: the next test but one.
    assert_eq!(missing, ["CF-DNS-03"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_home_that_belong_to_another_account_are_found() {
    let home = Home::healthy().await;
    let values = std::fs::read_to_string(home.file("edge.env")).unwrap();
    for (id, key, wrong) in [
        ("CF-HOME-01", "ACCESS_AUD=", "ab".repeat(32)),
        ("CF-HOME-02", "ACCESS_TEAM=", "other-team".to_owned()),
        ("CF-HOME-03", "EXTERNAL_HOST=", "pics.example.com".to_owned()),
    ] {
        let change = |line: &str| if line.starts_with(key) { format!("{key}{wrong}\n") } else { format!("{line}\n") };
        let file = home.folder.write("wrong.env", &values.lines().map(change).collect::<String>());
        let run = home.run(&["check", "-o", "json", "--values", &file]).await;
        run.expect(1);
        assert_eq!(run.with_status("fail"), [id]);
        assert!(run.finding(id)["fix"].as_str().unwrap().contains("kubectl -n immich-edge patch secret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_the_home_was_not_looked_at() {
    let home = Home::healthy().await;
    let run = home.run(&["check", "-o", "json"]).await;
    run.expect(3);
    assert_eq!(run.with_status("skip"), ["CF-HOME-01", "CF-HOME-02", "CF-HOME-03"]);
    home.run(&["check", "--no-cluster"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_name_without_a_certificate_is_found() {
    let home = Home::healthy().await;
    let run = home.run(&["check", "-o", "json", "--no-cluster", "--host", "photos.home.example.com"]).await;
    assert_eq!(run.finding("CF-DNS-03")["status"], "fail");
}

/// `check`, and the stand-in's own look from outside, agree about what is open.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_open_from_outside_is_a_failed_check() {
    for (id, _, plant) in holes() {
        let home = Home::healthy().await;
        home.api.edit(plant);
        let run = home.check().await;
        let is_open = !home.api.open_moments().is_empty();
        assert!(!is_open || run.code == Some(1), "{id}: {:?}", home.api.open_moments());
    }
}

#[test]
fn the_page_has_a_row_of_each_check() {
    let page = include_str!("../../../../docs/cloudflare.md");
    let row = |id: &str| format!("| <a id=\"{}\"></a>{id} |", id.to_ascii_lowercase());
    let missing: Vec<_> = CHECKS.iter().map(|check| check.id).filter(|id| !page.contains(&row(id))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
