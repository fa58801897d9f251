//! What `guardctl doctor` reports, for the stories of the cluster and of the node.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A report, as `--output json` gives it.
pub(crate) struct Report(Value);

impl Report {
    /// Runs doctor with these arguments, and reads what it reports.
    pub(crate) fn of(mut doctor: Command) -> Result<Self> {
        let output = doctor.args(["-o", "json"]).output().context("guardctl doctor")?;
        Self::read(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Reads a report.
    pub(crate) fn read(json: &[u8]) -> Result<Self> {
        Ok(Self(serde_json::from_slice(json)?))
    }

    /// Whether nothing has failed.
    pub(crate) fn is_ok(&self) -> bool {
        self.0["ok"] == true
    }

    /// The ids of the root causes, the first one first.
    pub(crate) fn causes(&self) -> Vec<String> {
        self.0["root_causes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The cure of a check that has failed.
    pub(crate) fn fix_of(&self, id: &str) -> Option<&str> {
        self.checks().find(|check| check["id"] == id)?["fix"].as_str()
    }

    /// What failed, and what was found.
    pub(crate) fn failed(&self) -> String {
        let failed = self.checks().filter(|check| check["status"] == "fail");
        failed.map(|check| format!("{} {}", check["id"], check["detail"])).collect::<Vec<_>>().join("; ")
    }

    /// Whether a text is anywhere in it.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.to_string().contains(text)
    }

    fn checks(&self) -> impl Iterator<Item = &Value> {
        self.0["checks"].as_array().into_iter().flatten()
    }
}
