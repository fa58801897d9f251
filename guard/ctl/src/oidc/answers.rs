//! What an operator answers, and the settings that follow from it. What is not answered stays at Immich's default.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};

use super::check::{self, Finding};
use crate::severity::Severity;

/// The way back into the phone app (Immich, "OAuth authentication").
const APP_CALLBACK: &str = "app.immich:///oauth-callback";

/// The answers. None of them is secret.
#[derive(Args, Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own, and none excludes another")]
pub struct Answers {
    /// Immich's public address, such as <https://photos.example.com>
    #[arg(long, value_name = "URL")]
    pub external_url: String,

    /// The issuer, such as <https://auth.example.com/application/o/immich/>
    #[arg(long, value_name = "URL")]
    pub issuer: String,

    /// The client id at the issuer
    #[arg(long, value_name = "ID")]
    pub client_id: String,

    /// Immich's address at home, for its redirect URIs; may be repeated
    #[arg(long, value_name = "URL")]
    pub lan_url: Vec<String>,

    /// What is asked of the issuer [default: openid email profile]
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,

    /// How the issuer signs its tokens [default: RS256]
    #[arg(long, value_name = "ALG")]
    pub signing_algorithm: Option<String>,

    /// How Immich shows its secret: `client_secret_post` or `client_secret_basic` [default: `client_secret_post`]
    #[arg(long, value_name = "METHOD")]
    pub token_endpoint_auth_method: Option<String>,

    /// The claim that says `admin` or `user`, read at every sign-in [default: `immich_role`]
    #[arg(long, value_name = "CLAIM", conflicts_with = "no_role_claim")]
    pub role_claim: Option<String>,

    /// Who is admin is Immich's own affair: for issuers that send no role
    #[arg(long)]
    pub no_role_claim: bool,

    /// What the button says
    #[arg(long, value_name = "TEXT")]
    pub button_text: Option<String>,

    /// The quota of new people in GiB; 0 would let nobody upload [default: none]
    #[arg(long, value_name = "GIB")]
    pub default_quota: Option<u64>,

    /// Only people whom Immich knows already may sign in
    #[arg(long)]
    pub no_auto_register: bool,

    /// Go to the issuer without a click; back in with /auth/login?autoLaunch=0
    #[arg(long)]
    pub auto_launch: bool,

    /// No more passwords: whoever cannot reach the issuer is locked out
    #[arg(long)]
    pub no_password_login: bool,

    /// For issuers that refuse app.immich:// (Google): the app comes back through the public address
    #[arg(long)]
    pub mobile_override: bool,

    /// Machine learning, first choice first; may be repeated [default: Immich's variable]
    #[arg(long, value_name = "URL")]
    pub machine_learning_url: Vec<String>,

    /// An issuer by plain http, on a network that is yours alone
    #[arg(long)]
    pub allow_insecure: bool,
}

impl Answers {
    /// The configuration file as a value: what differs from Immich's defaults, and what a home needs.
    pub fn config(&self, client_secret: &str) -> Value {
        let mut oauth = Map::new();
        let mut set = |key: &str, value: Value| oauth.insert(key.to_owned(), value);
        set("enabled", json!(true));
        set("issuerUrl", json!(self.issuer));
        set("clientId", json!(self.client_id));
        set("clientSecret", json!(client_secret));
        if let Some(scope) = &self.scope {
            set("scope", json!(scope));
        }
        if let Some(algorithm) = &self.signing_algorithm {
            set("signingAlgorithm", json!(algorithm));
        }
        if let Some(method) = &self.token_endpoint_auth_method {
            set("tokenEndpointAuthMethod", json!(method));
        }
        if let Some(claim) = &self.role_claim {
            set("roleClaim", json!(claim));
        } else if self.no_role_claim {
            set("roleClaim", json!(""));
        }
        if let Some(text) = &self.button_text {
            set("buttonText", json!(text));
        }
        if let Some(quota) = self.default_quota {
            set("defaultStorageQuota", json!(quota));
        }
        if self.no_auto_register {
            set("autoRegister", json!(false));
        }
        if self.auto_launch {
            set("autoLaunch", json!(true));
        }
        if self.mobile_override {
            set("mobileOverrideEnabled", json!(true));
            set("mobileRedirectUri", json!(format!("{}/api/oauth/mobile-redirect", self.base())));
        }
        if self.allow_insecure {
            set("allowInsecureRequests", json!(true));
        }
        let mut config = json!({"server": {"externalDomain": self.base()}, "oauth": oauth});
        if self.no_password_login {
            config["passwordLogin"] = json!({"enabled": false});
        }
        if !self.machine_learning_url.is_empty() {
            config["machineLearning"] = json!({"urls": self.machine_learning_url});
        }
        config
    }

    /// What is wrong with the addresses, from which the redirect URIs are made.
    pub fn problems(&self) -> Vec<Finding> {
        let external = [("--external-url", &self.external_url, "https://photos.example.com")];
        let lan = self.lan_url.iter().map(|url| ("--lan-url", url, "http://192.0.2.10:30283"));
        let wrong = external.into_iter().chain(lan).filter(|(_, url, _)| !check::is_origin(url));
        wrong
            .map(|(flag, url, example)| Finding {
                severity: Severity::Error,
                path: flag.to_owned(),
                text: format!("found {url:?}, wanted scheme, host and port alone, such as {example}"),
            })
            .collect()
    }

    /// The redirect URIs that the issuer has to know, character by character.
    pub fn redirect_uris(&self) -> Vec<String> {
        let lan = self.lan_url.iter().map(|url| url.trim_end_matches('/'));
        let bases: Vec<&str> = [self.base()].into_iter().chain(lan).collect();
        let mut uris: Vec<_> =
            bases.iter().flat_map(|base| [format!("{base}/auth/login"), format!("{base}/user-settings")]).collect();
        if self.mobile_override {
            uris.push(format!("{}/api/oauth/mobile-redirect", self.base()));
        } else {
            uris.push(APP_CALLBACK.to_owned());
        }
        uris
    }

    /// What is left to do, as commands.
    pub fn next_steps(&self, written: Option<&Path>) -> String {
        let file = written.map_or_else(|| "immich.yaml".to_owned(), |path| shell_word(&path.display().to_string()));
        let mut text = "Register at the issuer, character by character:\n".to_owned();
        for uri in self.redirect_uris() {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  {uri}");
        }
        let _ = write!(
            text,
            "Then, and again after each change:\n  kubectl -n immich create secret generic immich-oidc --from-file=immich.yaml={file} \
             --dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -\n  kubectl -n immich rollout restart deploy/immich-server\n\
             Know: an account with the same e-mail address is taken over at the first sign-in, and Immich does not ask whether the issuer \
             verified it.\n"
        );
        if !self.no_role_claim {
            let claim = self.role_claim.as_deref().unwrap_or("immich_role");
            let _ = writeln!(
                text,
                "Know: {claim} counts at every sign-in. Whom the issuer does not send \"admin\" is no admin afterwards; \
                 --no-role-claim leaves that to Immich."
            );
        }
        text
    }

    fn base(&self) -> &str {
        self.external_url.trim_end_matches('/')
    }
}

/// The settings of `base`, but for what the answers say.
pub fn merged(base: Value, answers: Value) -> Value {
    match (base, answers) {
        (Value::Object(mut base), Value::Object(answers)) => {
            for (key, answer) in answers {
                let before = base.remove(&key).unwrap_or(Value::Null);
                base.insert(key, merged(before, answer));
            }
            Value::Object(base)
        }
        (_, answers) => answers,
    }
}

/// As a POSIX shell has to be told, where it would take the text apart.
fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
