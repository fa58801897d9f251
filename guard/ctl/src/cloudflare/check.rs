//! The checks of `guardctl cloudflare check`, as a table: id, what is wanted, the parts that must have been read, and the function.
//!
//! Ids are stable; docs/cloudflare.md has a row of each. The checks of the gate also stand before the DNS record of `apply`.

mod access;
mod home;
mod rules;
mod way;
mod zone;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use super::part::Part;
use super::seen::Seen;
use super::wanted::Wanted;
use crate::doctor::graph::{Outcome, Problem, Status};

/// What the checks look at.
pub(crate) struct Facts<'a> {
    /// The settings.
    pub(crate) wanted: &'a Wanted,
    /// The account.
    pub(crate) seen: &'a Seen,
    /// The public values of the Secret immich-edge, or why they could not be read.
    pub(crate) home: Result<BTreeMap<String, String>, String>,
    /// The time.
    pub(crate) now: SystemTime,
}

impl Facts<'_> {
    /// The application of the host name, if there is exactly one.
    fn application(&self) -> Option<&Value> {
        match self.seen.applications(&self.wanted.host).as_slice() {
            [app] => Some(app),
            _ => None,
        }
    }
}

/// A check.
pub struct Check {
    /// Its stable name.
    pub id: &'static str,
    /// What is wanted, as a sentence.
    pub title: &'static str,
    /// Whether it fails while somebody could get past the gate.
    is_of_the_gate: bool,
    /// The parts without which it says nothing.
    needs: &'static [Part],
    run: fn(&Facts<'_>) -> Outcome,
}

/// The result of a check.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Finding {
    /// The check's stable name.
    pub(crate) id: &'static str,
    /// What is wanted.
    pub(crate) title: &'static str,
    /// Its status.
    pub(crate) status: Status,
    /// What was found.
    pub(crate) detail: String,
    /// What cures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
    /// Where more is said.
    pub(crate) hint: String,
}

const fn gate(id: &'static str, title: &'static str, needs: &'static [Part], run: fn(&Facts<'_>) -> Outcome) -> Check {
    Check { id, title, is_of_the_gate: true, needs, run }
}

const fn check(id: &'static str, title: &'static str, needs: &'static [Part], run: fn(&Facts<'_>) -> Outcome) -> Check {
    Check { id, title, is_of_the_gate: false, needs, run }
}

use Part::{
    Applications, Bots, CacheRules, Certificates, Groups, Ingress, LoginMethods, Organization, Policies, Records, ServiceTokens,
    Settings, Tunnels,
};

/// Every check, in the order of a report.
#[rustfmt::skip]
pub static CHECKS: &[Check] = &[
    gate("CF-ACCESS-01", "One Access application covers the host name.", &[Applications], access::application),
    gate("CF-ACCESS-02", "The application lets somebody in, and refuses everybody else.", &[Applications, Policies], access::policies),
    gate("CF-ACCESS-03", "No policy bypasses Access.", &[Applications, Policies], rules::bypass),
    gate("CF-ACCESS-04", "No policy lets everybody in.", &[Applications, Policies, Groups, LoginMethods], rules::everyone),
    gate("CF-ACCESS-05", "A one-time PIN is not the only proof.", &[Applications, Policies, Groups, LoginMethods], rules::one_time_pin),
    gate("CF-ACCESS-06", "The Service Auth policy names each service token.", &[Applications, Policies], rules::service_auth),
    gate("CF-ACCESS-07", "No exception of the application opens a path.", &[Applications], access::exceptions),
    gate("CF-ACCESS-08", "No other application opens a path below the host name.", &[Applications, Policies, Groups, LoginMethods], access::paths),
    check("CF-ACCESS-09", "A sign-in lasts a week at most.", &[Applications, Policies, Organization], access::session),
    check("CF-ACCESS-10", "The service tokens are valid for another month, and in a Service Auth policy.", &[Applications, Policies, ServiceTokens], access::tokens),
    check("CF-ACCESS-11", "The application asks of phones only what they can answer.", &[Applications], access::phones),
    check("CF-ACCESS-12", "guardctl can judge every rule.", &[Applications, Policies, Groups], rules::unknown),
    check("CF-ACCESS-13", "The family has a login method.", &[Applications, LoginMethods], access::login),
    check("CF-TUNNEL-01", "The tunnel is there, and managed at home.", &[Tunnels], way::tunnel),
    check("CF-TUNNEL-02", "Every rule of the tunnel leads to guard.", &[Tunnels, Ingress], way::ingress),
    check("CF-TUNNEL-03", "The tunnel is connected.", &[Tunnels], way::connected),
    check("CF-DNS-01", "The host name has one record: to the tunnel, proxied.", &[Tunnels, Records], way::record),
    check("CF-DNS-02", "Every other name that leads to the tunnel has an application.", &[Tunnels, Records, Applications], way::others),
    check("CF-DNS-03", "A certificate covers the host name.", &[Certificates], way::certificate),
    check("CF-HOME-01", "guard trusts this application: ACCESS_AUD is its AUD tag.", &[Applications], home::audience),
    check("CF-HOME-02", "guard trusts this team: ACCESS_TEAM is its name.", &[Organization], home::team),
    check("CF-HOME-03", "guard serves this name: EXTERNAL_HOST is the host name.", &[], home::host),
    check("CF-ZONE-01", "The domain is active at Cloudflare.", &[], zone::active),
    check("CF-ZONE-02", "Bot Fight Mode is off.", &[Bots], zone::fight_mode),
    check("CF-ZONE-03", "Super Bot Fight Mode lets the app pass.", &[Bots], zone::super_fight_mode),
    check("CF-ZONE-04", "WebSockets are on.", &[Settings], zone::websockets),
    check("CF-ZONE-05", "Rocket Loader is off.", &[Settings], zone::rocket_loader),
    check("CF-ZONE-06", "No challenge meets the app.", &[Settings], zone::challenges),
    check("CF-ZONE-07", "Plain HTTP is redirected to HTTPS.", &[Settings], zone::https),
    check("CF-ZONE-08", "The cache keeps no photos.", &[CacheRules], zone::cache),
    check("CF-TOKEN-01", "The API token is valid for another month.", &[Part::Token], zone::token),
];

/// Runs every check.
pub(crate) fn run(facts: &Facts<'_>) -> Vec<Finding> {
    CHECKS.iter().map(|check| one(check, facts)).collect()
}

/// What stands against opening the host name: the failed checks of the gate, and those that could not be made.
pub(crate) fn open_gates(facts: &Facts<'_>) -> Vec<Finding> {
    let findings = CHECKS.iter().filter(|check| check.is_of_the_gate).map(|check| one(check, facts));
    findings.filter(|finding| matches!(finding.status, Status::Fail | Status::Skip)).collect()
}

fn one(check: &Check, facts: &Facts<'_>) -> Finding {
    let unread = check.needs.iter().find_map(|part| facts.seen.failure(*part));
    let outcome = match unread {
        Some(error) => Outcome::Skip(error.to_string()),
        None => (check.run)(facts),
    };
    let (status, detail, fix) = match outcome {
        Outcome::Pass(detail) => (Status::Pass, detail, None),
        Outcome::Warn(Problem { found, fix }) => (Status::Warn, found, Some(fix)),
        Outcome::Fail(Problem { found, fix }) => (Status::Fail, found, Some(fix)),
        Outcome::Skip(detail) => (Status::Skip, detail, None),
    };
    let hint = format!("docs/cloudflare.md#{}", check.id.to_ascii_lowercase());
    Finding { id: check.id, title: check.title, status, detail, fix, hint }
}

fn pass() -> Outcome {
    Outcome::Pass(String::new())
}

fn fail(found: impl Into<String>, fix: impl Into<String>) -> Outcome {
    Outcome::Fail(Problem::new(found, fix))
}

fn warn(found: impl Into<String>, fix: impl Into<String>) -> Outcome {
    Outcome::Warn(Problem::new(found, fix))
}

fn no_application() -> Outcome {
    Outcome::Skip("there is no application, or more than one".to_owned())
}
