//! The status page of a process: readiness, the path of a request with the state of each hop, and counts of refused requests go in, and
//! one HTML document without external assets comes out.

use std::fmt::Write as _;
use std::time::Duration;

use super::metrics::Metrics;
use crate::html::{escape, fill};
use crate::refusal::Reason;

const PAGE: &str = include_str!("status.html");
const CSS: &str = include_str!("status.css");

/// One hop on the path of a request.
pub struct Hop<'h> {
    /// Whether it works.
    pub is_good: bool,
    /// Its name.
    pub name: &'h str,
    /// Its state, as HTML.
    pub state: String,
}

/// The parts of a page that differ between processes.
pub struct StatusPage<'p> {
    /// The process, such as `guard origin`.
    pub process: &'p str,
    /// `Err` says why requests cannot be served now.
    pub readiness: Result<(), &'p str>,
    /// What stands below the heading, as HTML.
    pub body: String,
    /// The last line, as HTML.
    pub footer: String,
}

impl StatusPage<'_> {
    /// The whole document.
    pub fn render(&self, metrics: &Metrics) -> String {
        let readiness = match self.readiness {
            Ok(()) => "<b class=good>ready</b>".to_owned(),
            Err(reason) => format!("<b class=bad>not ready</b>: {}", escape(reason)),
        };
        fill(
            PAGE,
            &[
                ("process", self.process),
                ("css", CSS),
                ("readiness", &readiness),
                ("body", &self.body),
                ("refusals", &refusal_rows(metrics)),
                ("footer", &self.footer),
            ],
        )
    }
}

/// The hops as a list with arrows between them.
pub fn path(hops: &[Hop<'_>]) -> String {
    let mut list = String::from("<ol class=path>");
    for Hop { is_good, name, state } in hops {
        let class = if *is_good { "good" } else { "bad" };
        // Writing into a String cannot fail.
        let _ = write!(list, "<li class={class}><h2>{name}</h2><p>{state}</p></li>");
    }
    list + "</ol>"
}

/// A duration in its largest unit, such as `5 s`, `3 min` or `2 h`.
pub fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

fn refusal_rows(metrics: &Metrics) -> String {
    let mut rows = String::new();
    for reason in Reason::ALL {
        let count = metrics.refusals(reason);
        if count > 0 {
            let _ = write!(rows, "<tr><td>{}<td>{}<td>{count}", reason.status().as_u16(), reason.label());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_page_is_filled_and_nothing_is_loaded() {
        let metrics = Metrics::new();
        metrics.refusal(Reason::Unauthorized);
        let body = path(&[Hop { is_good: false, name: "Immich", state: "not reached".to_owned() }]);
        let page = StatusPage { process: "guard origin", readiness: Err("<draining>"), body, footer: String::new() };
        let text = page.render(&metrics);
        assert!(!text.contains("{{"), "{text}");
        assert!(text.contains("not ready</b>: &lt;draining&gt;") && text.contains("<td>401<td>unauthorized<td>1"), "{text}");
        assert!(!text.contains("src=") && !text.contains("<link") && !text.contains("url("), "{text}");
    }
}
