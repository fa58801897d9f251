//! What is printed: the plan as a diff, and the findings of `check` as a table or JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::check::Finding;
use super::plan::Plan;
use crate::doctor::graph::Status;

/// The version of the JSON of `check`.
const SCHEMA: &str = "guard.cloudflare/v1";

/// The plan, for people.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{} {}", if change.is_new { '+' } else { '~' }, change.what);
        for line in &change.lines {
            let _ = writeln!(text, "    {line}");
        }
    }
    if !plan.right.is_empty() {
        let _ = writeln!(text, "right already: {}", plan.right.join(", "));
    }
    for note in &plan.notes {
        let _ = writeln!(text, "! {note}");
    }
    for refusal in &plan.refusals {
        let _ = writeln!(text, "✗ {refusal}");
    }
    let _ = match (plan.refusals.len(), plan.changes.len()) {
        (0, 0) => writeln!(text, "nothing to change"),
        (0, 1) => writeln!(text, "1 change"),
        (0, changes) => writeln!(text, "{changes} changes"),
        (refusals, _) => writeln!(text, "nothing will be changed: {refusals} in the way"),
    };
    text
}

/// The findings of `check`, for programs.
#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    ok: bool,
    host: &'a str,
    checks: &'a [Finding],
}

/// The findings as JSON.
pub(crate) fn json(host: &str, findings: &[Finding]) -> String {
    let ok = findings.iter().all(|finding| finding.status != Status::Fail);
    let json = Json { schema: SCHEMA, ok, host, checks: findings };
    serde_json::to_string_pretty(&json).unwrap_or_default()
}

/// The findings as a table.
pub(crate) fn table(findings: &[Finding], verbose: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.status {
            Status::Pass => "✓",
            Status::Warn => "!",
            Status::Fail => "✗",
            Status::Skip => "–",
        };
        if finding.status == Status::Pass && !verbose {
            continue;
        }
        let _ = writeln!(text, "{mark} {:13} {}", finding.id, finding.title);
        if !finding.detail.is_empty() {
            let _ = writeln!(text, "                {}", finding.detail);
        }
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "           fix: {fix}\n                {}", finding.hint);
        }
    }
    let count = |status: Status| findings.iter().filter(|finding| finding.status == status).count();
    let _ = writeln!(
        text,
        "{} passed, {} warnings, {} failed, {} not checked",
        count(Status::Pass),
        count(Status::Warn),
        count(Status::Fail),
        count(Status::Skip)
    );
    text
}
