//! The settings that a person writes, as TOML or as flags, checked as a whole: what the account shall look like.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Deserialize;

/// Where the settings are, if the folder of private values is there.
pub(crate) const FILE: &str = "clusters/home.local/cloudflare.toml";
/// Where secrets and values for the cluster are written; Git ignores it.
pub(crate) const FOLDER: &str = "clusters/home.local/cloudflare";
/// The mark of what guardctl made: every name that it gives begins with it.
pub(crate) const MARK: &str = "immich-guard";
/// The name of the application. It holds the mark.
pub(crate) const APPLICATION: &str = "Immich (immich-guard)";
/// A sign-in lasts so long.
const SESSION: &str = "24h";
/// A sign-in lasts a week at most, in seconds.
pub(crate) const MAX_SESSION: u64 = 7 * 24 * 3600;
/// The service that every request must go through (apps/networking/cloudflared/config.yaml).
pub(crate) const GUARD: &str = "http://immich-origin-proxy.immich-edge.svc.cluster.local:8080";
/// Where everybody can get an address: such a domain is everybody.
pub(crate) const PUBLIC_MAIL: [&str; 14] = [
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "yahoo.com",
    "icloud.com",
    "me.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "proton.me",
    "protonmail.com",
    "aol.com",
];

/// The settings as they are written: clusters/home.local/cloudflare.toml.
#[derive(Clone, Debug, Default, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The public host name, such as photos.example.com
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Who may sign in: an e-mail address, @domain, or group:NAME of a rule group; repeat it, or separate by commas
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    family: Vec<String>,
    /// A phone that gets a service token of its own, by a short name; repeat it, or separate by commas
    #[arg(long = "phone", value_name = "NAME", value_delimiter = ',')]
    phones: Vec<String>,
    /// The login methods of the application, by their names in Zero Trust [default: all of the account]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    login: Vec<String>,
    /// How long a sign-in lasts, such as 24h; 168h at most [default: 24h]
    #[arg(long, value_name = "TIME")]
    session: Option<String>,
    /// The name of the tunnel [default: immich-guard-HOST]
    #[arg(long, value_name = "NAME")]
    tunnel: Option<String>,
}

/// One who may sign in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// One address, in lower case.
    Email(String),
    /// Every address of a domain.
    Domain(String),
    /// A rule group of the account, by name.
    Group(String),
}

/// Checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The public host name, in lower case.
    pub(crate) host: String,
    /// Who may sign in.
    pub(crate) family: BTreeSet<Who>,
    /// The phones.
    pub(crate) phones: BTreeSet<String>,
    /// The login methods; empty means all.
    pub(crate) login: BTreeSet<String>,
    /// How long a sign-in lasts.
    pub(crate) session: String,
    /// The name of the tunnel.
    pub(crate) tunnel: String,
}

impl Settings {
    /// The settings of the file, each replaced by its flag.
    pub(crate) fn with_file(self, file: Option<&Path>) -> Result<Self> {
        let (path, is_named) = file.map_or((PathBuf::from(FILE), false), |path| (path.to_owned(), true));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => return Ok(self),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", path.display())),
        };
        let written: Self =
            toml::from_str(&text).with_context(|| format!("{}: wanted the settings of docs/cloudflare.md", path.display()))?;
        let list = |flag: Vec<String>, written: Vec<String>| if flag.is_empty() { written } else { flag };
        Ok(Self {
            host: self.host.or(written.host),
            family: list(self.family, written.family),
            phones: list(self.phones, written.phones),
            login: list(self.login, written.login),
            session: self.session.or(written.session),
            tunnel: self.tunnel.or(written.tunnel),
        })
    }

    /// Checks everything at once. `check` needs the host name only.
    pub(crate) fn check(self, is_for_apply: bool) -> Result<Wanted> {
        let mut problems = Vec::new();
        let host = self.host.unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() {
            problems.push(format!("host: found nothing, wanted the public host name (--host, or host = \"…\" in {FILE})"));
        } else if !is_host(&host) {
            problems.push(format!("host: found {host:?}, wanted a host name only, such as photos.example.com"));
        }
        let mut family = BTreeSet::new();
        for text in &self.family {
            match who(text) {
                Ok(who) => drop(family.insert(who)),
                Err(problem) => problems.push(problem),
            }
        }
        if family.is_empty() && is_for_apply && problems.is_empty() {
            problems.push("family: found nobody, wanted at least one e-mail address: nobody could sign in".to_owned());
        }
        for phone in &self.phones {
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if phone.is_empty() || phone.len() > 40 || !phone.bytes().all(is_name) {
                problems
                    .push(format!("phones: found {phone:?}, wanted a short name of a-z, 0-9 and -: it becomes a file's name"));
            }
        }
        let session = self.session.unwrap_or_else(|| SESSION.to_owned());
        match seconds(&session) {
            Some(seconds) if (1..=MAX_SESSION).contains(&seconds) => {}
            _ => problems.push(format!("session: found {session:?}, wanted minutes or hours up to a week, such as 24h or 168h")),
        }
        if !problems.is_empty() {
            bail!("{}", problems.join("\n"));
        }
        Ok(Wanted {
            tunnel: self.tunnel.unwrap_or_else(|| format!("{MARK}-{host}")),
            family,
            phones: self.phones.into_iter().collect(),
            login: self.login.into_iter().collect(),
            session,
            host,
        })
    }
}

impl Wanted {
    /// The name of a policy or service token of ours.
    pub(crate) fn named(&self, what: &str) -> String {
        format!("{MARK} {} {what}", self.host)
    }
}

fn who(text: &str) -> Result<Who, String> {
    let lower = text.trim().to_ascii_lowercase();
    if let Some(name) = text.trim().strip_prefix("group:").filter(|name| !name.is_empty()) {
        return Ok(Who::Group(name.to_owned()));
    }
    match lower.split_once('@') {
        Some(("", domain)) if PUBLIC_MAIL.contains(&domain) => {
            Err(format!("family: found {lower:?}: everybody can have such an address, wanted the addresses themselves"))
        }
        Some(("", domain)) if is_host(domain) => Ok(Who::Domain(domain.to_owned())),
        Some((name, domain)) if !name.is_empty() && is_host(domain) && !lower.contains(char::is_whitespace) => {
            Ok(Who::Email(lower))
        }
        _ => Err(format!("family: found {text:?}, wanted an e-mail address, @domain or group:NAME")),
    }
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// The seconds of a duration of Go, as Access writes them: `24h`, `1h30m`. Fractions and smaller units do not occur there.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let settings = Settings {
            host: Some("https://photos.example.com/".to_owned()),
            family: vec!["ada".to_owned(), "@gmail.com".to_owned()],
            phones: vec!["../x".to_owned()],
            session: Some("720h".to_owned()),
            ..Settings::default()
        };
        let problems = settings.check(true).unwrap_err().to_string();
        assert_eq!(problems.lines().count(), 5, "{problems}");
    }

    #[test]
    fn nobody_is_refused_and_addresses_are_compared_in_lower_case() {
        let settings = |family: &[&str]| Settings {
            host: Some("Photos.example.com".to_owned()),
            family: family.iter().map(|who| (*who).to_owned()).collect(),
            ..Settings::default()
        };
        assert!(settings(&[]).check(true).is_err());
        assert!(settings(&[]).check(false).is_ok());
        let wanted = settings(&["Ada@Example.com", "ada@example.com", "group:Family", "@example.org"]).check(true).unwrap();
        assert_eq!(wanted.family.len(), 3);
        assert_eq!(wanted.host, "photos.example.com");
    }

    #[test]
    fn durations_are_read_as_access_writes_them() {
        assert_eq!(
            ["24h", "1h30m", "168h", "", "24", "x", "730h0m0s"].map(seconds),
            [Some(86_400), Some(5400), Some(604_800), None, None, None, Some(2_628_000)]
        );
    }
}
