//! The checks and their order: a check whose cause has failed is not a second finding, but a consequence.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::Evidence;

/// A part of the way from a phone to the NAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hop {
    /// Cloudflare's servers.
    Edge,
    /// Cloudflare Access.
    Access,
    /// The tunnel.
    Tunnel,
    /// guard.
    Guard,
    /// Immich, with its database and its cache.
    Immich,
    /// The NAS.
    Nas,
}

impl Hop {
    /// All of them, from outside to inside.
    pub const ALL: [Self; 6] = [Self::Edge, Self::Access, Self::Tunnel, Self::Guard, Self::Immich, Self::Nas];

    /// Its name in the picture.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Access => "Access",
            Self::Tunnel => "tunnel",
            Self::Guard => "guard",
            Self::Immich => "Immich",
            Self::Nas => "NAS",
        }
    }
}

/// What is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was found, and what is wanted.
    pub found: String,
    /// The command, or the sentence, that cures it.
    pub fix: String,
}

impl Problem {
    /// A problem.
    pub fn new(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { found: found.into(), fix: fix.into() }
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is right; this was seen.
    Pass(String),
    /// It works, and should be changed.
    Warn(Problem),
    /// It is wrong.
    Fail(Problem),
    /// It does not apply, or could not be looked at.
    Skip(String),
}

/// A check.
pub struct Check {
    /// Its stable name.
    pub id: &'static str,
    /// What is wanted, as a sentence.
    pub title: &'static str,
    /// The part of the way that it belongs to.
    pub hop: Option<Hop>,
    /// The checks whose failure explains this one's.
    pub needs: &'static [&'static str],
    /// The heading of troubleshooting.md that says more.
    pub anchor: &'static str,
    /// The check.
    pub run: fn(&Evidence) -> Outcome,
}

/// The status of a check in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is right.
    Pass,
    /// It works, and should be changed.
    Warn,
    /// It is wrong.
    Fail,
    /// It was not checked.
    Skip,
}

/// A check in a report.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its stable name.
    pub id: &'static str,
    /// What is wanted.
    pub title: &'static str,
    /// The part of the way.
    pub hop: Option<Hop>,
    /// Its status.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What cures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Where more is said.
    pub hint: String,
    /// The check whose failure explains this one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<&'static str>,
}

/// Runs the checks in their order. A check that needs one which failed, or was skipped because of one, is skipped because of the same.
pub fn run<'c>(checks: impl IntoIterator<Item = &'c Check>, evidence: &Evidence) -> Vec<Finding> {
    let mut cause: BTreeMap<&str, &'static str> = BTreeMap::new();
    let mut findings = Vec::new();
    for check in checks {
        let skipped_by = check.needs.iter().find_map(|needed| cause.get(needed).copied());
        let outcome = match skipped_by {
            Some(_) => Outcome::Skip(String::new()),
            None => (check.run)(evidence),
        };
        let (status, detail, fix) = match outcome {
            Outcome::Pass(detail) => (Status::Pass, detail, None),
            Outcome::Warn(problem) => (Status::Warn, problem.found, Some(problem.fix)),
            Outcome::Fail(problem) => (Status::Fail, problem.found, Some(problem.fix)),
            Outcome::Skip(detail) => (Status::Skip, detail, None),
        };
        if let Some(root) = skipped_by.or_else(|| (status == Status::Fail).then_some(check.id)) {
            cause.insert(check.id, root);
        }
        let hint = format!("troubleshooting.md#{}", check.anchor);
        findings.push(Finding { id: check.id, title: check.title, hop: check.hop, status, detail, fix, hint, skipped_by });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consequence_names_its_cause_and_is_no_second_finding() {
        fn fails(_: &Evidence) -> Outcome {
            Outcome::Fail(Problem::new("x", "y"))
        }
        let check = |id, needs| Check { id, title: "", hop: None, needs, anchor: "", run: fails };
        let checks = [check("a", &[][..]), check("b", &["a"]), check("c", &["b"]), check("d", &[])];
        let findings = run(&checks, &Evidence::default());
        let seen: Vec<_> = findings.iter().map(|finding| (finding.status, finding.skipped_by)).collect();
        assert_eq!(
            seen,
            [(Status::Fail, None), (Status::Skip, Some("a")), (Status::Skip, Some("a")), (Status::Fail, None)],
            "two causes at once are both named"
        );
    }
}
