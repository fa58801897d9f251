//! From an empty account to a gated host name, again without a change, and drift that is put right.

use base64::Engine as _;
use serde_json::{Value, json};

use super::home::{HOST, Home, mode};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_account_becomes_a_gated_host_name_and_the_second_run_changes_nothing() {
    let home = Home::start().await;
    let plan = home.plan().await;
    plan.expect(4);
    assert!(home.api.calls().iter().all(|call| !call.is_write()), "a plan only reads");
    let wanted = [
        "+ service token immich-guard photos.example.com ada",
        "+ policy immich-guard photos.example.com phones",
        "+ policy immich-guard photos.example.com family",
        "+ Access application Immich (immich-guard)",
        "+ tunnel immich-guard-photos.example.com",
        "+ cache rule for photos.example.com",
        "~ WebSockets",
        "+ DNS record photos.example.com",
    ];
    let order: Vec<_> =
        wanted.iter().map(|line| plan.stdout.find(line).unwrap_or_else(|| panic!("{line}: {}", plan.stdout))).collect();
    assert!(order.is_sorted(), "the record is last: {}", plan.stdout);

    home.apply().await.expect(0);
    assert_eq!(home.api.reachable(), [HOST]);
    assert_eq!(home.api.open_moments(), Vec::<String>::new());
    let writes: Vec<_> = home.api.calls().into_iter().filter(testkit::cloudflare_api::Recorded::is_write).collect();
    assert!(writes.last().unwrap().path.ends_with("/dns_records"), "the last write of all: {writes:?}");

    home.api.forget();
    home.apply().await.expect(0);
    home.plan().await.expect(0);
    let writes: Vec<_> = home.api.calls().into_iter().filter(testkit::cloudflare_api::Recorded::is_write).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_hold_what_the_cluster_and_the_phone_need() {
    let home = Home::start().await;
    home.apply().await.expect(0);
    let (aud, token) = home.api.edit(|state| (state.apps[0]["aud"].clone(), state.service_tokens[0].clone()));
    let values = std::fs::read_to_string(home.file("edge.env")).unwrap();
    for line in [
        "ACCESS_TEAM=your-team".to_owned(),
        format!("ACCESS_AUD={}", aud.as_str().unwrap()),
        format!("EXTERNAL_HOST={HOST}"),
        "ALLOW_EMAIL=ada@example.com".to_owned(),
        format!("ALLOW_SERVICE={}", token["client_id"].as_str().unwrap()),
    ] {
        assert!(values.lines().any(|found| found == line), "{line}: {values}");
    }
    let phone = std::fs::read_to_string(home.file("phone-ada")).unwrap();
    assert!(
        phone.starts_with(&format!(
            "CF-Access-Client-Id: {}\nCF-Access-Client-Secret: cfast_",
            token["client_id"].as_str().unwrap()
        ))
    );
    let tunnel = std::fs::read(home.file("tunnel-token")).unwrap();
    let tunnel: Value = serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(tunnel).unwrap()).unwrap();
    assert_eq!(tunnel["t"], home.api.edit(|state| state.tunnels[0]["id"].clone()));
    for name in ["edge.env", "phone-ada", "tunnel-token"] {
        assert_eq!(mode(&home.file(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&home.path("out")), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_its_owner_took_away_is_not_made_anew() {
    let home = Home::healthy().await;
    std::fs::remove_file(home.file("phone-ada")).unwrap();
    std::fs::remove_file(home.file("tunnel-token")).unwrap();
    home.plan().await.expect(0);
    home.run(&["apply", "--yes", "--rotate", "ada"]).await.expect(0);
    assert_eq!(home.api.edit(|state| state.service_tokens.len()), 1, "the same token, with another secret");
    assert!(home.file("phone-ada").exists() && !home.file("phone-ada.new").exists());
    home.plan().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_put_right_and_members_that_guardctl_does_not_know_survive() {
    let home = Home::healthy().await;
    home.api.edit(|state| {
        state.apps[0]["session_duration"] = json!("720h");
        state.apps[0]["enable_binding_cookie"] = json!(true);
        state.apps[0]["logo_url"] = json!("https://example.com/logo.png");
        state.apps[0]["member_of_tomorrow"] = json!({"a": [1, 2]});
        state.apps[0]["destinations"] = json!([
            {"type": "public", "uri": HOST, "overrides": [{"path_pattern": "/share/*", "behavior": "public"}]},
            {"type": "public", "uri": "other.example.com"},
        ]);
        let family = state.policies.iter_mut().find(|policy| policy["decision"] == "allow").unwrap();
        family["include"] = json!([{"email": {"email": "eve@example.com"}}]);
        family["require"] = json!([{"geo": {"country_code": "CH"}}]);
        state.records[0]["proxied"] = json!(false);
        state.ruleset.as_mut().unwrap()["rules"][0]["enabled"] = json!(false);
    });
    let aud = home.api.edit(|state| state.apps[0]["aud"].clone());
    let plan = home.plan().await;
    plan.expect(4);
    for line in [
        "include: less e-mail eve@example.com",
        "session_duration: 720h → 24h",
        "enable_binding_cookie: true → false",
        "proxied: false → true",
    ] {
        assert!(plan.stdout.contains(line), "{line}: {}", plan.stdout);
    }
    home.apply().await.expect(0);
    home.plan().await.expect(0);
    home.api.edit(|state| {
        let app = &state.apps[0];
        assert_eq!(app["aud"], aud);
        assert_eq!(app["logo_url"], "https://example.com/logo.png");
        assert_eq!(app["member_of_tomorrow"], json!({"a": [1, 2]}));
        assert_eq!(app["destinations"], json!([{"type": "public", "uri": HOST}, {"type": "public", "uri": "other.example.com"}]));
        assert_eq!(app["policies"].as_array().unwrap().len(), 2);
        let family = state.policies.iter().find(|policy| policy["decision"] == "allow").unwrap();
        assert_eq!(family["require"], json!([{"geo": {"country_code": "CH"}}]), "what narrows a policy stays");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_and_a_person_more_change_the_policies_only() {
    let home = Home::healthy().await;
    home.api.edit(|state| {
        let friends = json!({"name": "Friends", "include": [{"email": {"email": "bob@example.com"}}]});
        state.add(|state| &mut state.groups, friends);
    });
    home.write_settings("family = [\"ADA@example.com\", \"group:Friends\"]\nphones = [\"ada\", \"bob\"]\n");
    home.api.forget();
    home.apply().await.expect(0);
    let writes: Vec<_> = home.api.calls().into_iter().filter(testkit::cloudflare_api::Recorded::is_write).collect();
    let last = |call: &testkit::cloudflare_api::Recorded| {
        format!(
            "{} {}",
            call.method,
            call.path.split("/access/").nth(1).unwrap_or_default().split('/').next().unwrap_or_default()
        )
    };
    assert_eq!(writes.iter().map(last).collect::<Vec<_>>(), ["POST service_tokens", "PUT policies", "PUT policies"]);
    home.plan().await.expect(0);
    // guard cannot know who is in a group: without a list it takes everybody whom Access lets in.
    assert!(!std::fs::read_to_string(home.file("edge.env")).unwrap().contains("ALLOW_EMAIL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_two_labels_deep_needs_a_certificate() {
    let home = Home::start().await;
    home.folder.write("cloudflare.toml", "host = \"photos.home.example.com\"\nfamily = [\"ada@example.com\"]\n");
    let plan = home.plan().await;
    plan.expect(1);
    assert!(plan.stdout.contains("no certificate covers it"), "{}", plan.stdout);
    home.api.edit(|state| {
        let pack =
            json!({"id": "a", "type": "advanced", "status": "active", "hosts": ["*.home.example.com"], "certificates": []});
        state.certificates.push(pack);
    });
    home.plan().await.expect(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_on_the_third_page_is_seen() {
    let home = Home::start().await;
    home.api.edit(|state| {
        for number in 0..120 {
            let domain = if number == 110 { HOST.to_owned() } else { format!("app{number}.example.com") };
            let app = json!({"name": format!("App {number}"), "type": "self_hosted", "domain": domain, "policies": []});
            state.add(|state| &mut state.apps, app);
        }
    });
    let plan = home.plan().await;
    plan.expect(1);
    assert!(plan.stdout.contains("App 110"), "{}", plan.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_apply_wants_yes() {
    let home = Home::start().await;
    let run = home.run(&["apply"]).await;
    run.expect(2);
    assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    assert!(home.api.calls().is_empty());
}
