//! Asks for what the answers do not give: each value with what was found out as its default, and checked when it is entered.

use std::path::Path;

use anyhow::{Result, bail};

use super::answers::{Answers, Given, Internet, Token};
use super::terminal::Prompt;
use super::value::{self, Checked};

/// What a value is by default, and what it is checked against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    /// The nodes of the cluster, the best one first.
    pub nodes: Vec<String>,
    /// The values of the overlay, or what was found out.
    pub node: Option<String>,
    /// The directory of the photos.
    pub photos: Option<String>,
    /// The directory of the database.
    pub database: String,
    /// The time zone.
    pub time_zone: String,
    /// The id of the NAS in the overlay.
    pub nas_id: Option<String>,
    /// The repository that Flux fetches.
    pub repository: Option<String>,
    /// The public host name.
    pub host: Option<String>,
    /// The team.
    pub team: Option<String>,
    /// The AUD tag.
    pub aud: Option<String>,
    /// The URL of Immich in the LAN.
    pub lan_url: Option<String>,
    /// Whether the cluster has a token already.
    pub has_token: bool,
}

/// What a check of a value asks outside of this program.
pub(crate) trait Outside {
    /// Fails if this is the node and the directory is on its own disk. `Ok` says where it is, if that is known.
    fn mount(&self, node: &str, photos: &str) -> Checked<Option<String>>;
    /// Fails if there is no such team. `Ok(false)`: it could not be asked.
    fn team(&self, team: &str) -> Checked<bool>;
}

/// Collects the answers. Without a terminal, what is neither given nor found out is an error, all of them at once.
pub(crate) fn ask(
    given: &Given,
    defaults: &Defaults,
    outside: &dyn Outside,
    terminal: Option<&mut dyn Prompt>,
) -> Result<(Answers, Option<Token>)> {
    let mut asker = Asker { terminal, problems: Vec::new(), number: 0 };
    let node = asker.value(
        "node",
        "Node with the mount of the NAS and the disk of the database",
        given.node.as_deref(),
        defaults.node.as_deref(),
        |text| value::node(text, &defaults.nodes),
    )?;
    let photos = asker.value(
        "photos",
        "Directory of the photos on the NAS, as the node sees it",
        given.photos.as_deref(),
        defaults.photos.as_deref(),
        |text| {
            let path = value::photos(text)?;
            outside.mount(node.as_deref().unwrap_or_default(), &path)?;
            Ok(path)
        },
    )?;
    let database = asker.value(
        "database",
        "Directory of the database on the node's own disk",
        given.database.as_deref(),
        Some(&defaults.database),
        |text| value::database(text, photos.as_deref().unwrap_or("/-")),
    )?;
    // Found out, and shown before anything is written: not asked.
    let time_zone = asker.given("time_zone", given.time_zone.as_deref(), &defaults.time_zone, value::time_zone);
    let nas_id = given.nas_id.as_deref().or(defaults.nas_id.as_deref());
    let nas_id = nas_id.map(|id| asker.check("nas_id", id, value::nas_id));
    let nas_source = given.nas_source.as_deref().and_then(|text| asker.check("nas_source", text, value::nas_source));
    let repository = asker.value(
        "repository",
        "Repository that Flux fetches, or none: kubectl applies",
        given.repository.as_deref(),
        Some(defaults.repository.as_deref().unwrap_or("none")),
        value::repository,
    )?;
    let host = asker.value(
        "internet.host",
        "Public host name, or none: at home only",
        given.internet.host.as_deref(),
        Some(defaults.host.as_deref().unwrap_or("none")),
        value::host,
    )?;
    let (internet, token) = match host.flatten() {
        Some(host) => asker.internet(host, given, defaults, outside)?,
        None => (None, None),
    };
    if !asker.problems.is_empty() {
        bail!("{}", asker.problems.join("\n  "));
    }
    let (Some(node), Some(photos), Some(database), Some(time_zone), Some(repository)) =
        (node, photos, database, time_zone, repository)
    else {
        bail!("an answer is missing");
    };
    Ok((Answers { node, photos, database, time_zone, nas_id: nas_id.flatten(), nas_source, repository, internet }, token))
}

struct Asker<'t> {
    terminal: Option<&'t mut dyn Prompt>,
    problems: Vec<String>,
    number: usize,
}

impl Asker<'_> {
    /// One value: given, entered, or found out. `None` notes a problem.
    fn value<T>(
        &mut self,
        name: &str,
        question: &str,
        given: Option<&str>,
        default: Option<&str>,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Result<Option<T>> {
        if let Some(text) = given {
            return Ok(self.check(name, text, check));
        }
        let Some(terminal) = self.terminal.as_deref_mut() else {
            let Some(text) = default else {
                self.problems.push(format!("{name}: found no answer, wanted one in --answers FILE"));
                return Ok(None);
            };
            return Ok(self.check(name, text, check));
        };
        self.number += 1;
        let shown = default.map_or_else(String::new, |default| format!(" [{default}]"));
        loop {
            let typed = terminal.line(&format!("{}  {question}{shown}: ", self.number))?;
            let text = match (typed.trim(), default) {
                ("", Some(default)) => default,
                (typed, _) => typed,
            };
            match value::short(text).and_then(&check) {
                Ok(value) => return Ok(Some(value)),
                Err(wanted) => terminal.say(&format!("   ✗ {wanted}\n"))?,
            }
        }
    }

    /// A value that is not asked.
    fn given<T>(&mut self, name: &str, given: Option<&str>, default: &str, check: impl Fn(&str) -> Checked<T>) -> Option<T> {
        self.check(name, given.unwrap_or(default), check)
    }

    fn check<T>(&mut self, name: &str, text: &str, check: impl Fn(&str) -> Checked<T>) -> Option<T> {
        value::short(text).and_then(check).map_err(|wanted| self.problems.push(format!("{name}: {wanted}"))).ok()
    }

    fn internet(
        &mut self,
        host: String,
        given: &Given,
        defaults: &Defaults,
        outside: &dyn Outside,
    ) -> Result<(Option<Internet>, Option<Token>)> {
        let given = &given.internet;
        let team = self.value(
            "internet.team",
            "Team at Cloudflare Access (TEAM of TEAM.cloudflareaccess.com)",
            given.team.as_deref(),
            defaults.team.as_deref(),
            |text| {
                let team = value::team(text)?;
                outside.team(&team)?;
                Ok(team)
            },
        )?;
        let aud = self.value(
            "internet.aud",
            "AUD tag of the Access application",
            given.aud.as_deref(),
            defaults.aud.as_deref(),
            value::audience,
        )?;
        let token = self.token(given.tunnel_token_file.as_deref(), defaults.has_token)?;
        let lan_url = given.lan_url.as_deref().or(defaults.lan_url.as_deref());
        let lan_url = lan_url.and_then(|text| self.check("internet.lan_url", text, value::lan_url));
        let mut list = |name, items: &Option<Vec<String>>| {
            let items = items.as_deref()?;
            value::list(items).map_err(|wanted| self.problems.push(format!("{name}: {wanted}"))).ok()
        };
        let allow_email = list("internet.allow_email", &given.allow_email);
        let allow_service = list("internet.allow_service", &given.allow_service);
        let internet = team.zip(aud).map(|(team, aud)| Internet { host, team, aud, lan_url, allow_email, allow_service });
        Ok((internet, token))
    }

    /// The token of the tunnel; none keeps the one that the cluster has.
    fn token(&mut self, file: Option<&Path>, is_there: bool) -> Result<Option<Token>> {
        if let Some(path) = file {
            return match Token::read(path) {
                Ok(token) => Ok(Some(token)),
                Err(error) => {
                    self.problems.push(format!("internet.tunnel_token_file: {error:#}"));
                    Ok(None)
                }
            };
        }
        let Some(terminal) = self.terminal.as_deref_mut() else {
            if !is_there {
                self.problems.push("internet.tunnel_token_file: found no answer, wanted a file with the token".to_owned());
            }
            return Ok(None);
        };
        self.number += 1;
        let kept = if is_there { " [the one in the cluster]" } else { "" };
        let question = format!("{}  Token of the tunnel, not shown; @FILE reads it from a file{kept}: ", self.number);
        let accept = |typed: &str| match typed.strip_prefix('@') {
            None if typed.is_empty() && is_there => Ok(()),
            None => Token::parse(typed).map(drop),
            // The error about a file names it.
            Some(path) if path.is_empty() || Token::parse(path).is_ok() => {
                Err("found no file name behind the @, wanted @FILE, or the token without an @".to_owned())
            }
            Some(_) => Ok(()),
        };
        loop {
            let typed = terminal.hidden(&question, &accept)?;
            let found = match typed.trim() {
                "" => return Ok(None),
                // With the echo on again: a file may be a pipe that has to be waited for.
                typed => match typed.strip_prefix('@') {
                    Some(path) => Token::read(Path::new(path)).map_err(|error| format!("{error:#}")),
                    None => Token::parse(typed),
                },
            };
            match found {
                Ok(token) => return Ok(Some(token)),
                Err(wanted) => terminal.say(&format!("   ✗ {wanted}\n"))?,
            }
        }
    }
}

#[cfg(test)]
mod tests;
