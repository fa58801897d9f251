//! `guardctl oidc check`: each mistake is found, with what was found and what is wanted.

use guardctl::oidc::check;
use guardctl::severity::Severity::{Error, Warning};

use super::findings;

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
