//! `guardctl doctor` on recorded homes: a healthy one, its variants, and broken ones, each with its true cause and its cure. Homes on a real API
//! server are in `make e2e`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod broken;
mod home;
mod output;

use std::collections::BTreeSet;

use guardctl::doctor::evidence::Evidence;
use guardctl::doctor::graph::{Finding, Status, run};
use guardctl::doctor::{CHECKS, PRE};
use serde_json::Value;

fn findings(home: Value) -> Vec<Finding> {
    let evidence: Evidence = serde_json::from_value(home).expect("evidence");
    run(CHECKS, &evidence)
}

#[test]
fn a_healthy_home_passes_every_check() {
    let wrong: Vec<_> = findings(home::healthy())
        .into_iter()
        .filter(|finding| finding.status != Status::Pass)
        .map(|finding| format!("{} {:?}: {}", finding.id, finding.status, finding.detail))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every policy of the base, and none of a component.
#[test]
fn the_policies_that_it_wants_are_those_of_the_base() {
    let apps = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps");
    let folders = ["media/immich", "networking/immich-edge", "networking/immich-origin-proxy", "networking/cloudflared"];
    let files =
        folders.iter().flat_map(|folder| std::fs::read_dir(apps.join(folder)).unwrap()).map(|entry| entry.unwrap().path());
    let is_policy =
        |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("networkpolicy"));
    let mut names: Vec<_> = files
        .filter(is_policy)
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("  {name}: "))).unwrap().to_owned();
            (field("namespace"), field("name"))
        })
        .collect();
    names.sort();
    let mut wanted: Vec<_> = home::healthy()["objects"]["NetworkPolicy"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| {
            let field = |name: &str| policy["metadata"][name].as_str().unwrap().to_owned();
            (field("namespace"), field("name"))
        })
        .collect();
    wanted.sort();
    assert_eq!(names, wanted);
}

#[test]
fn healthy_variants_raise_no_alarm() {
    let variants = home::variants();
    assert!(variants.len() >= 30, "{}", variants.len());
    for (name, home) in variants {
        let failed: Vec<_> =
            findings(home).into_iter().filter(|finding| finding.status == Status::Fail).map(|it| it.id).collect();
        assert!(failed.is_empty(), "{name}: {failed:?}");
    }
}

#[test]
fn ids_are_unique_and_every_need_is_an_earlier_check() {
    for (table, least) in [(CHECKS, 50), (PRE, 20)] {
        let mut known = BTreeSet::new();
        for check in table {
            assert!(check.needs.iter().all(|needed| known.contains(needed)), "{}: needs {:?}", check.id, check.needs);
            assert!(known.insert(check.id), "{} twice", check.id);
            assert!(check.title.ends_with('.'), "{}", check.title);
        }
        assert!(known.len() >= least, "{}", known.len());
    }
}

#[test]
fn every_check_leads_to_a_symptom_of_the_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../troubleshooting.md")).unwrap();
    let slug = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let headings: BTreeSet<_> = page.lines().filter(|line| line.starts_with('#')).map(slug).collect();
    for check in CHECKS.iter().chain(PRE) {
        let is_there = page.contains(&format!("<a id=\"{}\">", check.anchor)) || headings.contains(check.anchor);
        assert!(is_there, "{}: troubleshooting.md has no #{}", check.id, check.anchor);
    }
}
