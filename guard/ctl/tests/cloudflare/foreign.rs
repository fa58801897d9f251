//! What guardctl did not make is neither changed nor deleted; and with a hole before it, the host name does not become reachable.

use serde_json::json;
use testkit::cloudflare_api::{Recorded, ZONE};

use super::home::{HOST, Home};

async fn refuses(home: &Home, words: &str) {
    home.api.forget();
    let run = home.apply().await;
    run.expect(1);
    assert!(run.said().contains(words), "{words}: {}", run.said());
    assert!(!home.api.calls().iter().any(Recorded::is_write), "{words}");
}

fn record(kind: &str, content: &str) -> serde_json::Value {
    json!({"id": "f0e1", "zone_id": ZONE, "type": kind, "name": HOST, "content": content, "proxied": true, "ttl": 1, "comment": "mine"})
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_objects_in_the_way_are_named_and_nothing_is_changed() {
    let home = Home::start().await;
    home.api.edit(|state| state.records.push(record("A", "192.0.2.1")));
    refuses(&home, "has records already (A 192.0.2.1)").await;

    let home = Home::start().await;
    home.api.edit(|state| state.records.push(record("CNAME", "old.example.org")));
    refuses(&home, "--adopt record").await;
    home.run(&["apply", "--yes", "--adopt", "record"]).await.expect(0);
    assert_eq!(home.api.reachable(), [HOST]);

    let home = Home::start().await;
    home.api.edit(|state| {
        let app = json!({"name": "My photos", "type": "self_hosted", "domain": HOST, "aud": "a".repeat(64), "policies": [], "logo_url": "x"});
        state.add(|state| &mut state.apps, app);
    });
    refuses(&home, "--adopt application").await;
    home.run(&["apply", "--yes", "--adopt", "application"]).await.expect(0);
    home.api.edit(|state| assert_eq!((&state.apps[0]["logo_url"], &state.apps[0]["aud"]), (&json!("x"), &json!("a".repeat(64)))));
    home.plan().await.expect(0);

    let home = Home::start().await;
    home.api.edit(|state| {
        for _ in 0..2 {
            let policy = json!({"name": format!("immich-guard {HOST} family"), "decision": "allow", "include": [{"email": {"email": "a@example.com"}}]});
            state.add(|state| &mut state.policies, policy);
        }
    });
    refuses(&home, "found 2 policies named").await;

    let home = Home::start().await;
    home.api.edit(|state| {
        let tunnel = json!({"name": "photos", "config_src": "cloudflare", "status": "healthy", "deleted_at": null});
        state.add(|state| &mut state.tunnels, tunnel);
    });
    home.write_settings("family = [\"ada@example.com\"]\ntunnel = \"photos\"\n");
    refuses(&home, "managed in the dashboard").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tunnel_of_the_same_name_is_no_tunnel() {
    let home = Home::start().await;
    home.api.edit(|state| {
        let tunnel = json!({"name": format!("immich-guard-{HOST}"), "config_src": "local", "deleted_at": "2026-01-01T00:00:00Z"});
        state.add(|state| &mut state.tunnels, tunnel);
    });
    home.apply().await.expect(0);
    home.api.edit(|state| assert_eq!(state.tunnels.len(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_rules_of_others_stay_and_ours_is_the_last() {
    let home = Home::start().await;
    let rule = json!({"id": "aa", "ref": "aa", "description": "images", "expression": "true", "action": "set_cache_settings",
        "action_parameters": {"cache": true}, "enabled": true});
    home.api.edit(|state| state.ruleset = Some(json!({"id": "00abcd", "kind": "zone", "version": "7", "rules": [rule]})));
    home.apply().await.expect(0);
    home.api.edit(|state| {
        let rules = state.ruleset.as_ref().unwrap()["rules"].as_array().unwrap();
        assert_eq!(rules[0], rule);
        assert_eq!((rules.len(), &rules[1]["ref"]), (2, &json!("immich_guard_photos_example_com")));
    });
    home.api.edit(|state| state.tunnels[0]["status"] = json!("healthy"));
    home.check().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_policy_stays_attached_and_one_that_opens_the_gate_stops_the_record() {
    for (decision, include, is_open) in [
        ("allow", json!([{"email": {"email": "bob@example.com"}}]), false),
        ("bypass", json!([{"ip": {"ip": "192.0.2.0/24"}}]), true),
        ("allow", json!([{"everyone": {}}]), true),
    ] {
        let home = Home::start().await;
        home.apply().await.expect(0);
        home.api.edit(|state| {
            state.records.clear();
            let id = state.add(|state| &mut state.policies, json!({"name": "friends", "decision": decision, "include": include}));
            state.apps[0]["policies"].as_array_mut().unwrap().push(json!({"id": id, "precedence": 9}));
            state.apps[0]["session_duration"] = json!("1h");
        });
        let run = home.apply().await;
        home.api.edit(|state| {
            assert_eq!(state.apps[0]["policies"].as_array().unwrap().len(), 3, "it stays attached");
            assert_eq!(state.apps[0]["session_duration"], "24h");
        });
        run.expect(i32::from(is_open));
        assert_eq!(home.api.reachable().is_empty(), is_open, "{decision}: {}", run.said());
        assert_eq!(run.stderr.contains("the DNS record was not written"), is_open, "{}", run.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_application_for_a_path_stops_the_record() {
    let home = Home::start().await;
    home.api.edit(|state| {
        let open = state.add(|state| &mut state.policies, json!({"name": "share", "decision": "bypass", "include": [{"everyone": {}}]}));
        let app = json!({"name": "Share", "type": "self_hosted", "domain": format!("{HOST}/share"), "policies": [{"id": open, "precedence": 1}]});
        state.add(|state| &mut state.apps, app);
    });
    let run = home.apply().await;
    run.expect(1);
    assert!(run.stderr.contains("CF-ACCESS-08"), "{}", run.stderr);
    assert!(home.api.reachable().is_empty());
    assert_eq!(home.api.edit(|state| state.apps.len()), 2, "the other application is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reachable_name_whose_gate_has_a_hole_is_an_alarm() {
    let home = Home::healthy().await;
    home.api.edit(|state| {
        let id =
            state.add(|state| &mut state.policies, json!({"name": "open", "decision": "bypass", "include": [{"everyone": {}}]}));
        state.apps[0]["policies"].as_array_mut().unwrap().push(json!({"id": id, "precedence": 9}));
    });
    let run = home.apply().await;
    run.expect(1);
    assert!(run.stderr.contains("ALARM"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_values_file_of_somebody_else_is_left_alone() {
    let home = Home::start().await;
    std::fs::create_dir(home.path("out")).unwrap();
    std::fs::write(home.file("edge.env"), "LAN_URL=http://192.0.2.10:30283\n").unwrap();
    let run = home.apply().await;
    run.expect(0);
    assert_eq!(std::fs::read_to_string(home.file("edge.env")).unwrap(), "LAN_URL=http://192.0.2.10:30283\n");
    assert!(run.stdout.contains("left as it is"), "{}", run.stdout);
}
