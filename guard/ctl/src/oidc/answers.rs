//! The arguments of `guardctl oidc render`, and the settings that follow from them. All other settings keep Immich's defaults.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};

use super::check::{self, Finding};
use crate::severity::Severity;

/// The redirect URI of the phone app (Immich, "OAuth authentication").
const APP_CALLBACK: &str = "app.immich:///oauth-callback";

/// The arguments that describe the issuer and Immich. None of them is secret.
#[derive(Args, Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent flag")]
pub struct Answers {
    /// The public URL of Immich, for example <https://photos.example.com>
    #[arg(long, value_name = "URL")]
    pub external_url: String,

    /// The URL of the issuer, for example <https://auth.example.com/application/o/immich/>
    #[arg(long, value_name = "URL")]
    pub issuer: String,

    /// The client id that the issuer shows for Immich
    #[arg(long, value_name = "ID")]
    pub client_id: String,

    /// A URL of Immich at home, for example <http://nas.lan:30283>. It adds redirect URIs. May be repeated
    #[arg(long, value_name = "URL")]
    pub lan_url: Vec<String>,

    /// The scopes to request from the issuer [default: openid email profile]
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,

    /// The algorithm with which the issuer signs its tokens [default: RS256]
    #[arg(long, value_name = "ALG")]
    pub signing_algorithm: Option<String>,

    /// How Immich sends the client secret: `client_secret_post` or `client_secret_basic` [default: `client_secret_post`]
    #[arg(long, value_name = "METHOD")]
    pub token_endpoint_auth_method: Option<String>,

    /// The claim with the role, `admin` or `user`. Immich reads it at every sign-in [default: `immich_role`]
    #[arg(long, value_name = "CLAIM", conflicts_with = "no_role_claim")]
    pub role_claim: Option<String>,

    /// Read no role from the issuer: admins are set in Immich. For issuers that send no role
    #[arg(long)]
    pub no_role_claim: bool,

    /// The text of the sign-in button
    #[arg(long, value_name = "TEXT")]
    pub button_text: Option<String>,

    /// The quota of new users in GiB. 0 is refused, because new users could not upload [default: no quota]
    #[arg(long, value_name = "GIB")]
    pub default_quota: Option<u64>,

    /// Let only users sign in that already have an account in Immich
    #[arg(long)]
    pub no_auto_register: bool,

    /// Redirect to the issuer without a click. /auth/login?autoLaunch=0 shows the sign-in page again
    #[arg(long)]
    pub auto_launch: bool,

    /// Turn off sign-in with a password. If the issuer is down, nobody can sign in
    #[arg(long)]
    pub no_password_login: bool,

    /// Redirect the app through the public URL. For issuers that refuse app.immich:// (Google)
    #[arg(long)]
    pub mobile_override: bool,

    /// A URL of machine learning. May be repeated: Immich tries the URLs in this order [default: Immich's variable]
    #[arg(long, value_name = "URL")]
    pub machine_learning_url: Vec<String>,

    /// Allow an issuer with http. Only for a network that nobody else uses
    #[arg(long)]
    pub allow_insecure: bool,
}

impl Answers {
    /// Returns the configuration: the settings that the arguments set.
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

    /// Returns findings for the URLs from which the redirect URIs are made.
    pub fn problems(&self) -> Vec<Finding> {
        let external = [("--external-url", &self.external_url, "https://photos.example.com")];
        let lan = self.lan_url.iter().map(|url| ("--lan-url", url, "http://192.0.2.10:30283"));
        let wrong = external
            .into_iter()
            .chain(lan)
            .filter(|(_, url, _)| !check::is_origin(url) || url.contains(|c: char| c.is_ascii_uppercase()));
        wrong
            .map(|(flag, url, example)| Finding {
                severity: Severity::Error,
                path: flag.to_owned(),
                text: format!("found {url:?}, wanted only scheme, host and port in lower case, for example {example}"),
            })
            .collect()
    }

    /// Returns the redirect URIs to register at the issuer. They must match exactly.
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

    /// Returns the remaining steps for the operator, with commands.
    pub fn next_steps(&self, written: Option<&Path>) -> String {
        let file = written.map_or_else(|| "immich.yaml".to_owned(), |path| shell_word(&path.display().to_string()));
        let mut text = "Register these redirect URIs at the issuer, exactly as they are:\n".to_owned();
        // A strict issuer refuses plain http beside the app's own scheme in one client (OpenID Connect Registration, `application_type`).
        let (plain, others): (Vec<_>, Vec<_>) = self.redirect_uris().into_iter().partition(|uri| uri.starts_with("http://"));
        for uri in others {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  {uri}");
        }
        if !plain.is_empty() {
            text.push_str(
                "For sign-in over the LAN, also these. A strict issuer refuses http:// addresses in a client with the other URIs; then leave \
                 them out, and sign in at home through the public address:\n",
            );
            for uri in plain {
                let _ = writeln!(text, "  {uri}");
            }
        }
        let _ = write!(
            text,
            "Then run these commands, and run them again after each change:\n  kubectl -n immich create secret generic immich-oidc --from-file=immich.yaml={file} \
             --dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -\n  kubectl -n immich rollout restart deploy/immich-server\n\
             Note: at the first sign-in, Immich links an existing account with the same e-mail address, and does not check whether the issuer \
             verified the address.\n"
        );
        if !self.no_role_claim {
            let claim = self.role_claim.as_deref().unwrap_or("immich_role");
            let _ = writeln!(
                text,
                "Note: Immich reads {claim} at every sign-in. A user for whom the issuer does not send \"admin\" is not an admin afterwards. \
                 Use --no-role-claim to set admins in Immich instead."
            );
        }
        text
    }

    fn base(&self) -> &str {
        self.external_url.trim_end_matches('/')
    }
}

/// Returns `base`, with the settings of `answers` replaced or added.
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

/// Quotes a text for a POSIX shell, if that is needed.
fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
