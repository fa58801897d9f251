//! Checks of Access applications: is there one, how long does a sign-in last, and is there a way past it?

use std::time::Duration;

use serde_json::Value;

use super::{Facts, fail, no_application, pass, rules, warn};
use crate::cloudflare::part::Part;
use crate::cloudflare::seen::{destinations, items, text};
use crate::cloudflare::wanted::{MAX_SESSION, seconds};
use crate::doctor::graph::Outcome;

const APPLICATIONS: &str = "Zero Trust > Access controls > Applications";
/// A token that ends sooner is told.
pub(super) const SOON_DAYS: i64 = 30;

pub(super) fn application(facts: &Facts<'_>) -> Outcome {
    let host = &facts.wanted.host;
    let found = facts.seen.applications(host);
    match found.as_slice() {
        [app] if app["type"] == "self_hosted" => Outcome::Pass(text(app, "name").to_owned()),
        [app] => fail(
            format!("the application {:?} of {host} has the type {:?}, wanted self_hosted", text(app, "name"), text(app, "type")),
            format!("{APPLICATIONS}: delete it, then: guardctl cloudflare apply"),
        ),
        [] => fail(
            format!("no Access application covers {host}: whoever knows the name reaches guard"),
            "guardctl cloudflare apply",
        ),
        many => {
            let names: Vec<_> = many.iter().map(|app| format!("{:?}", text(app, "name"))).collect();
            fail(
                format!("{} applications claim {host}: {}", many.len(), names.join(", ")),
                format!("{APPLICATIONS}: keep the one whose AUD tag guard has (ACCESS_AUD)"),
            )
        }
    }
}

pub(super) fn policies(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    let policies = rules::of(facts, app);
    if policies.iter().any(|policy| rules::is_allow(policy) || policy["decision"] == "non_identity") {
        return Outcome::Pass(policies.iter().map(|policy| text(policy, "name")).collect::<Vec<_>>().join(", "));
    }
    fail(
        format!("the application {:?} has no policy that lets anybody in", text(app, "name")),
        "guardctl cloudflare apply   # attaches the policies of the family and of the phones",
    )
}

/// The paths that an application's destinations leave open.
fn open_paths(app: &Value) -> impl Iterator<Item = String> {
    let of = |item: &Value| {
        let all = items(item, "overrides").filter(|it| it["behavior"] == "public").map(|it| text(it, "path_pattern").to_owned());
        all.collect::<Vec<_>>()
    };
    items(app, "destinations").flat_map(of)
}

pub(super) fn exceptions(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    match open_paths(app).next() {
        None => pass(),
        Some(path) => fail(
            format!(
                "the application {:?} leaves {path} open to everybody (a destination with the behavior \"public\")",
                text(app, "name")
            ),
            "guardctl cloudflare apply   # removes the exception; for share links: docs/share-links.md",
        ),
    }
}

pub(super) fn paths(facts: &Facts<'_>) -> Outcome {
    let host = &facts.wanted.host;
    let mut gated = None;
    for app in facts.seen.list(Part::Applications) {
        let below = |uri: &&str| {
            let (name, path) = uri.split_once('/').unwrap_or((uri, ""));
            !path.is_empty() && (name.eq_ignore_ascii_case(host) || is_wildcard_of(name, host))
        };
        let Some(uri) = destinations(app).find(below) else { continue };
        let policies = rules::of(facts, app);
        let is_open = policies.iter().any(|policy| policy["decision"] == "bypass" || rules::everybody(policy, facts).is_some())
            || open_paths(app).next().is_some();
        if is_open {
            return fail(
                format!("the application {:?} lets everybody in at {uri}", text(app, "name")),
                format!("{APPLICATIONS}: delete it; for share links: docs/share-links.md"),
            );
        }
        gated = Some((text(app, "name"), uri));
    }
    match gated {
        None => pass(),
        Some((name, uri)) => warn(
            format!(
                "the application {name:?} covers {uri} with an AUD tag of its own, which guard refuses unless ACCESS_AUD has it, too"
            ),
            format!("{APPLICATIONS}: delete it, unless you made it on purpose"),
        ),
    }
}

/// Whether `*.example.com` covers a host.
pub(super) fn is_wildcard_of(name: &str, host: &str) -> bool {
    name.strip_prefix("*.").is_some_and(|rest| host.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest)))
}

pub(super) fn session(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    let organization = facts.seen.one(Part::Organization);
    let mut holders = vec![("the application", app), ("the organization", organization)];
    holders.extend(rules::of(facts, app).into_iter().map(|policy| ("a policy", policy)));
    for (kind, holder) in holders {
        let duration = text(holder, "session_duration");
        if seconds(duration).is_some_and(|seconds| seconds > MAX_SESSION) {
            return fail(
                format!(
                    "{kind} {:?} keeps people signed in for {duration}, wanted 168h at most: a lost laptop stays signed in that long",
                    text(holder, "name")
                ),
                if kind == "the application" {
                    "guardctl cloudflare apply".to_owned()
                } else {
                    "Zero Trust > Settings > Authentication, or the policy: session duration, a week or less".to_owned()
                },
            );
        }
    }
    Outcome::Pass(text(app, "session_duration").to_owned())
}

pub(super) fn tokens(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    let mut used = 0;
    let mut soon = None;
    for policy in rules::of(facts, app) {
        for id in items(policy, "include").filter_map(|rule| rule["service_token"]["token_id"].as_str()) {
            used += 1;
            if rules::is_allow(policy) {
                return fail(
                    format!(
                        "the policy {:?} has a service token and the action Allow: the app gets a sign-in page",
                        text(policy, "name")
                    ),
                    "Zero Trust > Access controls > Policies: action Service Auth",
                );
            }
            let Some(token) = facts.seen.list(Part::ServiceTokens).iter().find(|token| token["id"] == id) else {
                return fail(
                    format!("the policy {:?} names a service token that is gone", text(policy, "name")),
                    "guardctl cloudflare apply",
                );
            };
            let name = text(token, "name");
            if token["enabled"] == false {
                return fail(
                    format!("the service token {name:?} is disabled"),
                    "Zero Trust > Access controls > Service credentials: enable it",
                );
            }
            let renew = "Zero Trust > Access controls > Service credentials > … > Refresh: another year, with the same secret";
            match days_left(text(token, "expires_at"), facts) {
                Some(days) if days < 0 => {
                    return fail(format!("the service token {name:?} has expired: its phone gets 403"), renew);
                }
                Some(days) if days < SOON_DAYS => {
                    soon = Some(warn(format!("the service token {name:?} expires in {days} days"), renew));
                }
                _ => {}
            }
        }
    }
    soon.unwrap_or_else(|| Outcome::Pass(format!("{used} in use")))
}

/// The days to a date of RFC 3339; below 0 where it is over.
pub(super) fn days_left(date: &str, facts: &Facts<'_>) -> Option<i64> {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let now = seconds(facts.now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default());
    Some((seconds(unix(date)?) - now).div_euclid(86_400))
}

/// The seconds since 1970 of `2026-11-25T17:00:00Z`; fractions and other offsets than UTC do not matter for a matter of days.
fn unix(date: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| date.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Howard Hinnant's days_from_civil, for years after 1970.
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)?;
    Some(Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

pub(super) fn phones(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    let wrong = [
        ("enable_binding_cookie", "the binding cookie is on: phones cannot answer it"),
        ("options_preflight_bypass", "OPTIONS requests bypass Access"),
    ];
    match wrong.into_iter().find(|(member, _)| app[*member] == true) {
        None if app["same_site_cookie_attribute"] == "strict" => {
            warn("the cookie is SameSite=Strict: signing in can go in circles", format!("{APPLICATIONS}: SameSite None or Lax"))
        }
        None => pass(),
        Some((_, problem)) => fail(problem, "guardctl cloudflare apply"),
    }
}

pub(super) fn login(facts: &Facts<'_>) -> Outcome {
    let Some(app) = facts.application() else { return no_application() };
    let allowed: Vec<_> = items(app, "allowed_idps").collect();
    let usable: Vec<_> = facts
        .seen
        .list(Part::LoginMethods)
        .iter()
        .filter(|method| allowed.is_empty() || allowed.contains(&&method["id"]))
        .collect();
    let fix = "Zero Trust > Integrations > Identity providers: add one that the family has (Google, for example), and name it in the settings (login)";
    if usable.is_empty() {
        return fail("the application has no login method: nobody can sign in", fix);
    }
    if usable.iter().all(|method| method["type"] == "cloudflare") {
        return warn("Cloudflare's own accounts are the only login method", fix);
    }
    Outcome::Pass(usable.iter().map(|method| text(method, "name")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_cloudflare_writes_them() {
        let found = ["1970-01-01T00:00:00Z", "2026-11-25T17:00:00Z", "2024-02-29T23:59:59.123Z", "", "soon"].map(unix);
        let wanted = [Some(0), Some(1_795_626_000), Some(1_709_251_199), None, None];
        assert_eq!(found, wanted.map(|seconds| seconds.map(Duration::from_secs)));
    }
}
