//! What has to change: wanted settings and an account as it was read enter, an ordered list of changes leaves. Nothing is sent here.
//!
//! The order is the safety: whatever guards the host name comes before the record that makes it reachable. A change whose objects do not exist yet
//! holds [`UNKNOWN`] in the place of their ids; it is planned again when they do.

mod application;
mod policies;
mod way;

pub(crate) use way::reference;

use serde_json::Value;

use super::api::Call;
use super::files::Files;
use super::part::Part;
use super::seen::{Seen, items, text};
use super::wanted::Wanted;

/// The id of an object that does not exist yet.
pub(crate) const UNKNOWN: &str = "(known after apply)";

/// What a change does when it is made.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// A call, and nothing of its answer is kept.
    Write(Call),
    /// A call whose answer holds the secret of this phone.
    Secret(String, Call),
    /// The token of this tunnel goes into its file.
    TunnelToken(String),
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Whether something new is made.
    pub(crate) is_new: bool,
    /// What changes.
    pub(crate) what: String,
    /// From what to what.
    pub(crate) lines: Vec<String>,
    /// The part that is read again afterwards.
    pub(crate) part: Part,
    /// Whether it makes the host name reachable.
    pub(crate) opens: bool,
    /// What is done.
    pub(crate) effect: Effect,
}

/// Everything that has to change, and what stands against it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The changes, in the order in which they are made.
    pub(crate) changes: Vec<Change>,
    /// Why nothing may be changed.
    pub(crate) refusals: Vec<String>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
    /// What is right already.
    pub(crate) right: Vec<&'static str>,
}

/// What guardctl may take over although it did not make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Adopt {
    /// The Access application of the host name.
    Application,
    /// The DNS record of the host name.
    Record,
}

/// What a plan is made from.
pub(crate) struct Input<'a> {
    /// The settings.
    pub(crate) wanted: &'a Wanted,
    /// The account.
    pub(crate) seen: &'a Seen,
    /// The operator's files.
    pub(crate) files: &'a Files,
    /// What may be taken over.
    pub(crate) adopt: &'a [Adopt],
}

impl Plan {
    /// Plans everything.
    pub(crate) fn new(input: &Input<'_>) -> Self {
        let mut plan = Self::default();
        plan.state(input);
        plan.service_tokens(input);
        policies::plan(&mut plan, input);
        application::plan(&mut plan, input);
        way::tunnel(&mut plan, input);
        way::cache_rule(&mut plan, input);
        way::websockets(&mut plan, input);
        way::record(&mut plan, input);
        plan
    }

    /// What must hold before anything is made.
    fn state(&mut self, Input { wanted, seen, .. }: &Input<'_>) {
        let zone = &seen.zone;
        let name = text(zone, "name");
        if zone["status"] != "active" || zone["paused"] == true {
            self.notes.push(format!(
                "the domain {name} is {}{}: nothing is reachable before its name servers are Cloudflare's",
                text(zone, "status"),
                if zone["paused"] == true { ", paused" } else { "" }
            ));
        }
        if let Some(status) =
            seen.list(Part::Token).first().map(|token| text(token, "status")).filter(|status| *status != "active")
        {
            self.refusals.push(format!("the API token is {status}, wanted an active one"));
        }
        if seen.is_deep(&wanted.host) {
            let covers = |pack: &Value| items(pack, "hosts").filter_map(Value::as_str).any(|name| is_covered(&wanted.host, name));
            if let Some(error) = seen.failure(Part::Certificates) {
                self.refusals.push(format!(
                    "{} is more than one label below {name}, and whether a certificate covers it cannot be seen: {error}",
                    wanted.host
                ));
            } else if !seen.list(Part::Certificates).iter().any(covers) {
                self.refusals.push(format!(
                    "{} is more than one label below {name}, and no certificate covers it; choose a name such as photos.{name}, or order an Advanced Certificate",
                    wanted.host
                ));
            }
        }
        let methods = seen.list(Part::LoginMethods);
        if methods.is_empty() {
            self.notes.push("the account has no login method: nobody can sign in before you add one (Zero Trust > Integrations > Identity providers)".to_owned());
        } else if methods.iter().all(|method| method["type"] == "cloudflare") {
            self.notes.push(
                "the only login method is Cloudflare's own accounts: the family needs one each, or you add another (Zero Trust > Integrations > Identity providers)"
                    .to_owned(),
            );
        }
        if seen.one(Part::Organization)["strict_service_token_auth"] == true {
            self.notes.push("service tokens are strict in this account: a phone sends both headers with every request, and gets 401 or 403, not a sign-in page".to_owned());
        }
    }

    fn service_tokens(&mut self, Input { wanted, seen, files, .. }: &Input<'_>) {
        let before = self.changes.len();
        for phone in &wanted.phones {
            let name = wanted.named(phone);
            let hits: Vec<_> = seen.list(Part::ServiceTokens).iter().filter(|token| token["name"] == name.as_str()).collect();
            let path = format!("{}/access/service_tokens", seen.account());
            let keeps = format!("its secret goes to {} (mode 0600)", files.phone(phone).display());
            let (is_new, what, lines, path, body) = match hits.as_slice() {
                [] => (
                    true,
                    format!("service token {name}"),
                    vec![keeps],
                    path,
                    serde_json::json!({"name": name, "duration": "8760h"}),
                ),
                [token] if files.is_lost(phone) => {
                    let path = format!("{path}/{}/rotate", text(token, "id"));
                    let lost = "its secret was asked for and never written: a new one is made, the old one ends".to_owned();
                    (false, format!("service token {name}"), vec![lost, keeps], path, serde_json::json!({}))
                }
                [_] => continue,
                many => {
                    self.refusals.push(format!("found {} service tokens named {name:?}, wanted one; delete the others in Zero Trust > Access controls > Service credentials", many.len()));
                    continue;
                }
            };
            let call = Call::write(Part::ServiceTokens, reqwest::Method::POST, path, body);
            let effect = Effect::Secret(phone.clone(), call);
            self.changes.push(Change { is_new, what, lines, part: Part::ServiceTokens, opens: false, effect });
        }
        if before == self.changes.len() && !wanted.phones.is_empty() {
            self.right.push("service tokens");
        }
        let ours = wanted.named("");
        let left = seen.list(Part::ServiceTokens).iter().filter_map(|token| text(token, "name").strip_prefix(&ours));
        for phone in left.filter(|phone| !wanted.phones.contains(*phone)) {
            self.notes.push(format!("the service token of {phone} is wanted no more: it is not deleted, delete it in Zero Trust > Access controls > Service credentials"));
        }
    }

    /// Adds a call.
    fn push(&mut self, is_new: bool, what: impl Into<String>, lines: Vec<String>, call: Call) {
        self.changes.push(Change {
            is_new,
            what: what.into(),
            lines,
            part: call.part,
            opens: false,
            effect: Effect::Write(call),
        });
    }
}

/// Whether the name of a certificate covers a host: itself, or a star for its first label.
fn is_covered(host: &str, name: &str) -> bool {
    let rest = host.split_once('.').map(|(_, rest)| rest);
    name.eq_ignore_ascii_case(host)
        || name.strip_prefix("*.").is_some_and(|name| rest.is_some_and(|rest| rest.eq_ignore_ascii_case(name)))
}

/// A value for a diff.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
