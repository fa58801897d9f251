//! The severity of the findings of `guardctl lint` and `guardctl oidc check`.

use serde::Serialize;

/// The severity of a finding: whether it fails the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The command fails.
    Error,
    /// Advice. The command fails only with `--strict`, if it has this flag.
    Warning,
}

impl Severity {
    /// Returns the severity as it is printed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
