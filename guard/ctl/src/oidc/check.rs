//! What is wrong with a configuration file of Immich: keys and types by [`schema`], and what would lock a family out.
//!
//! A finding never shows a value that may be secret: the type of what was found, not the text.

use std::fmt;

use serde_json::Value;

use super::schema::{self, Kind};

/// Where an admin gets in when the issuer does not answer and `autoLaunch` is on (Immich, "OAuth authentication").
const WAY_BACK: &str = "/auth/login?autoLaunch=0";

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Immich does not start, or nobody can sign in.
    Error,
    /// It works, and somebody will wonder.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// Which key.
    pub path: String,
    /// What was found, what is wanted.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        write!(f, "{weight}: {}: {}", self.path, self.text)
    }
}

/// Checks a file's text, YAML or JSON.
pub fn text(text: &str) -> anyhow::Result<Vec<Finding>> {
    let documents = crate::lint::yaml::values(text).map_err(|error| anyhow::anyhow!("not YAML or JSON: {error}"))?;
    anyhow::ensure!(documents.len() == 1, "{} documents, wanted one", documents.len());
    Ok(value(&documents[0]))
}

/// Checks a configuration.
pub fn value(config: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.is_object() {
        keys(config, "", &mut findings);
        Rules { config, findings: &mut findings }.all();
    } else {
        findings.push(error("(the whole)", format!("found {}, wanted keys such as oauth", kind_of(config))));
    }
    findings
}

fn error(path: &str, text: impl Into<String>) -> Finding {
    Finding { weight: Weight::Error, path: path.to_owned(), text: text.into() }
}

fn warning(path: &str, text: impl Into<String>) -> Finding {
    Finding { weight: Weight::Warning, path: path.to_owned(), text: text.into() }
}

/// Every key known, every value of its type.
fn keys(value: &Value, path: &str, findings: &mut Vec<Finding>) {
    let Some(object) = value.as_object() else {
        findings.push(error(path, format!("found {}, wanted keys below it", kind_of(value))));
        return;
    };
    for (key, value) in object {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match schema::kind(&path) {
            Some(kind) => findings.extend(mismatch(kind, value).map(|text| error(&path, text))),
            None if schema::is_section(&path) => keys(value, &path, findings),
            None => {
                let meant = schema::nearest(&path).map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
                findings.push(warning(&path, format!("Immich v3 has no such key and ignores it{meant}")));
            }
        }
    }
}

/// What is wanted instead of a value of another type.
fn mismatch(kind: Kind, value: &Value) -> Option<String> {
    let words = |words: &[&str]| words.join(", ");
    let all = |value: &Value, good: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(good));
    let one_of = |value: &Value, known: &[&str]| value.as_str().is_some_and(|text| known.contains(&text));
    let (good, wanted) = match kind {
        Kind::Bool => (value.is_boolean(), "true or false".to_owned()),
        Kind::Text => (value.is_string(), "text".to_owned()),
        Kind::Number => (value.is_number(), "a number".to_owned()),
        Kind::NumberOrNull => (value.is_number() || value.is_null(), "a number, or null for none".to_owned()),
        Kind::OneOf(known) => (one_of(value, known), format!("one of {}", words(known))),
        Kind::Texts => (all(value, &Value::is_string), "a list of text".to_owned()),
        Kind::ManyOf(known) => (all(value, &|item| one_of(item, known)), format!("a list of {}", words(known))),
        Kind::Numbers => (all(value, &Value::is_number), "a list of numbers".to_owned()),
    };
    // A word that is not one of those known is shown: it is no secret, and it helps.
    let found = match (kind, value) {
        (Kind::OneOf(_), Value::String(text)) => format!("{text:?}"),
        _ => kind_of(value).to_owned(),
    };
    (!good).then(|| format!("found {found}, wanted {wanted}: Immich would not start"))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "keys",
    }
}

/// The rules that a type does not show.
struct Rules<'c> {
    config: &'c Value,
    findings: &'c mut Vec<Finding>,
}

impl Rules<'_> {
    fn all(mut self) {
        if self.flag("oauth.enabled") {
            self.issuer();
            self.client();
            self.app();
            self.people();
        } else if self.has("oauth.clientId") {
            self.warn("oauth.enabled", "off, and the client below it is not used");
        }
        self.doors();
        self.addresses();
    }

    fn issuer(&mut self) {
        let (path, insecure) = ("oauth.issuerUrl", self.flag("oauth.allowInsecureRequests"));
        match scheme_of(self.text(path).unwrap_or_default()) {
            Some("https") => {}
            Some("http") if insecure => {
                self.warn(path, "http: whoever listens on the way reads who signs in, and the client secret")
            }
            Some("http") => {
                self.fail(path, "found http, wanted https (or allowInsecureRequests, on a network that is yours alone)")
            }
            _ => self.fail(path, "wanted the issuer's URL, such as https://auth.example.com/application/o/immich/"),
        }
        let algorithm = self.text("oauth.signingAlgorithm").unwrap_or("RS256").to_owned();
        let asymmetric = ["RS", "PS", "ES"].iter().any(|family| algorithm.starts_with(family)) || algorithm == "EdDSA";
        if !asymmetric {
            self.fail(
                "oauth.signingAlgorithm",
                format!("found {algorithm:?}, wanted RS256 or another with a key pair: give the provider a signing key instead"),
            );
        }
        let scope = self.text("oauth.scope").unwrap_or("openid email profile").to_owned();
        for wanted in ["openid", "email"] {
            if !scope.split_whitespace().any(|word| word == wanted) {
                self.fail("oauth.scope", format!("{wanted} is missing: Immich knows people by their address"));
            }
        }
    }

    fn client(&mut self) {
        for path in ["oauth.clientId", "oauth.clientSecret"] {
            let text = self.text(path).unwrap_or_default().to_owned();
            if text.trim().is_empty() {
                self.fail(path, "not set, wanted what the issuer shows for this client");
            } else if text.contains("${") || text.contains("{{") {
                self.warn(path, "looks like a placeholder: Immich puts no variables into this file");
            } else if text.trim() != text {
                self.warn(path, "begins or ends with white space: was it copied so?");
            }
        }
    }

    fn app(&mut self) {
        let (path, on) = ("oauth.mobileRedirectUri", self.flag("oauth.mobileOverrideEnabled"));
        let uri = self.text(path).unwrap_or_default().to_owned();
        if on && !(uri.starts_with("https://") && uri.ends_with("/api/oauth/mobile-redirect")) {
            self.fail(path, "wanted https://HOST/api/oauth/mobile-redirect, since mobileOverrideEnabled is on");
        } else if on {
            self.warn(
                "oauth.mobileOverrideEnabled",
                "right only for an issuer that refuses app.immich:///oauth-callback (Google): the app then comes back through the front door",
            );
        } else if !uri.is_empty() {
            self.warn(path, "not used: mobileOverrideEnabled is off");
        }
    }

    fn people(&mut self) {
        if self.at("oauth.defaultStorageQuota").and_then(Value::as_f64) == Some(0.0) {
            self.fail("oauth.defaultStorageQuota", "0 is a quota of nothing: new people could not upload; leave it out, or null");
        }
        if self.flag("oauth.autoLaunch") {
            self.warn(
                "oauth.autoLaunch",
                format!("when the issuer is away, the way in is {WAY_BACK}; and leave it off until there is an admin"),
            );
        }
    }

    fn doors(&mut self) {
        if self.at("passwordLogin.enabled") != Some(&Value::Bool(false)) {
            return;
        }
        if self.flag("oauth.enabled") {
            self.warn("passwordLogin.enabled", "off: when the issuer is away nobody gets in, the admin neither");
        } else {
            self.fail("passwordLogin.enabled", "off, and oauth.enabled too: nobody could sign in");
        }
    }

    fn addresses(&mut self) {
        let path = "server.externalDomain";
        if let Some(url) = self.text(path).filter(|url| !url.is_empty())
            && scheme_of(url).is_none()
        {
            self.fail(path, "wanted a whole URL, such as https://photos.example.com");
        }
        let path = "machineLearning.urls";
        let Some(urls) = self.at(path).and_then(Value::as_array).cloned() else { return };
        if urls.is_empty() {
            self.fail(path, "an empty list, wanted at least one URL: Immich would not start");
        }
        for url in urls.iter().filter_map(Value::as_str) {
            match scheme_of(url) {
                None => self.fail(path, "wanted URLs, such as http://immich-machine-learning:3003"),
                Some(scheme) => {
                    let rest = &url[scheme.len() + 3..];
                    if rest.split_once('/').is_some_and(|(_, path)| !path.is_empty()) {
                        self.warn(path, "a path in a URL is dropped by Immich's check whether it is there");
                    }
                }
            }
        }
    }

    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self.config, |value, key| value.get(key))
    }

    fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    fn flag(&self, path: &str) -> bool {
        self.at(path) == Some(&Value::Bool(true))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.at(path)?.as_str()
    }

    fn fail(&mut self, path: &str, text: impl Into<String>) {
        self.findings.push(error(path, text));
    }

    fn warn(&mut self, path: &str, text: impl Into<String>) {
        self.findings.push(warning(path, text));
    }
}

/// `http` or `https` of a URL with a host.
fn scheme_of(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = ["https", "http"].into_iter().find(|known| *known == scheme)?;
    let good = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@');
    good.then_some(scheme)
}
