//! The severity of the findings of `guardctl lint` and `guardctl oidc check`.

use serde::Serialize;

use crate::terminal::Colour;

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
    /// Returns its colour on a terminal.
    pub const fn colour(self) -> Colour {
        match self {
            Self::Error => Colour::Red,
            Self::Warning => Colour::Yellow,
        }
    }

    /// Returns the severity as it is printed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
