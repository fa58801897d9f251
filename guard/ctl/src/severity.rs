//! The severity of a finding, of `guardctl lint` and of `guardctl oidc check`.

use serde::Serialize;

/// Whether a finding fails the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Fails.
    Error,
    /// Advice. Fails only with `--strict`, where the command has it.
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
