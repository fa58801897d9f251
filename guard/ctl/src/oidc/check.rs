//! What is wrong with a configuration file of Immich: keys and types by [`schema`], and what would lock a family out.
//!
//! A finding never shows a value that may be secret: the type of what was found, not the text.

use std::fmt;

use serde_json::Value;

use super::schema::{self, Kind};
use crate::lint::yaml::{Dialect, values};
use crate::severity::Severity;

/// Where an admin gets in when the issuer does not answer and `autoLaunch` is on (Immich, "OAuth authentication").
const WAY_BACK: &str = "/auth/login?autoLaunch=0";

/// Signatures with a key pair (RFC 7518, 3.1; RFC 8037), which the issuer's key set can prove.
const ALGORITHMS: [&str; 10] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// Refuses the app's scheme, and sends no role.
const GOOGLE: &str = "https://accounts.google.com";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// An error: Immich does not start, or nobody can sign in. A warning: it works, but not as expected.
    pub severity: Severity,
    /// Which key.
    pub path: String,
    /// What was found, what is wanted.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity.label(), self.path, self.text)
    }
}

/// Checks a file's text, YAML or JSON.
pub fn text(text: &str) -> anyhow::Result<Vec<Finding>> {
    Ok(value(&document(text)?))
}

/// The one document of a file, YAML or JSON, as Immich's parser would read it.
pub fn document(text: &str) -> anyhow::Result<Value> {
    let mut documents = values(text, Dialect::Plain).map_err(|error| anyhow::anyhow!("not YAML or JSON: {error}"))?;
    anyhow::ensure!(documents.len() == 1, "{} documents, wanted one", documents.len());
    Ok(documents.remove(0))
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
    Finding { severity: Severity::Error, path: path.to_owned(), text: text.into() }
}

fn warning(path: &str, text: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, path: path.to_owned(), text: text.into() }
}

/// Every key known, every value of its type.
fn keys(value: &Value, path: &str, findings: &mut Vec<Finding>) {
    let Some(object) = value.as_object() else {
        findings.push(error(path, format!("found {}, wanted keys below it: Immich would not start", kind_of(value))));
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

/// What is wanted instead of a value of another type, or outside of its range.
fn mismatch(kind: Kind, value: &Value) -> Option<String> {
    let text = value.as_str();
    let within = |number: Option<i64>, from, to| number.is_some_and(|number| (from..=to).contains(&number));
    let all = |good: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(good));
    let one_of = |value: &Value, known: &[&str]| value.as_str().is_some_and(|text| known.contains(&text));
    let (good, wanted) = match kind {
        Kind::Switch => (value.is_boolean() || matches!(text, Some("true" | "false")), "true or false".to_owned()),
        Kind::Bool => (value.is_boolean(), "true or false".to_owned()),
        Kind::Text => (value.is_string(), "text".to_owned()),
        Kind::Url => (text.is_some_and(is_url), "a URL".to_owned()),
        Kind::UrlOrEmpty => {
            (text.is_some_and(|text| text.is_empty() || is_url(text)), "a URL, with https:// before it".to_owned())
        }
        Kind::Cron => (text.is_some_and(is_cron), "five or six fields, such as \"0 2 * * *\"".to_owned()),
        Kind::Time => (text.is_some_and(is_time), "HH:MM in quotes".to_owned()),
        Kind::Int(from, to) => (within(value.as_i64(), from, to), whole(from, to)),
        Kind::IntOrNull(from, to) => {
            (value.is_null() || within(value.as_i64(), from, to), format!("{}, or null for none", whole(from, to)))
        }
        Kind::Digits(from, to) => {
            (within(value.as_i64().or_else(|| text.and_then(|text| text.trim().parse().ok())), from, to), whole(from, to))
        }
        Kind::Decimal(from, to) => {
            (value.as_f64().is_some_and(|number| (from..=to).contains(&number)), format!("a number from {from} to {to}"))
        }
        Kind::OneOf(known) => (one_of(value, known), format!("one of {}", known.join(", "))),
        Kind::Texts => {
            (all(&Value::is_string) && value != &Value::Array(Vec::new()), "a list of text, with at least one".to_owned())
        }
        Kind::ManyOf(known) => (all(&|item| one_of(item, known)), format!("a list of {}", known.join(", "))),
        Kind::Heights(known) => {
            let is_known = |item: &Value| item.as_i64().is_some_and(|height| known.contains(&height));
            (all(&is_known), format!("a list of {}", known.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")))
        }
    };
    // What is shown is where no secret belongs: a number, and a word instead of one that is known.
    let found = match (kind, value) {
        (Kind::OneOf(_) | Kind::Time | Kind::Cron | Kind::Switch | Kind::Bool, Value::String(text)) => format!("{text:?}"),
        (Kind::Int(..) | Kind::IntOrNull(..) | Kind::Digits(..) | Kind::Decimal(..), Value::Number(number)) => number.to_string(),
        (Kind::Texts, Value::Array(items)) if items.is_empty() => "an empty list".to_owned(),
        _ => kind_of(value).to_owned(),
    };
    (!good).then(|| format!("found {found}, wanted {wanted}: Immich would not start"))
}

fn whole(from: i64, to: i64) -> String {
    match (from, to) {
        (i64::MIN, i64::MAX) => "a whole number".to_owned(),
        (_, i64::MAX) => format!("a whole number, {from} or more"),
        _ => format!("a whole number from {from} to {to}"),
    }
}

/// As near to a browser's parser as is needed here: a scheme, and something after it.
fn is_url(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    text.split_once("://").is_some_and(|(before, rest)| scheme(before) && !rest.is_empty() && !text.contains(char::is_whitespace))
}

fn is_cron(text: &str) -> bool {
    text.starts_with('@') || matches!(text.split_whitespace().count(), 5 | 6)
}

fn is_time(text: &str) -> bool {
    let part = |part: &str, below: u8| part.len() == 2 && part.parse::<u8>().is_ok_and(|number| number < below);
    text.split_once(':').is_some_and(|(hours, minutes)| part(hours, 24) && part(minutes, 60))
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
                self.warn(path, "http: whoever listens on the way reads who signs in, and the client secret");
            }
            Some("http") => {
                self.fail(path, "found http, wanted https (or allowInsecureRequests, on a network that is yours alone)");
            }
            _ => self.fail(path, "wanted the issuer's URL, such as https://auth.example.com/application/o/immich/"),
        }
        let algorithm = self.text("oauth.signingAlgorithm").unwrap_or("RS256").to_owned();
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            self.fail(
                "oauth.signingAlgorithm",
                format!("found {algorithm:?}, wanted RS256 or another with a key pair: give the provider a signing key instead"),
            );
        }
        let scope = self.text("oauth.scope").unwrap_or("openid email profile").to_owned();
        for (wanted, why) in [("openid", "without it there is no ID token"), ("email", "Immich knows people by their address")] {
            if !scope.split_whitespace().any(|word| word == wanted) {
                self.fail("oauth.scope", format!("found {scope:?}, wanted {wanted} in it: {why}"));
            }
        }
        if self.text(path).is_some_and(|issuer| issuer.trim_end_matches('/') == GOOGLE) {
            self.google();
        }
    }

    fn google(&mut self) {
        if !self.flag("oauth.mobileOverrideEnabled") {
            self.warn("oauth.mobileOverrideEnabled", "off, and Google refuses app.immich://: the app could not sign in");
        }
        if !self.text("oauth.roleClaim").unwrap_or("immich_role").is_empty() {
            self.warn(
                "oauth.roleClaim",
                "Google sends no role, and Immich reads it at every sign-in: an admin may come out of it as a user; wanted \"\", no claim",
            );
        }
    }

    fn client(&mut self) {
        for path in ["oauth.clientId", "oauth.clientSecret"] {
            let text = self.text(path).unwrap_or_default().to_owned();
            if text.trim().is_empty() {
                self.fail(path, "not set, wanted what the issuer shows for this client");
            } else if text.contains(char::is_control) {
                self.fail(path, "has a line break or another control character in it: was more than the one line copied?");
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
                format!(
                    "when the issuer is away, the way in is {WAY_BACK}; leave it off until there is an admin, since Immich refuses \
                     everybody else before the first one"
                ),
            );
        }
    }

    fn doors(&mut self) {
        if !matches!(self.at("passwordLogin.enabled"), Some(Value::Bool(false)))
            && self.text("passwordLogin.enabled") != Some("false")
        {
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
        if let Some(url) = self.text(path).filter(|url| !url.is_empty()).map(str::to_owned) {
            if scheme_of(&url).is_none() {
                self.fail(path, "wanted a whole URL, such as https://photos.example.com");
            } else if !is_origin(&url) {
                self.warn(path, "Immich drops what follows the host: it cannot live below a path");
            }
        }
        let path = "machineLearning.urls";
        let Some(urls) = self.at(path).and_then(Value::as_array).cloned() else { return };
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
        // Immich takes the word, too.
        self.at(path) == Some(&Value::Bool(true)) || self.text(path) == Some("true")
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

/// Whether nothing but a slash follows the host of such a URL.
pub(super) fn is_origin(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    scheme_of(url).is_some() && !rest.trim_end_matches('/').contains(['/', '?', '#'])
}

/// `http` or `https` of a URL with a host.
fn scheme_of(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = ["https", "http"].into_iter().find(|known| *known == scheme)?;
    let good = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@');
    good.then_some(scheme)
}
