//! Checks a configuration file of Immich: keys and types by [`schema`], and settings with which nobody could sign in.
//!
//! A finding never shows a value that may be secret: it names the type of the value instead.

use std::fmt;

use serde_json::Value;

use super::js_yaml;
use super::schema::{self, Kind};
use crate::lint::yaml::{Dialect, values};
use crate::severity::Severity;

/// The page where an admin can sign in while the issuer is down and `autoLaunch` is on (Immich, "OAuth authentication").
const WAY_BACK: &str = "/auth/login?autoLaunch=0";

/// Signature algorithms with a key pair (RFC 7518, 3.1; RFC 8037). The key set of the issuer can verify them.
const ALGORITHMS: [&str; 10] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// The issuer of Google. It refuses the URI scheme of the app, and sends no role.
const GOOGLE: &str = "https://accounts.google.com";

/// A problem in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The severity. Error: Immich does not start, or nobody can sign in. Warning: Immich works, but not as expected.
    pub severity: Severity,
    /// The path of the key, or the flag.
    pub path: String,
    /// What was found and what is wanted.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity.label(), self.path, self.text)
    }
}

/// Checks the text of a file, YAML or JSON. Fails if it is not one valid document.
pub fn text(text: &str) -> anyhow::Result<Vec<Finding>> {
    Ok(value(&document(text)?))
}

/// Parses a file with one document, YAML or JSON, as Immich's parser does.
pub fn document(text: &str) -> anyhow::Result<Value> {
    let text = js_yaml::normalized(text)?;
    let mut documents =
        values(&text, Dialect::Plain).map_err(|error| anyhow::anyhow!("found text that is not YAML or JSON: {error}"))?;
    anyhow::ensure!(documents.len() == 1, "found {} documents, wanted one", documents.len());
    Ok(documents.remove(0))
}

/// Checks a configuration.
pub fn value(config: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.is_object() {
        keys(config, "", &mut findings);
        Rules { config, findings: &mut findings }.all();
    } else {
        findings.push(error("(the whole file)", format!("found {}, wanted keys such as oauth", kind_of(config))));
    }
    findings
}

fn error(path: &str, text: impl Into<String>) -> Finding {
    Finding { severity: Severity::Error, path: path.to_owned(), text: text.into() }
}

fn warning(path: &str, text: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, path: path.to_owned(), text: text.into() }
}

/// Checks that every key is known and every value has the type of its key.
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

/// Returns the text of a finding if a value has another type, or is outside of its range.
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
        Kind::UrlOrEmpty => (
            text.is_some_and(|text| text.is_empty() || is_url(text)),
            "a URL with a scheme such as https://, or an empty text".to_owned(),
        ),
        Kind::Cron => (text.is_some_and(is_cron), "five or six fields, for example \"0 2 * * *\"".to_owned()),
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
            (all(&Value::is_string) && value != &Value::Array(Vec::new()), "a list of texts with at least one item".to_owned())
        }
        Kind::ManyOf(known) => (all(&|item| one_of(item, known)), format!("a list of {}", known.join(", "))),
        Kind::Heights(known) => {
            let is_known = |item: &Value| item.as_i64().is_some_and(|height| known.contains(&height));
            (all(&is_known), format!("a list of {}", known.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")))
        }
    };
    // Only values that cannot be secret are shown: numbers, and words for keys that allow only known words.
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

/// Whether a text is an absolute URL. Simpler than the parser of a browser: a scheme, then at least one character, and no white space.
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

/// The rules that go beyond the type of one value.
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
            self.warn("oauth.enabled", "found false although oauth.clientId is set, wanted true: Immich does not use the client");
        }
        self.doors();
        self.addresses();
    }

    fn issuer(&mut self) {
        let (path, insecure) = ("oauth.issuerUrl", self.flag("oauth.allowInsecureRequests"));
        match scheme_of(self.text(path).unwrap_or_default()) {
            Some("https") => {}
            Some("http") if insecure => {
                self.warn(
                    path,
                    "found http, wanted https: everybody on the network between Immich and the issuer can read the client secret",
                );
            }
            Some("http") => {
                self.fail(
                    path,
                    "found http, wanted https; on a network that nobody else uses, you can set allowInsecureRequests instead",
                );
            }
            _ => self.fail(
                path,
                "found no valid URL, wanted the issuer's URL without a user name, for example https://auth.example.com/application/o/immich/",
            ),
        }
        let algorithm = self.text("oauth.signingAlgorithm").unwrap_or("RS256").to_owned();
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            self.fail(
                "oauth.signingAlgorithm",
                format!("found {algorithm:?}, wanted RS256 or another algorithm with a key pair: set a signing key for the provider at the issuer"),
            );
        }
        let scope = self.text("oauth.scope").unwrap_or("openid email profile").to_owned();
        for (wanted, why) in
            [("openid", "without it, the issuer sends no ID token"), ("email", "Immich identifies users by their e-mail address")]
        {
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
            self.warn(
                "oauth.mobileOverrideEnabled",
                "found false, wanted true: Google refuses app.immich://, so the app could not sign in",
            );
        }
        if !self.text("oauth.roleClaim").unwrap_or("immich_role").is_empty() {
            self.warn(
                "oauth.roleClaim",
                "found a claim, wanted \"\" (no claim): Google sends no role, and Immich reads it at every sign-in, so an admin can become a user",
            );
        }
    }

    fn client(&mut self) {
        for path in ["oauth.clientId", "oauth.clientSecret"] {
            let text = self.text(path).unwrap_or_default().to_owned();
            if text.trim().is_empty() {
                self.fail(path, "found no value, wanted the value that the issuer shows for this client");
            } else if text.contains(char::is_control) {
                self.fail(path, "found a line break or another control character, wanted one line: copy the value again");
            } else if text.contains("${") || text.contains("{{") {
                self.warn(path, "found a value that looks like a placeholder, wanted the real value: Immich replaces no variables in this file");
            } else if text.trim() != text {
                self.warn(path, "found white space at the beginning or end, wanted none: copy the value again");
            }
        }
    }

    fn app(&mut self) {
        let (path, on) = ("oauth.mobileRedirectUri", self.flag("oauth.mobileOverrideEnabled"));
        let uri = self.text(path).unwrap_or_default().to_owned();
        if on && !(uri.starts_with("https://") && uri.ends_with("/api/oauth/mobile-redirect")) {
            self.fail(
                path,
                "found another value or none, wanted https://HOST/api/oauth/mobile-redirect, because mobileOverrideEnabled is on",
            );
        } else if on {
            self.warn(
                "oauth.mobileOverrideEnabled",
                "found true, which is needed only for an issuer that refuses app.immich:///oauth-callback (Google): the app is then redirected through the front door",
            );
        } else if !uri.is_empty() {
            self.warn(path, "found a value that is not used, because mobileOverrideEnabled is off: remove it");
        }
    }

    fn people(&mut self) {
        if self.at("oauth.defaultStorageQuota").and_then(Value::as_f64) == Some(0.0) {
            self.fail(
                "oauth.defaultStorageQuota",
                "found 0, wanted null or no value: with a quota of 0, new users cannot upload",
            );
        }
        if self.flag("oauth.autoLaunch") {
            self.warn(
                "oauth.autoLaunch",
                format!(
                    "found true: while the issuer is down, sign in at {WAY_BACK}. Keep it off until Immich has an admin, because \
                     Immich refuses everybody else before the first admin"
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
            self.warn("passwordLogin.enabled", "found false: while the issuer is down, nobody can sign in, not even an admin");
        } else {
            self.fail(
                "passwordLogin.enabled",
                "found false, and oauth.enabled is not true, wanted one of them to be true: otherwise nobody could sign in",
            );
        }
    }

    fn addresses(&mut self) {
        let path = "server.externalDomain";
        if let Some(url) = self.text(path).filter(|url| !url.is_empty()).map(str::to_owned) {
            if scheme_of(&url).is_none() {
                self.fail(path, "found no URL, wanted a complete URL, for example https://photos.example.com");
            } else if !is_origin(&url) {
                self.warn(path, "found text after the host, wanted none: Immich ignores it, because it cannot run below a path");
            }
        }
        let path = "machineLearning.urls";
        let Some(urls) = self.at(path).and_then(Value::as_array).cloned() else { return };
        for url in urls.iter().filter_map(Value::as_str) {
            match scheme_of(url) {
                None => {
                    self.fail(
                        path,
                        "found an item that is not a URL, wanted URLs, for example http://immich-machine-learning:3003",
                    );
                }
                Some(scheme) => {
                    let rest = &url[scheme.len() + 3..];
                    if rest.split_once('/').is_some_and(|(_, path)| !path.is_empty()) {
                        self.warn(path, "found a path in a URL, wanted none: Immich ignores the path when it checks whether machine learning is available");
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
        // Immich also accepts the text "true".
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

/// Whether a URL consists of scheme, host and port only. Slashes at the end are allowed.
pub(super) fn is_origin(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    scheme_of(url).is_some() && !rest.trim_end_matches('/').contains(['/', '?', '#'])
}

/// Returns the scheme of a URL, if it is `http` or `https` and the URL has a host.
fn scheme_of(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = ["https", "http"].into_iter().find(|known| *known == scheme)?;
    let good = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@');
    good.then_some(scheme)
}
