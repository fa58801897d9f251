//! One finding, and the sink that a policy writes to: where, what was found, what is wanted.

use serde::Serialize;

use super::object::Object;
use crate::severity::Severity;

/// What a policy found in an object.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The policy's id.
    pub id: &'static str,
    /// The policy's severity.
    pub severity: Severity,
    /// Kind and name: `Deployment immich/immich-server`.
    pub object: String,
    /// JSON path in the object.
    pub field: String,
    /// What is there.
    pub found: String,
    /// What should be.
    pub wanted: String,
    /// Where the reason is written.
    pub link: String,
    /// The file, directory or stream that the object came from.
    pub source: String,
    /// The object's place in the stream, for sorting and exceptions.
    #[serde(skip)]
    pub index: usize,
}

/// Returns where the reason of a policy is written.
pub fn link(id: &str) -> String {
    format!("docs/policies.md#{id}")
}

/// Whether the findings let a build pass. With `strict`, a warning fails it too.
pub fn passes(findings: &[Finding], strict: bool) -> bool {
    !findings.iter().any(|finding| strict || finding.severity == Severity::Error)
}

/// Collects the findings of one policy.
pub struct Sink<'f> {
    id: &'static str,
    severity: Severity,
    findings: &'f mut Vec<Finding>,
}

impl<'f> Sink<'f> {
    /// Makes a sink that adds to `findings` under the id and severity of one policy.
    pub fn new(id: &'static str, severity: Severity, findings: &'f mut Vec<Finding>) -> Self {
        Self { id, severity, findings }
    }

    /// Adds a finding.
    pub fn add(&mut self, object: &Object, field: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) {
        self.findings.push(Finding {
            id: self.id,
            severity: self.severity,
            object: object.title(),
            field: field.into(),
            found: found.into(),
            wanted: wanted.into(),
            link: link(self.id),
            source: object.source.clone(),
            index: object.index,
        });
    }
}
