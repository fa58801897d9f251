//! `guardctl oidc`: what it writes is what Immich needs and reads back as it was meant; what is wrong is named, and no secret is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use guardctl::lint::yaml::{Dialect, values};
use guardctl::oidc::check;
use guardctl::oidc::{render, schema};
use guardctl::severity::Severity::{self, Error, Warning};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &str = "s3cr3t: \"#~${x}\" 1e5";

/// Runs the program with the client secret on standard input.
fn guardctl(arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_guardctl"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not want it is not an error here.
    let _ = child.stdin.take().unwrap().write_all(format!("{SECRET}\n").as_bytes());
    child.wait_with_output().unwrap()
}

const GOOD: [&str; 10] = [
    "oidc",
    "render",
    "--external-url",
    "https://photos.example.com/",
    "--issuer",
    "https://auth.example.com/application/o/immich/",
    "--client-id",
    "immich-client",
    "--client-secret-file",
    "-",
];

fn rendered(more: &[&str]) -> (Value, String) {
    let output = guardctl(&[&GOOD[..], more].concat());
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    (values(&stdout, Dialect::Plain).unwrap().remove(0), stderr)
}

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

/// A file with one line changed or added.
fn findings(yaml: &str) -> Vec<(Severity, String)> {
    check::text(yaml).unwrap().into_iter().map(|finding| (finding.severity, finding.to_string())).collect()
}

#[test]
fn every_mistake_is_named_with_what_was_found_and_what_is_wanted() {
    let oauth = |line: &str| {
        let base = [
            ("enabled", "true"),
            ("issuerUrl", "https://auth.example.com/"),
            ("clientId", "immich-client"),
            ("clientSecret", "a-secret"),
        ];
        let key = line.split(':').next().unwrap();
        let kept = base.iter().filter(|(name, _)| *name != key).map(|(name, value)| format!("  {name}: {value}\n"));
        format!("oauth:\n{}  {line}\n", kept.collect::<String>())
    };
    for (yaml, weight, wanted) in [
        (oauth("enabled: yes"), Error, "oauth.enabled: found \"yes\", wanted true or false"),
        (oauth("timeout: soon"), Error, "oauth.timeout: found text, wanted a whole number, 1 or more"),
        (oauth("timeout: 0"), Error, "oauth.timeout: found 0, wanted a whole number, 1 or more"),
        (oauth("buttonText: 7"), Error, "oauth.buttonText: found a number, wanted text"),
        (oauth("clientSecret: 12345"), Error, "oauth.clientSecret: found a number, wanted text"),
        (oauth("clientSecret: ''"), Error, "oauth.clientSecret: found no value"),
        (oauth("clientSecret: ${OIDC_SECRET}"), Warning, "Immich replaces no variables in this file"),
        (oauth("clientSecret: \"a\\nb\""), Error, "line break"),
        (oauth("issuerUrl: https://accounts.google.com"), Warning, "Google refuses app.immich://"),
        (
            oauth("issuerUrl: https://accounts.google.com"),
            Warning,
            "oauth.roleClaim: found a claim, wanted \"\" (no claim): Google sends no role",
        ),
        (oauth("endSessionEndpoint: auth.example.com/end"), Error, "oauth.endSessionEndpoint: found text, wanted a URL"),
        (
            oauth("allowInsecureRequests: true\n  issuerUrl: http://auth.lan/").replacen(
                "  issuerUrl: https://auth.example.com/\n",
                "",
                1,
            ),
            Warning,
            "found http, wanted https: everybody on the network",
        ),
        (oauth("clientSecret: 'a '"), Warning, "white space"),
        (oauth("issuerUrl: http://auth.example.com/"), Error, "found http, wanted https"),
        (oauth("issuerUrl: https://user@auth.example.com/"), Error, "wanted the issuer's URL"),
        (oauth("signingAlgorithm: HS256"), Error, "set a signing key for the provider"),
        (oauth("signingAlgorithm: RSA"), Error, "found \"RSA\", wanted RS256"),
        (oauth("signingAlgorithm: none"), Error, "found \"none\", wanted RS256"),
        (oauth("scope: openid profile"), Error, "found \"openid profile\", wanted email in it"),
        (oauth("scope: email profile"), Error, "wanted openid in it"),
        (oauth("defaultStorageQuota: 0"), Error, "with a quota of 0, new users cannot upload"),
        (oauth("defaultStorageQuota: lots"), Error, "found text, wanted a whole number, 0 or more, or null for none"),
        (oauth("tokenEndpointAuthMethod: basic"), Error, "found \"basic\", wanted one of client_secret_post"),
        (oauth("mobileOverrideEnabled: true"), Error, "wanted https://HOST/api/oauth/mobile-redirect"),
        (oauth("mobileRedirectUri: https://photos.example.com/api/oauth/mobile-redirect"), Warning, "not used"),
        (oauth("autoLaunch: true"), Warning, "/auth/login?autoLaunch=0"),
        (oauth("clientID: x"), Warning, "did you mean oauth.clientId?"),
        (oauth("accountManagementUrl: auth.example.com"), Error, "oauth.accountManagementUrl: found text, wanted a URL"),
        (oauth("timeout: 30_000"), Error, "oauth.timeout: found text, wanted a whole number"),
        (oauth("quota: 5"), Warning, "Immich v3 has no such key"),
        ("oauth: true\n".to_owned(), Error, "oauth: found true or false, wanted keys below it"),
        ("oauth:\n  enabled: false\npasswordLogin:\n  enabled: false\n".to_owned(), Error, "nobody could sign in"),
        (
            "machineLearning:\n  urls: []\n".to_owned(),
            Error,
            "found an empty list, wanted a list of texts with at least one item",
        ),
        ("machineLearning:\n  urls: [ml:3003]\n".to_owned(), Error, "wanted URLs"),
        ("machineLearning:\n  urls: http://ml:3003\n".to_owned(), Error, "found text, wanted a list of text"),
        ("machineLearning:\n  urls: ['http://ml:3003/base']\n".to_owned(), Warning, "found a path in a URL"),
        ("ffmpeg:\n  targetResolution: 720\n".to_owned(), Error, "ffmpeg.targetResolution: found a number, wanted text"),
        ("ffmpeg:\n  acceptedVideoCodecs: [h264, h266]\n".to_owned(), Error, "wanted a list of h264, hevc, vp9, av1"),
        ("logging:\n  level: info\n".to_owned(), Error, "found \"info\", wanted one of verbose, debug, log"),
        ("server:\n  externalDomain: https://photos.example.com/immich\n".to_owned(), Warning, "cannot run below a path"),
        ("nightlyTasks:\n  startTime: 3am\n".to_owned(), Error, "found \"3am\", wanted HH:MM"),
        ("image:\n  preview:\n    quality: 101\n".to_owned(), Error, "found 101, wanted a whole number from 1 to 100"),
        ("backup:\n  database:\n    cronExpression: daily\n".to_owned(), Error, "wanted five or six fields"),
        ("ffmpeg:\n  realtime:\n    resolutions: [360]\n".to_owned(), Error, "wanted a list of 480, 720, 1080, 1440, 2160"),
        ("integrityChecks:\n  missingFiles:\n    enabled: 'true'\n".to_owned(), Error, "found \"true\", wanted true or false"),
        ("oauth:\n".to_owned(), Error, "oauth: found nothing, wanted keys below it"),
        ("storageTemplates:\n  enabled: true\n".to_owned(), Warning, "storageTemplates"),
        ("- oauth\n".to_owned(), Error, "found a list, wanted keys"),
    ] {
        let found = findings(&yaml);
        let hit = found.iter().any(|(found, text)| *found == weight && text.contains(wanted));
        assert!(hit, "{wanted:?} not in {found:?} for\n{yaml}");
    }
    assert_eq!(findings(&oauth("timeout: 30000")), []);
    // What Immich converts by itself.
    assert_eq!(findings(&oauth("enabled: 'true'")), []);
    assert_eq!(findings("ffmpeg:\n  crf: '23'\n"), []);
    assert!(check::text("a: 1\n---\nb: 2\n").unwrap_err().to_string().contains("2 documents"));
    assert!(check::text("a: [").unwrap_err().to_string().contains("not YAML or JSON"));
    assert!(check::text("oauth: {}\noauth: {}\n").is_err(), "which of two counts is anyone's guess");
}

#[test]
fn a_misspelt_section_is_asked_about_like_a_key() {
    for (yaml, meant) in [
        ("oauht:\n  enabled: true\n", "oauth?"),
        ("storageTemplates:\n  enabled: true\n", "storageTemplate?"),
        ("ffmpeg:\n  realtme: {}\n", "ffmpeg.realtime?"),
    ] {
        let found = findings(yaml);
        let [(Warning, text)] = found.as_slice() else { panic!("{yaml}: {found:?}") };
        assert!(text.ends_with(&format!("ignores it, did you mean {meant}")), "{text}");
    }
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"oauth": {"enabled": true, "issuerUrl": "https://auth.example.com/", "clientId": "x", "clientSecret": "y"}}"#;
    assert_eq!(findings(text), []);
}

#[test]
fn the_table_is_in_order_and_has_no_key_twice() {
    let paths: Vec<_> = schema::KEYS.iter().map(|(path, _)| *path).collect();
    assert!(paths.is_sorted_by(|one, next| one < next || one.split('.').next() == next.split('.').next()));
    let mut unique = paths.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), paths.len());
}

/// The leaves of a value, as paths.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(object) => {
            for (key, value) in object {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

const WHOLE: &str = include_str!("oidc/whole.yaml");

#[test]
fn the_whole_file_has_every_key_and_no_fault() {
    assert_eq!(findings(WHOLE), []);
    let mut found = Vec::new();
    leaves(&values(WHOLE, Dialect::Plain).unwrap()[0], "", &mut found);
    found.sort_unstable();
    let mut known: Vec<_> = schema::KEYS.iter().map(|(path, _)| *path).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

/// What the whole file has at a path, replaced: each key refuses a value of another type, and names itself.
#[test]
fn every_key_refuses_what_is_of_another_type() {
    for (path, _) in schema::KEYS {
        let mut config = values(WHOLE, Dialect::Plain).unwrap().remove(0);
        let place = config.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap();
        *place = json!({"of": "another type"});
        let found = check::value(&config);
        let named = |finding: &check::Finding| finding.severity == Error && finding.path == *path;
        assert!(found.iter().any(named), "{path}: {found:?}");
    }
}

/// Answers of `tests/oidc/immich-sdk/describe.js`, which `make test-immich-schema` installs.
fn describe(what: &str, input: &Value) -> Value {
    let folder = std::env::var("IMMICH_SDK").expect("IMMICH_SDK: make test-immich-schema sets it");
    let script = std::path::Path::new(&folder).join("describe.js");
    let mut child =
        Command::new("node").arg(script).arg(what).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node is there");
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "make test-immich-schema"]
fn immich_schema_keys_and_words_are_those_of_immichs_own_types() {
    use schema::Kind;
    let types = describe("types", &Value::Null);
    let sorted = |words: &[&str]| {
        let mut words = words.to_vec();
        words.sort_unstable();
        json!(words)
    };
    let ours: Value = schema::KEYS
        .iter()
        .map(|(path, kind)| {
            let kind = match kind {
                Kind::Switch | Kind::Bool => json!({"type": "boolean"}),
                Kind::Text | Kind::Url | Kind::UrlOrEmpty | Kind::Cron | Kind::Time => json!({"type": "string"}),
                Kind::Int(..) | Kind::Digits(..) | Kind::Decimal(..) => json!({"type": "number"}),
                Kind::IntOrNull(..) => json!({"type": "number | null"}),
                Kind::OneOf(words) => json!({"words": sorted(words)}),
                Kind::Texts => json!({"list": {"type": "string"}}),
                Kind::ManyOf(words) => json!({"list": {"words": sorted(words)}}),
                Kind::Heights(numbers) => json!({"list": {"words": numbers}}),
            };
            ((*path).to_owned(), kind)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut theirs = types;
    for kind in theirs.as_object_mut().unwrap().values_mut() {
        for place in ["/words", "/list/words"] {
            if let Some(words) = kind.pointer_mut(place).and_then(Value::as_array_mut) {
                words.sort_by_key(|word| (word.as_u64(), word.as_str().map(str::to_owned)));
            }
        }
    }
    assert_eq!(ours, theirs);
}

/// What `check` reads is what Immich's own reader reads, wherever the one could take for a number what the other takes for text.
#[test]
#[ignore = "make test-immich-schema"]
fn immich_schema_yaml_is_read_as_immich_reads_it() {
    let scalars = [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "True",
        "TRUE",
        "true",
        "false",
        "~",
        "null",
        "Null",
        "NULL",
        "",
        "1",
        "010",
        "09",
        "0o17",
        "0x1F",
        "+5",
        "-5",
        "1e5",
        "1.5",
        "30.0",
        "1.",
        ".5",
        "1_0",
        "0b11",
        "12:30:00",
        "12:30",
        "'1'",
        "\"a\\u00e9\"",
        "a#b",
        "a # b",
        "x: y",
        "!!str 5",
        "nan",
        "inf",
        "3h",
        "2024",
        "=",
        "<<",
    ];
    let texts: Vec<_> = scalars.iter().map(|scalar| format!("a: {scalar}\n")).chain([WHOLE.to_owned()]).collect();
    let theirs = describe("yaml", &json!(texts));
    let mut differ = Vec::new();
    for (text, theirs) in texts.iter().zip(theirs.as_array().unwrap()) {
        let ours = values(text, Dialect::Plain).ok().map(|mut values| values.remove(0));
        let number = |value: &Value| value.pointer("/a").and_then(Value::as_f64);
        let same = ours.as_ref() == theirs.get("value")
            || (ours.as_ref().and_then(number).is_some()
                && ours.as_ref().and_then(number) == theirs.get("value").and_then(number));
        if !same {
            differ.push((text, ours, theirs));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// The writer's own promise, before the reader that counts.
#[test]
#[ignore = "make test-immich-schema"]
fn immich_schema_hostile_secrets_arrive_at_immich_as_they_were() {
    let secrets = [
        "\"", "'", "\\", "\n", "a\r\nb", "\t", "#", "a #b", ": ", "a: b", "${x}", "{{ x }}", "1e5", "~", "null", "yes", "- a",
        "[a", "{a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "---", "...", "\0", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}",
        "\u{feff}", "\u{fffe}", "é", "字", "😀", " a ",
    ];
    let wanted: Vec<_> = secrets.iter().map(|secret| json!({"oauth": {"clientSecret": secret}, "list": [secret]})).collect();
    let texts: Vec<_> = wanted.iter().map(render::yaml).collect();
    let read: Vec<_> = describe("yaml", &json!(texts)).as_array().unwrap().iter().map(|it| it["value"].clone()).collect();
    assert_eq!(read, wanted);
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

proptest! {
    /// Whatever a secret is made of, it comes back as it was.
    #[test]
    fn any_text_comes_back_from_yaml(text in "\\PC{0,40}", control in any::<[char; 4]>()) {
        let text = format!("{text}{}", control.iter().collect::<String>());
        let config = json!({"oauth": {"clientSecret": text, "list": [text], "empty": {}, "none": null, "on": true}});
        let written = render::yaml(&config);
        prop_assert_eq!(&values(&written, Dialect::Plain).unwrap()[0], &config, "{}", written);
    }
}
