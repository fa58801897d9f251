//! A report: the path, the root cause, and every check; as a table, short, JSON or Markdown.

use std::fmt::Write as _;

use serde::Serialize;

use super::graph::{Finding, Hop, Status};
use crate::terminal::{Colour, Style};

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The name and version of this format.
    pub schema: &'static str,
    /// Whether nothing failed.
    pub ok: bool,
    /// The number of checks by status.
    pub summary: Summary,
    /// The failed checks that no other one explains, in the order of the checks.
    pub root_causes: Vec<&'static str>,
    /// The hops of the way, from outside to inside.
    pub path: Vec<PathHop>,
    /// Every check.
    pub checks: Vec<Finding>,
}

/// The number of checks by status.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    /// Right.
    pub pass: usize,
    /// To be changed.
    pub warn: usize,
    /// Wrong.
    pub fail: usize,
    /// Not checked.
    pub skip: usize,
}

/// A hop and its verdict.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PathHop {
    /// The hop.
    pub hop: Hop,
    /// The worst of its checks; skip = none could be checked.
    pub status: Status,
}

/// The version of the JSON (docs/doctor.schema.json).
pub const SCHEMA: &str = "guard.doctor/v1";

impl Report {
    /// A report of these findings.
    pub fn new(checks: Vec<Finding>) -> Self {
        let mut summary = Summary::default();
        for finding in &checks {
            *match finding.status {
                Status::Pass => &mut summary.pass,
                Status::Warn => &mut summary.warn,
                Status::Fail => &mut summary.fail,
                Status::Skip => &mut summary.skip,
            } += 1;
        }
        let root_causes = checks.iter().filter(|finding| finding.status == Status::Fail).map(|finding| finding.id).collect();
        let path = Hop::ALL.map(|hop| {
            let of = |status: Status| checks.iter().any(|finding| finding.hop == Some(hop) && finding.status == status);
            let status =
                [Status::Fail, Status::Warn, Status::Pass].into_iter().find(|status| of(*status)).unwrap_or(Status::Skip);
            PathHop { hop, status }
        });
        Self { schema: SCHEMA, ok: summary.fail == 0, summary, root_causes, path: path.to_vec(), checks }
    }

    /// `phone → edge ✓ → Access ✓ → tunnel ✗ → guard – → Immich ✓ → NAS ✓`
    fn path_line(&self, style: Style) -> String {
        let mut line = "phone".to_owned();
        for PathHop { hop, status } in &self.path {
            // Writing into a String cannot fail.
            let _ = write!(line, " → {} {}", hop.name(), mark(style, *status));
        }
        line
    }

    /// All checks, with what to do.
    pub fn table(&self, style: Style, verbose: bool) -> String {
        // Before anything is applied there is no way yet.
        let is_there = self.path.iter().any(|hop| hop.status != Status::Skip);
        let mut text = if is_there { format!("{}\n", self.path_line(style)) } else { String::new() };
        let Summary { pass, warn, fail, skip } = self.summary;
        if self.ok {
            let _ = writeln!(
                text,
                "Everything that could be checked is right: {pass} checks, {}, {skip} not checked.",
                warnings(warn)
            );
        } else {
            let cause = self.checks.iter().find(|finding| finding.status == Status::Fail);
            let cause = cause.map_or_else(String::new, |it| format!("{} {}", style.paint(Colour::BoldRed, it.id), it.detail));
            let _ = writeln!(text, "{} {cause}", style.paint(Colour::Bold, "Root cause:"));
        }
        for finding in &self.checks {
            let is_shown = verbose || matches!(finding.status, Status::Fail | Status::Warn);
            let is_consequence = finding.skipped_by.is_some();
            if !is_shown && !is_consequence {
                continue;
            }
            let _ = writeln!(text, "{} {:13} {}", mark(style, finding.status), finding.id, finding.title);
            let indent = " ".repeat(16);
            if let Some(cause) = finding.skipped_by {
                let _ = writeln!(text, "{indent}{}", style.paint(Colour::Dim, &format!("not checked, because of {cause}")));
            } else if !finding.detail.is_empty() {
                let _ = writeln!(text, "{indent}{}", finding.detail);
            }
            for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
                let _ = writeln!(text, "           {} {line}", style.paint(Colour::Bold, "fix:"));
            }
            if finding.fix.is_some() {
                let _ = writeln!(text, "{indent}{}", style.paint(Colour::Dim, &finding.hint));
            }
        }
        let _ = writeln!(text, "{pass} passed, {}, {fail} failed, {skip} not checked", warnings(warn));
        text
    }

    /// Three lines: the path, the cause, the fix.
    pub fn short(&self, style: Style) -> String {
        let mut text = format!("{}\n", self.path_line(style));
        match self.checks.iter().find(|finding| finding.status == Status::Fail) {
            None => text.push_str("ok\n"),
            Some(cause) => {
                let _ = writeln!(text, "{} {}", cause.id, cause.detail);
                let _ = writeln!(text, "fix: {}", cause.fix.as_deref().unwrap_or_default().replace('\n', "; "));
            }
        }
        text
    }

    /// For an issue.
    pub fn markdown(&self) -> String {
        let style = Style { colour: false };
        let mut text = format!("`{}`\n\n| | check | found | fix |\n|---|---|---|---|\n", self.path_line(style));
        for finding in self.checks.iter().filter(|finding| matches!(finding.status, Status::Fail | Status::Warn)) {
            let cell = |text: &str| text.replace('|', "\\|").replace('\n', "<br>");
            let fix = finding.fix.as_deref().map(cell).unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} {} | {} | {fix} |",
                mark(style, finding.status),
                finding.id,
                finding.title,
                cell(&finding.detail)
            );
        }
        let Summary { pass, warn, fail, skip } = self.summary;
        let _ = writeln!(text, "\n{pass} passed, {}, {fail} failed, {skip} not checked", warnings(warn));
        text
    }
}

fn warnings(count: usize) -> String {
    format!("{count} {}", if count == 1 { "warning" } else { "warnings" })
}

/// The mark of a status.
fn mark(style: Style, status: Status) -> String {
    let (colour, text) = match status {
        Status::Pass => (Colour::Green, "✓"),
        Status::Warn => (Colour::Yellow, "!"),
        Status::Fail => (Colour::Red, "✗"),
        Status::Skip => (Colour::Dim, "–"),
    };
    style.paint(colour, text)
}
