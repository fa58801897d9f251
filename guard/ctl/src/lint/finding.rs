//! A finding, and the sink to which a policy adds its findings.

use serde::Serialize;

use super::object::Object;
use crate::severity::Severity;

/// A violation of a policy in an object: where it is, what was found and what is wanted.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The id of the policy.
    pub id: &'static str,
    /// The severity of the policy.
    pub severity: Severity,
    /// Kind, namespace and name of the object, for example `Deployment immich/immich-server`.
    pub object: String,
    /// The JSON path of the field in the object.
    pub field: String,
    /// The value that was found.
    pub found: String,
    /// The value that is wanted.
    pub wanted: String,
    /// The page and anchor with the reason of the policy.
    pub link: String,
    /// The file, directory or stream that the object came from.
    pub source: String,
    /// The index of the object in the stream, for sorting and exceptions.
    #[serde(skip)]
    pub index: usize,
}

/// Returns the page and anchor with the reason of a policy.
pub fn link(id: &str) -> String {
    format!("docs/policies.md#{id}")
}

/// Whether the findings let the command succeed: there is no error, and with `strict` no warning either.
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
    /// Creates a sink that adds to `findings` with the id and severity of one policy.
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
