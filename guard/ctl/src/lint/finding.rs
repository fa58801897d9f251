//! One finding, and the sink that a policy writes to: where, what was found, what is wanted.

use serde::Serialize;

use super::inventory::Object;
use super::policies::Policy;

/// Whether a finding fails the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Fails.
    Error,
    /// Advice; fails with `--strict`.
    Warning,
}

impl Severity {
    /// As printed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

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

/// Collects the findings of one policy.
pub struct Sink<'f> {
    policy: &'static Policy,
    findings: &'f mut Vec<Finding>,
}

impl<'f> Sink<'f> {
    /// A sink for one policy.
    pub fn new(policy: &'static Policy, findings: &'f mut Vec<Finding>) -> Self {
        Self { policy, findings }
    }

    /// Adds a finding.
    pub fn add(&mut self, object: &Object, field: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) {
        self.findings.push(Finding {
            id: self.policy.id,
            severity: self.policy.severity,
            object: object.title(),
            field: field.into(),
            found: found.into(),
            wanted: wanted.into(),
            link: self.policy.link(),
            source: object.source.clone(),
            index: object.index,
        });
    }
}
