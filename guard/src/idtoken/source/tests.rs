//! What a credential file may be, and what a bad one is told; the exchanges themselves are in `tests/idtoken`.

use serde_json::{Value, json};

use super::*;
use testkit::signer::KeyPair;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("guard-source-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn verdict(&self, text: &str) -> Result<&'static str, String> {
        let path = self.0.join("credentials.json");
        std::fs::write(&path, text).unwrap();
        Credentials::at(&Place::File(path), &Trust::new(&[]))
            .map(|credentials| credentials.label())
            .map_err(|error| error.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key() -> Value {
    json!({
        "type": "service_account", "client_email": "a@b.example", "private_key_id": "1",
        "private_key": KeyPair::generate().private_pem(), "token_uri": "https://oauth2.googleapis.com/token",
    })
}

fn federation() -> Value {
    json!({
        "type": "external_account", "audience": "//iam.googleapis.com/p", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "/var/run/token"},
        "service_account_impersonation_url":
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken",
    })
}

fn with(mut document: Value, member: &str, value: Value) -> String {
    document[member] = value;
    document.to_string()
}

#[test]
fn the_types_that_can_name_an_audience_are_taken_and_the_others_told_why_not() {
    let folder = Folder::new("types");
    let login = json!({"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"});
    let impersonated = json!({
        "type": "impersonated_service_account", "source_credentials": login,
        "service_account_impersonation_url": federation()["service_account_impersonation_url"],
    });
    assert_eq!(folder.verdict(&key().to_string()).as_deref(), Ok("key-file"));
    assert_eq!(folder.verdict(&federation().to_string()).as_deref(), Ok("federation"));
    assert_eq!(folder.verdict(&impersonated.to_string()).as_deref(), Ok("impersonation"));
    for (text, said) in [
        (login.to_string(), "the audience of its tokens cannot be chosen"),
        (json!({"type": "gdch_service_account"}).to_string(), "its type is none of"),
        ("{}".to_owned(), "missing field `type`"),
        ("not json".to_owned(), "not a credential file of Google"),
        (with(key(), "private_key", json!("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----")), "PKCS #8"),
        (with(federation(), "credential_source", json!({"executable": {"command": "x"}})), "wanted a file"),
        (with(federation(), "service_account_impersonation_url", Value::Null), "has no identity tokens of its own"),
        (with(federation(), "service_account_impersonation_url", json!("https://a/b")), ":generateAccessToken"),
        (with(impersonated, "source_credentials", json!({"type": "external_account"})), "source_credentials"),
    ] {
        let wrong = folder.verdict(&text).unwrap_err();
        assert!(wrong.contains(said) && wrong.contains("credentials.json"), "{said}: {wrong}");
    }
}

#[test]
fn what_carries_a_secret_goes_over_https_or_stays_on_this_machine() {
    let folder = Folder::new("places");
    for (document, member) in
        [(key(), "token_uri"), (federation(), "token_url"), (federation(), "service_account_impersonation_url")]
    {
        for (place, good) in [
            ("https://proxy.example/x:generateAccessToken", true),
            ("http://127.0.0.1:9/x:generateAccessToken", true),
            ("http://10.0.0.7/x:generateAccessToken", false),
            ("http://oauth2.googleapis.com/x:generateAccessToken", false),
            ("ftp://127.0.0.1/x:generateAccessToken", false),
        ] {
            let verdict = folder.verdict(&with(document.clone(), member, json!(place)));
            assert_eq!(verdict.is_ok(), good, "{member} {place}: {verdict:?}");
        }
    }
}

#[test]
fn no_complaint_quotes_a_key() {
    let folder = Folder::new("secrets");
    let secret = "MIIEvgIBADANBgkqhkiG9w0BAQEFAASC";
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n");
    for text in [
        with(key(), "private_key", json!(pem)),
        with(key(), "private_key", json!(secret)),
        format!("{{\"private_key\": \"{secret}\""),
    ] {
        let wrong = folder.verdict(&text).unwrap_err();
        assert!(!wrong.contains(secret), "{wrong}");
    }
}
