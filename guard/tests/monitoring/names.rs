//! The component `monitoring` and the real binary know the same metrics: every name and label value in the dashboard, the alerts and their
//! tests is one that guard exports, and every metric of guard is on the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use testkit::admin;
use testkit::environment::{forward_auth_args, open};
use testkit::google::{self, Folder, Via};
use testkit::process::OriginProcess;
use testkit::{Issuer, TestEnvironment};
use tokio::time::Instant;

use crate::text;

/// Metrics that are not on the dashboard, and why.
const LEFT_OUT: [(&str, &str); 1] =
    [("guard_token_cache_total", "what a verification costs: of interest to `make bench`, not to a home")];

/// The files that name metrics of guard.
const FILES: [&str; 4] = [
    "apps/components/monitoring/dashboard.json",
    "apps/components/monitoring/prometheusrule.yaml",
    "guard/ctl/tests/alerts/home.rs",
    "docs/monitoring.md",
];

/// The names of metrics of guard in a text, each with what follows it.
fn mentions(text: &str) -> Vec<(String, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in text.match_indices("guard_") {
        let is_start = !text[..start].ends_with(is_name);
        let end = text[start..].find(|c| !is_name(c)).map_or(text.len(), |length| start + length);
        if is_start {
            found.push((text[start..end].to_owned(), &text[end..]));
        }
    }
    found
}

/// The label values that a selector behind a name wants: `{cause="missing"}`, `{kind=~"connect|timeout"}`.
fn wanted_labels(rest: &str) -> Vec<(String, String)> {
    let Some(selector) = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()) else { return Vec::new() };
    // In the dashboard the quotes are escaped.
    let selector = selector.replace('\\', "");
    let pairs = selector.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .flat_map(|(label, value)| {
            let values: Vec<_> = value.trim_matches(['~', '"']).split('|').map(str::to_owned).collect();
            values.into_iter().map(|value| (label.trim().to_owned(), value)).collect::<Vec<_>>()
        })
        .collect()
}

/// Every metric of the real `guard origin` and of `guard idtoken`, each with the values of its labels.
async fn exported() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let home: TestEnvironment<Issuer, OriginProcess> = TestEnvironment::process(env!("CARGO_BIN_EXE_guard"), &[]).await;
    let mut texts = vec![admin::get(home.guard.admin_address, "/metrics").await.text()];
    let (google, cloud_run) = google::google();
    let folder = Folder::new();
    let idtoken = google::open(&google::args(&google, &cloud_run, &folder, Via::KeyFile));
    // The life of a token is there once there is a token.
    let text = async || admin::get(idtoken.admin_address, "/metrics").await.text();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !text().await.contains("seconds_to_expiry{") {
        assert!(Instant::now() < deadline, "no token");
    }
    texts.push(text().await);
    // The results of auth requests are there with that front door only.
    let other = open(&forward_auth_args("http://127.0.0.1:9", "https://photos.example.com", "http://127.0.0.1:9"));
    texts.push(admin::get(other.admin_address, "/metrics").await.text());
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for line in texts.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("guard_")) {
        let (name, rest) = mentions(line).remove(0);
        found.entry(name).or_default().extend(wanted_labels(rest));
    }
    found
}

/// The name without the suffix of a series of a histogram.
fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_what_guard_exports() {
    let exported = exported().await;
    let mut wrong = Vec::new();
    for file in FILES {
        let text = text(file);
        let mentions = mentions(&text);
        assert!(!mentions.is_empty(), "{file}");
        for (name, rest) in mentions {
            match exported.get(&name) {
                None => wrong.push(format!("{file}: {name} is no metric of guard")),
                Some(labels) => wrong.extend(
                    wanted_labels(rest)
                        .into_iter()
                        // Prometheus adds these.
                        .filter(|(label, _)| !["namespace", "pod", "version", "audience"].contains(&label.as_str()))
                        .filter(|pair| !labels.contains(pair))
                        .map(|(label, value)| format!("{file}: {name} never has {label}=\"{value}\"")),
                ),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_metric_of_guard_is_on_the_dashboard_or_left_out_for_a_reason() {
    let dashboard = text("apps/components/monitoring/dashboard.json");
    let shown: BTreeSet<_> = mentions(&dashboard).iter().map(|(name, _)| family(name).to_owned()).collect();
    let exported: BTreeSet<_> = exported().await.keys().map(|name| family(name).to_owned()).collect();
    assert!(exported.len() > 20, "{exported:?}");
    for name in &exported {
        let is_left_out = LEFT_OUT.iter().any(|(left_out, _)| left_out == name);
        assert!(
            shown.contains(name) != is_left_out,
            "{name}: add a panel to guard/ctl/src/dashboard/panels.rs, or an entry to LEFT_OUT here; not both"
        );
    }
    for (name, _) in LEFT_OUT {
        assert!(exported.contains(name), "{name} in LEFT_OUT is no metric of guard");
    }
}
