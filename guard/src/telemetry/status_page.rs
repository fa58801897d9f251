//! The status of a process, as one HTML document without external assets, and as JSON with the same numbers: whether it is open, the path of a
//! request with the state of each hop, the last hour, and the last refusals.
//!
//! The page works without a script: it then loads itself again. With one, it takes what has changed from a new copy.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use serde_json::{Map, Value, json};

use super::metrics::Metrics;
use super::recent_requests::OwnTime;
use super::status_graph::{graph, table};
use super::upstream_health::UpstreamState;
use crate::html::{escape, fill, policy};
use crate::refusal::Reason;

const PAGE: &str = include_str!("status.html");
const CSS: &str = include_str!("status.css");
const SCRIPT: &str = include_str!("status.js");
/// For browsers without scripts. `?still` leaves it out, for who reads slowly (WCAG 2.2, 2.2.1).
const REFRESH: &str = "<noscript><meta http-equiv=refresh content=10></noscript>";

/// The `Content-Security-Policy` of the page.
pub static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(CSS, SCRIPT));

/// Whether requests pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness<'r> {
    /// They do, as these words say.
    Open(&'r str),
    /// They do, but something behind guard does not work.
    Limited(&'r str),
    /// They do not, for this reason.
    Shut(&'r str),
}

/// One hop on the path of a request.
pub struct Hop<'h> {
    /// Whether it works.
    pub is_good: bool,
    /// Its name.
    pub name: &'h str,
    /// Its state in a few words.
    pub state: String,
    /// More about it, one line each.
    pub details: Vec<String>,
}

/// The parts of a status that differ between processes.
pub struct StatusPage<'p> {
    /// The process, such as `guard origin`.
    pub process: &'p str,
    /// Whether requests pass.
    pub openness: Openness<'p>,
    /// The path of a request, as HTML.
    pub path: String,
    /// When the process started.
    pub since: Instant,
    /// More for the last lines, as HTML.
    pub footer: String,
    /// More links, as HTML.
    pub links: &'p str,
}

impl StatusPage<'_> {
    /// The whole document. With `is_still` it does not load itself again where there is no script.
    pub fn render(&self, metrics: &Metrics, is_still: bool) -> String {
        let (class, state, reason) = match self.openness {
            Openness::Open(words) => ("good", "Open", words),
            Openness::Limited(reason) => ("bad", "Open, but impaired", reason),
            Openness::Shut(reason) => ("bad", "Shut", reason),
        };
        let now = Instant::now();
        let hour = metrics.recent_requests.last_hour(now);
        let own_time = metrics.recent_requests.own_time(now);
        let up = in_words(self.since.elapsed());
        fill(
            PAGE,
            &[
                ("process", self.process),
                ("state", state),
                ("icon", if class == "good" { "1a7f37" } else { "b3261e" }),
                ("css", CSS),
                ("script", SCRIPT),
                ("refresh", if is_still { "" } else { REFRESH }),
                ("open", &format!("<h1 class={class}>{state}</h1><p>{}</p>", escape(reason))),
                ("path", &self.path),
                ("hour", &graph(&hour, own_time)),
                ("table", &table(&hour)),
                ("refused", &refusals(metrics, now)),
                ("footer", &format!("{}Version {}, up for {up}.", self.footer, env!("CARGO_PKG_VERSION"))),
                ("links", self.links),
            ],
        )
    }

    /// The same as JSON: `members` are those of this process.
    pub fn json(&self, metrics: &Metrics, members: &[(&str, Value)]) -> String {
        let now = Instant::now();
        let (state, reason) = match self.openness {
            Openness::Open(_) => ("open", None),
            Openness::Limited(reason) => ("limited", Some(reason)),
            Openness::Shut(reason) => ("shut", Some(reason)),
        };
        let hour = metrics.recent_requests.last_hour(now);
        let own_time = metrics.recent_requests.own_time(now).map(|OwnTime { p50, p99, requests }| {
            json!({"p50_seconds": p50.as_secs_f64(), "p99_seconds": p99.as_secs_f64(), "requests": requests})
        });
        let by_reason: Map<String, Value> =
            Reason::ALL.iter().map(|reason| (reason.label().to_owned(), metrics.refusals(*reason).into())).collect();
        let refusals: Vec<_> = metrics
            .recent_refusals
            .all()
            .iter()
            .map(|refused| {
                json!({
                    "id": refused.id.to_string(),
                    "seconds_ago": now.saturating_duration_since(refused.at).as_secs(),
                    "count": refused.count,
                    "status": refused.reason.status().as_u16(),
                    "reason": refused.reason.label(),
                    "cause": refused.cause,
                    "request": refused.target,
                    "authenticated": refused.is_authenticated,
                })
            })
            .collect();
        let mut status = json!({
            "process": self.process,
            "version": env!("CARGO_PKG_VERSION"),
            "up_seconds": self.since.elapsed().as_secs(),
            "state": state,
            "reason": reason,
            "in_flight": {
                "requests": metrics.inflight.get(),
                "tunnels": metrics.open_tunnels.get(),
                "uploads": metrics.open_uploads.get(),
            },
            "since_start": {
                "passed": metrics.passed.get(),
                "refused": metrics.refused.get(),
                "sign_in": metrics.sign_in_redirects.get(),
                "refusals": by_reason,
            },
            "last_hour": {
                "passed": hour.passed.as_slice(),
                "refused": hour.refused.as_slice(),
                "sign_in": hour.sign_in.as_slice(),
            },
            "own_time": own_time,
            "refusals": refusals,
        });
        for (name, value) in members {
            status[*name] = value.clone();
        }
        status.to_string()
    }
}

/// The hops as a list.
pub fn path(hops: &[Hop<'_>]) -> String {
    let mut list = String::from("<ol class=path>");
    for Hop { is_good, name, state, details } in hops {
        let class = if *is_good { "good" } else { "bad" };
        // Writing into a String cannot fail.
        let _ = write!(list, "<li class={class}><h3>{}</h3><b>{}</b>", escape(name), escape(state));
        for detail in details {
            let _ = write!(list, "<p>{}</p>", escape(detail));
        }
        list.push_str("</li>");
    }
    list + "</ol>"
}

/// The state of an upstream in words, and its details: the ages of its last response and its last failure.
pub fn upstream_words(state: UpstreamState, address: &str) -> (String, Vec<String>) {
    let UpstreamState { is_good, since_response, since_failure } = state;
    let words = match since_response {
        None if is_good => "no request yet".to_owned(),
        Some(age) if is_good => format!("answered {} ago", in_words(age)),
        _ => "does not answer".to_owned(),
    };
    let mut details = vec![address.to_owned()];
    if let (false, Some(age)) = (is_good, since_response) {
        details.push(format!("last response {} ago", in_words(age)));
    }
    details.extend(since_failure.map(|age| format!("last failure {} ago", in_words(age))));
    (words, details)
}

/// The state of an upstream as JSON.
pub fn upstream_json(state: UpstreamState, address: &str) -> Value {
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    json!({
        "address": address,
        "good": state.is_good,
        "seconds_since_response": seconds(state.since_response),
        "seconds_since_failure": seconds(state.since_failure),
    })
}

/// A number with its noun, such as `1 request` or `2 requests`.
pub fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A duration in its largest unit, such as `5 s`, `3 min`, `2 h` or `4 days`.
pub fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn refusals(metrics: &Metrics, now: Instant) -> String {
    let refused = metrics.recent_refusals.all();
    if refused.is_empty() {
        return "<p class=none>None.</p>".to_owned();
    }
    let mut list = String::from("<ul class=refusals>");
    for entry in refused {
        let times = if entry.count > 1 { format!(" · {} times", entry.count) } else { String::new() };
        let who = if entry.is_authenticated { "signed in" } else { "not signed in" };
        let target = if entry.target.is_empty() { String::new() } else { format!("<code>{}</code> · ", escape(&entry.target)) };
        let _ = write!(
            list,
            "<li><p><b>{} {}{times}</b><span class=small>{} ago</span></p><p class=cause>{}</p><p class=small>{target}{who} · <code>{}</code></p></li>",
            entry.reason.status().as_u16(),
            entry.reason.label(),
            in_words(now.saturating_duration_since(entry.at)),
            escape(&entry.cause),
            entry.id,
        );
    }
    list + "</ul>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::RequestId;
    use crate::telemetry::recent_refusals::RefusedRequest;

    fn page(openness: Openness<'static>) -> StatusPage<'static> {
        let hop = Hop { is_good: false, name: "Immich", state: "<not reached>".to_owned(), details: vec!["a & b".to_owned()] };
        StatusPage {
            process: "guard origin",
            openness,
            path: path(&[hop]),
            since: Instant::now(),
            footer: String::new(),
            links: "",
        }
    }

    #[test]
    fn every_place_of_the_page_is_filled_escaped_and_nothing_is_loaded() {
        let metrics = Metrics::new();
        metrics.refusal(Reason::Unauthorized);
        metrics.recent_refusals.add(RefusedRequest::now(
            RequestId::next(),
            Reason::Unauthorized,
            "<late>",
            Some(("GET", "/<b>")),
            false,
        ));
        let text = page(Openness::Shut("<draining>")).render(&metrics, false);
        assert!(!text.contains("{{"), "{text}");
        for wanted in [
            "Shut</h1><p>&lt;draining&gt;",
            "&lt;not reached&gt;",
            "a &amp; b",
            "401 unauthorized",
            "&lt;late&gt;",
            "GET /&lt;b&gt;",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("src=") && !text.contains("url(") && !text.contains("style="), "{text}");
        assert_eq!(text.matches("<link").count(), 1, "the icon, which is in the page itself");
        assert!(text.contains(REFRESH) && !page(Openness::Open("")).render(&metrics, true).contains("http-equiv"));
    }

    #[test]
    fn the_json_has_the_numbers_of_the_page() {
        let metrics = Metrics::new();
        metrics.refusal(Reason::Forbidden);
        metrics.pass(Instant::now());
        let text = page(Openness::Limited("Immich does not answer")).json(&metrics, &[("nas", Value::Null)]);
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&status["state"], &status["reason"]), (&json!("limited"), &json!("Immich does not answer")));
        assert_eq!((&status["last_hour"]["passed"][59], &status["last_hour"]["refused"][59]), (&json!(1), &json!(1)));
        assert_eq!(status["since_start"]["refusals"]["forbidden"], 1);
        assert!(status["own_time"].is_null() && status["nas"].is_null() && status.get("nas").is_some());
    }

    #[test]
    fn a_time_is_said_in_its_largest_unit() {
        let said = [5, 119, 180, 7_200, 200_000].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(said, ["5 s", "119 s", "3 min", "2 h", "2 days"]);
    }
}
