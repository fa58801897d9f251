//! `guardctl oidc render`: the settings that it writes, the file, and the remaining steps that it prints.

use std::process::Command;

use serde_json::json;

use super::{GOOD, SECRET, guardctl, rendered};

#[test]
fn what_is_not_answered_stays_at_immichs_default() {
    let (config, next) = rendered(&[]);
    assert_eq!(
        config,
        json!({
            "server": {"externalDomain": "https://photos.example.com"},
            "oauth": {
                "enabled": true,
                "issuerUrl": "https://auth.example.com/application/o/immich/",
                "clientId": "immich-client",
                "clientSecret": SECRET,
            },
        })
    );
    for line in [
        "https://photos.example.com/auth/login",
        "https://photos.example.com/user-settings",
        "app.immich:///oauth-callback",
        "create secret generic immich-oidc --from-file=immich.yaml=",
        "rollout restart deploy/immich-server",
        "same e-mail address",
        "Immich reads immich_role at every sign-in",
    ] {
        assert!(next.contains(line), "{line} in {next}");
    }
    assert!(!next.contains(SECRET), "a secret is for the file alone");
}

#[test]
fn every_answer_has_its_key() {
    let (config, next) = rendered(&[
        "--lan-url",
        "http://nas.home.example:30283",
        "--scope",
        "openid email profile immich",
        "--button-text",
        "Sign in",
        "--default-quota",
        "50",
        "--no-auto-register",
        "--auto-launch",
        "--no-password-login",
        "--no-role-claim",
        "--token-endpoint-auth-method",
        "client_secret_basic",
        "--mobile-override",
        "--machine-learning-url",
        "http://cloud-run-ml:8080",
        "--machine-learning-url",
        "http://immich-machine-learning:3003",
    ]);
    for (place, wanted) in [
        ("/oauth/scope", json!("openid email profile immich")),
        ("/oauth/buttonText", json!("Sign in")),
        ("/oauth/defaultStorageQuota", json!(50)),
        ("/oauth/autoRegister", json!(false)),
        ("/oauth/autoLaunch", json!(true)),
        ("/oauth/mobileOverrideEnabled", json!(true)),
        ("/oauth/mobileRedirectUri", json!("https://photos.example.com/api/oauth/mobile-redirect")),
        ("/oauth/roleClaim", json!("")),
        ("/oauth/tokenEndpointAuthMethod", json!("client_secret_basic")),
        ("/passwordLogin/enabled", json!(false)),
        ("/machineLearning/urls", json!(["http://cloud-run-ml:8080", "http://immich-machine-learning:3003"])),
    ] {
        assert_eq!(config.pointer(place), Some(&wanted), "{place}");
    }
    assert!(next.contains("http://nas.home.example:30283/auth/login") && !next.contains("  app.immich:///"), "{next}");
    for warned in ["oauth.autoLaunch", "passwordLogin.enabled", "oauth.mobileOverrideEnabled", "autoLaunch=0"] {
        assert!(next.contains(warned), "{warned} in {next}");
    }
}

#[test]
fn a_written_file_is_its_owners_alone_and_passes_its_own_check() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("immich-{}.yaml", std::process::id()));
    let place = path.to_str().unwrap();
    let output = guardctl(&[&GOOD[..], &["--output", place]].concat());
    assert!(output.status.success() && output.stdout.is_empty());
    // One that was there, and open to all, is not left so.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(guardctl(&[&GOOD[..], &["--output", place]].concat()).status.success());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let checked = guardctl(&["oidc", "check", place]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && text.contains("0 errors") && !text.contains("s3cr3t"), "{text}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_no_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("immich of {}.pipe", std::process::id()));
    assert!(Command::new("mkfifo").args(["-m", "644"]).arg(&path).status().unwrap().success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || std::fs::read_to_string(path).unwrap()
    });
    let output = guardctl(&[&GOOD[..], &["--output", path.to_str().unwrap()]].concat());
    assert!(output.status.success());
    // A name with spaces is one word to the shell.
    let next = String::from_utf8(output.stderr).unwrap();
    assert!(next.contains(&format!("--from-file=immich.yaml='{}' --dry-run", path.display())), "{next}");
    assert!(reader.join().unwrap().contains("clientSecret"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn settings_that_were_there_stay_but_for_what_is_answered() {
    let path = std::env::temp_dir().join(format!("exported-{}.json", std::process::id()));
    let exported = json!({
        "trash": {"days": 90},
        "oauth": {"issuerUrl": "https://old.example.com/", "scope": "openid email profile groups", "defaultStorageQuota": null},
    });
    std::fs::write(&path, exported.to_string()).unwrap();
    let place = path.to_str().unwrap();
    let (config, _) = rendered(&["--base", place]);
    assert_eq!(config["trash"], json!({"days": 90}));
    assert_eq!(config["oauth"]["scope"], "openid email profile groups");
    assert_eq!(config["oauth"]["issuerUrl"], "https://auth.example.com/application/o/immich/");
    // What is wrong in them is found, too.
    std::fs::write(&path, r#"{"trash": {"days": -1}}"#).unwrap();
    let output = guardctl(&[&GOOD[..], &["--base", place]].concat());
    assert!(output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("trash.days: found -1"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn wrong_answers_write_nothing() {
    for (change, wanted) in [
        (("--issuer", "http://auth.example.com/"), "oauth.issuerUrl: found http"),
        (("--issuer", "auth.example.com"), "oauth.issuerUrl: found no valid URL, wanted the issuer's URL"),
        (("--client-id", ""), "oauth.clientId: found no value"),
        (("--external-url", "https://photos.example.com/immich"), "--external-url: found"),
        (
            ("--external-url", "https://Photos.example.com"),
            "--external-url: found \"https://Photos.example.com\", wanted only scheme, host and port in lower case",
        ),
        (("--external-url", "photos.example.com"), "server.externalDomain: found no URL, wanted a complete URL"),
    ] {
        let arguments: Vec<_> = GOOD
            .iter()
            .scan("", |before, word| Some(if std::mem::replace(before, word) == change.0 { change.1 } else { word }))
            .collect();
        let output = guardctl(&arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(output.stdout.is_empty() && stderr.contains(wanted) && stderr.contains("nothing was written"), "{stderr}");
    }
    for (more, wanted) in [
        (["--lan-url", "nas:30283"], "--lan-url: found \"nas:30283\", wanted only scheme, host and port"),
        (["--lan-url", "http://NAS.home.example:30283"], "--lan-url: found \"http://NAS.home.example:30283\", wanted only"),
        (["--token-endpoint-auth-method", "none"], "oauth.tokenEndpointAuthMethod: found \"none\", wanted one of"),
        (["--external-url=https://photos.example.com/immich", "--no-role-claim"], "cannot be used multiple times"),
    ] {
        let output = guardctl(&[&GOOD[..], &more].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty() && stderr.contains(wanted), "{stderr}");
    }
    let quota = guardctl(&[&GOOD[..], &["--default-quota", "0"]].concat());
    assert!(String::from_utf8(quota.stderr).unwrap().contains("with a quota of 0, new users cannot upload"));
}

/// A strict issuer refuses plain http beside the app's own scheme in one client.
#[test]
fn the_redirect_uris_of_the_lan_stand_apart() {
    let (_, next) = rendered(&["--lan-url", "http://nas.home.example:30283"]);
    let (public, lan) = next.split_once("For sign-in over the LAN").expect("a list of its own");
    assert!(
        public.contains("https://photos.example.com/auth/login") && public.contains("app.immich:///oauth-callback"),
        "{public}"
    );
    assert!(!public.contains("http://"), "{public}");
    assert!(lan.contains("http://nas.home.example:30283/auth/login") && lan.contains("refuses http://"), "{lan}");
    let (_, without) = rendered(&[]);
    assert!(!without.contains("over the LAN"), "{without}");
}
