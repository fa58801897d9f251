//! The alerts of the component `monitoring`: silent on a home that is well, and each one fires in a home that is broken that way.
//!
//! Prometheus' own promtool judges, where `PROMTOOL` names it: `make test-alerts`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

mod home;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use guardctl::lint::yaml;
use home::{BROKEN, Series, WELL};
use serde_json::{Value, json};

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/components/monitoring").join(path)
}

/// The `spec` of the rules: what Prometheus reads.
fn spec() -> Value {
    let text = std::fs::read_to_string(place("prometheusrule.yaml")).unwrap();
    yaml::documents(&text, "prometheusrule.yaml").unwrap().remove(0)["spec"].take()
}

fn alerts(spec: &Value) -> Vec<Value> {
    let groups = spec["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The home that is well, with these series instead.
fn changed(series: &[Series]) -> Vec<Series> {
    let kept = WELL.iter().filter(|(name, _)| !series.iter().any(|(other, _)| other == name));
    kept.chain(series.iter().filter(|(_, values)| !values.is_empty())).copied().collect()
}

/// One test of promtool: after three hours, exactly these alerts fire.
fn case(name: &str, series: &[Series], alerts: &[&str]) -> Value {
    let input: Vec<_> = changed(series).iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let firing: Vec<_> = alerts.iter().map(|alert| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1})).collect();
    json!({
        "name": name,
        "interval": "1m",
        "input_series": input,
        "promql_expr_test": [{
            "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "3h",
            "exp_samples": firing,
        }],
    })
}

#[test]
fn each_alert_has_a_home_that_is_broken_that_way() {
    let known: BTreeSet<_> = alerts(&spec()).iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    let seen: BTreeSet<_> = BROKEN.iter().flat_map(|broken| broken.alerts).map(|alert| (*alert).to_owned()).collect();
    assert_eq!(known, seen, "apps/components/monitoring/prometheusrule.yaml, and BROKEN in guard/ctl/tests/alerts/home.rs");
    for broken in BROKEN {
        let is_known = |name: &str| WELL.iter().any(|(known, _)| *known == name);
        assert!(broken.series.iter().all(|(name, values)| is_known(name) || !values.is_empty()), "{}", broken.name);
    }
}

#[test]
fn each_alert_says_symptom_cause_and_command() {
    for alert in alerts(&spec()) {
        let name = alert["alert"].as_str().unwrap();
        for part in ["summary", "cause", "command", "runbook"] {
            assert!(alert["annotations"][part].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {part}");
        }
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["warning", "critical"].contains(&severity), "{name}: severity {severity:?}");
    }
}

#[test]
fn the_dashboard_is_what_guardctl_writes() {
    let file = std::fs::read_to_string(place("dashboard.json")).unwrap();
    let is_current = file == guardctl::dashboard::text().unwrap();
    assert!(is_current, "run: cargo run -q -p guardctl -- dashboard > apps/components/monitoring/dashboard.json");
}

#[test]
#[ignore = "needs promtool: make test-alerts"]
fn promtool_sees_each_alert_fire_and_none_in_a_home_that_is_well() {
    let promtool = std::env::var("PROMTOOL").expect("PROMTOOL names promtool: make test-alerts");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("alerts");
    std::fs::create_dir_all(&folder).unwrap();
    // JSON is YAML.
    std::fs::write(folder.join("rules.yaml"), spec().to_string()).unwrap();
    let mut cases = vec![case("a home that is well", &[], &[])];
    cases.extend(BROKEN.iter().map(|broken| case(broken.name, broken.series, broken.alerts)));
    let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": cases});
    std::fs::write(folder.join("tests.yaml"), file.to_string()).unwrap();
    let mut said = String::new();
    for arguments in [&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"][..], &["test", "rules", "tests.yaml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(&folder).output().unwrap();
        let _ = write!(said, "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "promtool {}:\n{said}", arguments.join(" "));
    }
    println!("{said}{} homes", cases.len());
}
