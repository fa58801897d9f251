//! What Prometheus sees of a home: the text of `/metrics`, one scrape a minute, as promtool reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::text;

/// The alerts that guard's own metrics and exit codes decide. The others need exporters that do not run here.
const JUDGED: &str = "ImmichNotGated|ImmichUnreachable|Guard.+|IdtokenTokenNearItsEnd|NasGone";

/// The scrapes of one or more programs.
#[derive(Default)]
pub(crate) struct Recording {
    minutes: usize,
    /// The values of each series; `None` for a minute without it.
    series: BTreeMap<String, Vec<Option<String>>>,
}

impl Recording {
    /// Adds scrapes: each program has its namespace, its pod and the text of its `/metrics`. Prometheus adds the two labels.
    pub(crate) fn scrape(&mut self, programs: &[(&str, &str, &str)]) {
        for (namespace, pod, metrics) in programs {
            for line in metrics.lines().filter(|line| !line.starts_with('#')) {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                let (name, labels) = series.split_once('{').map_or((series, "}"), |(name, labels)| (name, labels));
                let comma = if labels == "}" { "" } else { "," };
                let series = format!("{name}{{namespace=\"{namespace}\",pod=\"{pod}\"{comma}{labels}");
                let values = self.series.entry(series).or_default();
                values.resize(self.minutes, None);
                values.push(Some(value.to_owned()));
            }
        }
        self.minutes += 1;
    }

    /// Adds the same scrapes for some minutes.
    pub(crate) fn hold(&mut self, minutes: usize, programs: &[(&str, &str, &str)]) {
        for _ in 0..minutes {
            self.scrape(programs);
        }
    }

    /// Lets Prometheus' own promtool evaluate the rules over it: exactly these alerts fire in the end.
    pub(crate) fn fires(mut self, name: &str, alerts: &[&str]) {
        let promtool = std::env::var("PROMTOOL").expect("PROMTOOL names promtool: make test-alerts");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("firing").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let rules: Value = serde_saphyr::from_str(&text("apps/components/monitoring/prometheusrule.yaml")).unwrap();
        // JSON is YAML.
        std::fs::write(folder.join("rules.yaml"), rules["spec"].to_string()).unwrap();
        let mut input = Vec::new();
        for (series, values) in &mut self.series {
            values.resize(self.minutes, None);
            // A scrape that fails ends the series.
            let values: Vec<_> = values.iter().map(|value| value.as_deref().unwrap_or("stale")).collect();
            input.push(json!({"series": series, "values": values.join(" ")}));
        }
        let firing: Vec<_> =
            alerts.iter().map(|alert| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1})).collect();
        let test = json!({
            "rule_files": ["rules.yaml"],
            "evaluation_interval": "1m",
            "tests": [{
                "name": name,
                "interval": "1m",
                "input_series": input,
                "promql_expr_test": [{
                    "expr": format!("count by (alertname) (ALERTS{{alertstate=\"firing\", alertname=~\"{JUDGED}\"}})"),
                    "eval_time": format!("{}m", self.minutes - 1),
                    "exp_samples": firing,
                }],
            }],
        });
        std::fs::write(folder.join("tests.yaml"), test.to_string()).unwrap();
        let output = Command::new(promtool).args(["test", "rules", "tests.yaml"]).current_dir(&folder).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&said));
    }
}
