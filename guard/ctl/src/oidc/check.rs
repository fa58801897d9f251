//! What is wrong with a configuration file of Immich: keys and types by [`schema`], and what would lock a family out.
//!
//! A finding never shows a value that may be secret: the type of what was found, not the text.

use std::fmt;

use serde_json::Value;

use super::schema::{self, Kind};
use crate::lint::yaml;

/// Where an admin gets in when the issuer does not answer and `autoLaunch` is on (Immich, "OAuth authentication").
const WAY_BACK: &str = "/auth/login?autoLaunch=0";

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Immich does not start, or nobody can sign in.
    Error,
    /// It works, and somebody will wonder.
    Warning,
    /// It is right, and one should know what follows.
    Note,
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
            Weight::Note => "note",
        };
        write!(f, "{weight}: {}: {}", self.path, self.text)
    }
}

/// Checks a file's text, YAML or JSON.
pub fn text(text: &str) -> anyhow::Result<Vec<Finding>> {
    let documents = yaml::core_values(text).map_err(|error| anyhow::anyhow!("not YAML or JSON: {error}"))?;
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

impl Finding {
    /// One that stops everything.
    pub fn error(path: &str, text: impl Into<String>) -> Self {
        Self { weight: Weight::Error, path: path.to_owned(), text: text.into() }
    }
}

fn error(path: &str, text: impl Into<String>) -> Finding {
    Finding::error(path, text)
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

/// What is wanted instead of a value of another type, or beyond its bounds.
fn mismatch(kind: Kind, value: &Value) -> Option<String> {
    let words = |words: &[&str]| words.join(", ");
    let all = |good: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(good));
    let one_of = |value: &Value, known: &[&str]| value.as_str().is_some_and(|text| known.contains(&text));
    let text = |good: fn(&str) -> bool| value.as_str().is_some_and(good);
    let whole = |least: i64, most: i64| integer(value).is_some_and(|number| (least..=most).contains(&number));
    let (good, wanted) = match kind {
        Kind::Bool => (value.is_boolean(), "true or false".to_owned()),
        Kind::Text => (value.is_string(), "text".to_owned()),
        Kind::Url => (text(is_url), "a whole URL".to_owned()),
        Kind::UrlOrEmpty => (text(|url| url.is_empty() || is_url(url)), "a whole URL, or nothing in quotes".to_owned()),
        Kind::Cron => (text(is_cron), "a time as cron has it, such as \"0 02 * * *\"".to_owned()),
        Kind::Time => (text(is_time), "a time of day in quotes, such as \"03:00\"".to_owned()),
        Kind::Int(least, most) => (whole(least, most), format!("a whole number{}", bounds(least, most))),
        Kind::IntOrNull(least, most) => {
            (value.is_null() || whole(least, most), format!("a whole number{}, or null for none", bounds(least, most)))
        }
        Kind::Float(least, most) => {
            let good = value.as_f64().is_some_and(|number| (least..=most).contains(&number));
            (good, format!("a number from {least} to {most}"))
        }
        Kind::OneOf(known) => (one_of(value, known), format!("one of {}", words(known))),
        Kind::Texts => (all(&Value::is_string), "a list of text".to_owned()),
        Kind::ManyOf(known) => (all(&|item| one_of(item, known)), format!("a list of {}", words(known))),
        Kind::ManyNumbers(known) => {
            (all(&|item| item.as_u64().is_some_and(|number| known.contains(&number))), format!("a list of {known:?}"))
        }
    };
    // Words and numbers that are not among those known are shown: they are no secrets, and it helps.
    let found = match (kind, value) {
        (Kind::OneOf(_), Value::String(text)) => format!("{text:?}"),
        (Kind::Int(..) | Kind::IntOrNull(..) | Kind::Float(..), Value::Number(number)) => number.to_string(),
        _ => kind_of(value).to_owned(),
    };
    // Immich reads these words and digits in quotes at some of its keys.
    let quoted = match (kind, value) {
        (Kind::Bool, Value::String(text)) => text == "true" || text == "false",
        (Kind::Int(..), Value::String(text)) => text.parse::<i64>().is_ok(),
        _ => false,
    };
    let follows = if quoted { ", without quotes" } else { ": Immich would not start" };
    (!good).then(|| format!("found {found}, wanted {wanted}{follows}"))
}

/// `30` and `30.0` are one number to Immich.
fn integer(value: &Value) -> Option<i64> {
    let text = value.as_number()?.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().ok()
}

/// As people say it: JavaScript's own bounds are none.
fn bounds(least: i64, most: i64) -> String {
    match (least < -1, most > i64::from(u32::MAX)) {
        (true, _) => String::new(),
        (false, true) => format!(" from {least} on"),
        (false, false) => format!(" from {least} to {most}"),
    }
}

/// A scheme and something after it; of `http` and `https` a host.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let is_web = matches!(scheme, "http" | "https");
    is_scheme && !rest.is_empty() && !text.contains(char::is_whitespace) && (!is_web || scheme_of(text).is_some())
}

fn is_cron(text: &str) -> bool {
    let fields: Vec<_> = text.split_whitespace().collect();
    let is_field = |field: &&str| field.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | ',' | '-' | '/' | '?'));
    text.starts_with('@') || (matches!(fields.len(), 5 | 6) && fields.iter().all(is_field))
}

fn is_time(text: &str) -> bool {
    let part = |text: &str, most: u8| text.len() == 2 && text.parse::<u8>().is_ok_and(|number| number <= most);
    text.split_once(':').is_some_and(|(hours, minutes)| part(hours, 23) && part(minutes, 59))
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
            } else if text.trim() != text || text.contains(char::is_control) {
                self.warn(path, "has white space at an end, or more than one line: was it copied so?");
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
                    "leave it off until there is an admin who got in by OIDC: a mistake here, or an issuer that is away, would lock \
                     everybody out; the way back in is {WAY_BACK}"
                ),
            );
        }
        if self.text("oauth.roleClaim") != Some("") {
            let claim = self.text("oauth.roleClaim").unwrap_or("immich_role").to_owned();
            self.note(
                "oauth.roleClaim",
                format!("Immich takes {claim} from the token at every sign-in: an admin for whom the issuer says \"user\" is one no more"),
            );
        }
        self.note(
            "oauth.issuerUrl",
            "Immich links an account by its e-mail address and does not ask whether it was verified: whoever can set an address at the \
             issuer can enter that account",
        );
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
        let url = self.text(path).unwrap_or_default().to_owned();
        match scheme_of(&url) {
            _ if url.is_empty() => {}
            None => self.fail(path, "wanted a whole URL, such as https://photos.example.com"),
            Some(_) if !is_origin(&url) => self.fail(path, "has more than scheme and host, and Immich cannot live below a path"),
            Some("http") => {
                self.warn(path, "http: links that people share will say so, and an issuer may refuse such a redirect URI");
            }
            Some(_) => {}
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

    fn note(&mut self, path: &str, text: impl Into<String>) {
        self.findings.push(Finding { weight: Weight::Note, path: path.to_owned(), text: text.into() });
    }
}

/// Whether a URL is `http` or `https`, a host, and no more than a slash.
pub fn is_origin(url: &str) -> bool {
    let rest = scheme_of(url).and_then(|scheme| url.get(scheme.len() + 3..)).map(|rest| rest.trim_end_matches('/'));
    rest.is_some_and(|rest| !rest.contains(['/', '?', '#']))
}

/// `http` or `https` of a URL with a host.
fn scheme_of(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = ["https", "http"].into_iter().find(|known| *known == scheme)?;
    let good = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@');
    good.then_some(scheme)
}
