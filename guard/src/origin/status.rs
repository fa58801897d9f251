//! The status page: the way of a request as a picture, with what stands where it stands now. For a person at night, on a phone.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::OriginConfig;
use crate::config::units::size_in_words;
use crate::frontdoor::builder::TrustSource;
use crate::refusal::{Reason, escape};
use crate::serve::Phase;
use crate::telemetry::admin::View;
use crate::telemetry::metrics::Metrics;

/// What the page shows.
pub struct Status {
    front_door: String,
    upstream: String,
    limit: String,
    metrics: Arc<Metrics>,
    trust_source: TrustSource,
    phase: watch::Receiver<Phase>,
    since: Instant,
}

impl Status {
    /// A page about this door.
    pub fn new(config: &OriginConfig, metrics: Arc<Metrics>, trust_source: TrustSource, phase: watch::Receiver<Phase>) -> Self {
        Self {
            front_door: config.front_door.description(),
            upstream: config.upstream.to_string(),
            limit: config.max_body.map_or_else(|| "no limit".to_owned(), size_in_words),
            metrics,
            trust_source,
            phase,
            since: Instant::now(),
        }
    }
}

impl View for Status {
    fn ready(&self) -> Result<(), Cow<'static, str>> {
        if *self.phase.borrow() == Phase::Serving { self.trust_source.check() } else { Err("draining".into()) }
    }

    fn metrics(&self) -> String {
        self.metrics.key_set(self.trust_source.keys().and_then(|keys| keys.current()).map(|set| (set.keys().len(), set.age())));
        self.metrics.render()
    }

    fn page(&self) -> String {
        let metrics = &self.metrics;
        let ready = self.ready();
        let (basis_good, trust_source) = self.trust_source.words(words);
        let upstream_bad = metrics.refusals(Reason::UpstreamUnreachable) + metrics.refusals(Reason::UpstreamTimeout);
        let mut page = String::from(PAGE_HEAD);
        let verdict = match &ready {
            Ok(()) => "<b class=good>open</b>".to_owned(),
            Err(why) => format!("<b class=bad>closed</b> — {}", escape(why)),
        };
        let _ = write!(page, "<h1>The door is {verdict}</h1><ol class=way>");
        for (good, name, text) in [
            (basis_good, "Front door", format!("{}<br>{}", escape(&self.front_door), escape(&trust_source))),
            (
                ready.is_ok(),
                "guard",
                format!(
                    "{} passed, {} refused{}<br>{} under way, {} tunnels",
                    metrics.passed.get(),
                    metrics.refused.get(),
                    match metrics.sign_in_redirects.get() {
                        0 => String::new(),
                        count => format!(", {count} sent to sign in"),
                    },
                    metrics.inflight.get(),
                    metrics.open_tunnels.get()
                ),
            ),
            (upstream_bad == 0, "Immich", format!("{}<br>{upstream_bad} times not reached", escape(&self.upstream))),
        ] {
            let mark = if good { "good" } else { "bad" };
            let _ = write!(page, "<li class={mark}><h2>{name}</h2><p>{text}</p></li>");
        }
        page.push_str("</ol><h2>Refused</h2><table>");
        refused_rows(&mut page, metrics);
        let _ = write!(
            page,
            "</table><p class=small>largest body {}, up for {}, version {} · <a href=metrics>metrics</a> · why a request was refused: \
             its <code>Guard-Request-Id</code> in the log</p></html>",
            self.limit,
            words(self.since.elapsed()),
            env!("CARGO_PKG_VERSION"),
        );
        page
    }
}

/// The rows of what was refused, where anything was.
pub(crate) fn refused_rows(page: &mut String, metrics: &Metrics) {
    for reason in Reason::ALL {
        let count = metrics.refusals(reason);
        if count > 0 {
            let _ = write!(page, "<tr><td>{}<td>{}<td>{count}", reason.status().as_u16(), reason.label());
        }
    }
}

pub(crate) fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// The beginning of a status page, up to its first heading.
pub(crate) const PAGE_HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
<meta name=viewport content=\"width=device-width\"><title>guard</title><style>\
body{font:1rem/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
.way{display:flex;gap:1.6rem;list-style:none;padding:0;flex-wrap:wrap}.way li{flex:1 1 12rem;border:1px solid;border-top:.4rem solid;\
border-radius:.5rem;padding:.2rem .9rem;position:relative}.way li+li:before{content:'\\2192';position:absolute;left:-1.4rem;top:40%}\
.way h2{margin:.4rem 0 0;font-size:1rem}.way p{margin:.2rem 0 .6rem;overflow-wrap:anywhere;color:CanvasText}\
.good{color:#2a8a4a}.bad{color:#c0392b}li.good,li.bad{border-color:currentColor}li h2{color:CanvasText}\
td{padding:.1rem 1rem .1rem 0}.small{opacity:.7;font-size:.85rem}</style>";
