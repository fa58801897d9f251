//! Prints findings as a table for people, or as one JSON document for programs.

use std::io::Write;

use serde::Serialize;

use super::finding::{Finding, passes};
use crate::severity::Severity;
use crate::terminal::Style;

/// The version of the JSON report. New fields do not change it; it changes only when a field is removed or its meaning changes.
const SCHEMA: &str = "guardctl.lint/v1";

#[derive(Serialize)]
struct Report<'f> {
    schema: &'static str,
    ok: bool,
    summary: Summary,
    findings: &'f [Finding],
}

#[derive(Serialize)]
struct Summary {
    objects: usize,
    errors: usize,
    warnings: usize,
}

fn summary(findings: &[Finding], objects: usize) -> Summary {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    Summary { objects, errors, warnings: findings.len() - errors }
}

/// Prints the findings as a table, grouped by object.
pub fn table(out: &mut dyn Write, style: Style, findings: &[Finding], objects: usize) -> std::io::Result<()> {
    let mut last = None;
    for finding in findings {
        let object = (&finding.object, &finding.source);
        if last != Some(object) {
            writeln!(out, "{}  ({})", finding.object, finding.source)?;
            last = Some(object);
        }
        let severity = style.paint(finding.severity.colour(), &format!("{:<8}", finding.severity.label()));
        writeln!(out, "  {severity} {}  {}", finding.id, finding.field)?;
        writeln!(out, "    found   {}", finding.found)?;
        writeln!(out, "    wanted  {}", finding.wanted)?;
        writeln!(out, "    why     {}\n", finding.link)?;
    }
    let Summary { errors, warnings, .. } = summary(findings, objects);
    writeln!(out, "{}, {}, {}", plural(objects, "object"), plural(errors, "error"), plural(warnings, "warning"))
}

/// Prints the findings as one JSON document on one line.
pub fn json(out: &mut dyn Write, findings: &[Finding], objects: usize, strict: bool) -> anyhow::Result<()> {
    let report = Report { schema: SCHEMA, ok: passes(findings, strict), summary: summary(findings, objects), findings };
    serde_json::to_writer(&mut *out, &report)?;
    writeln!(out)?;
    Ok(())
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
