//! Collects every problem of a configuration while its values are read, so that all are reported at once.

use std::fmt;

/// One problem in the configuration: the variable, the value that was found, and the value that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the variable.
    pub variable: &'static str,
    /// The value that was found; none if the variable is absent.
    pub found: Option<String>,
    /// A description of the wanted value.
    pub wanted: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: found {found:?}, wanted {}", self.variable, self.wanted),
            None => write!(f, "{}: not set, wanted {}", self.variable, self.wanted),
        }
    }
}

/// All problems in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {many} in the configuration; nothing was started:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Returns the trimmed text, or none if it is empty: manifests often set a variable to an empty string.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Collects problems while values are read.
#[derive(Default)]
pub(crate) struct Reader(Vec<Problem>);

impl Reader {
    /// Whether this variable has a problem.
    pub(crate) fn has(&self, variable: &str) -> bool {
        self.0.iter().any(|problem| problem.variable == variable)
    }

    /// Whether there is no problem so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `config` if there is no problem, otherwise all problems.
    pub(crate) fn finish<T>(self, config: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(config) } else { Err(Problems(self.0)) }
    }

    /// The problems so far.
    pub(crate) fn into_problems(self) -> Problems {
        Problems(self.0)
    }

    pub(crate) fn problem(&mut self, variable: &'static str, found: Option<&str>, wanted: impl Into<String>) {
        self.0.push(Problem { variable, found: found.map(str::to_owned), wanted: wanted.into() });
    }

    /// Parses the value with `read`, or returns the default if there is no value.
    pub(crate) fn value<T>(
        &mut self,
        variable: &'static str,
        text: Option<&str>,
        default: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        match text.map(read) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(wanted)) => {
                self.problem(variable, text, wanted);
                default
            }
        }
    }

    /// Parses the value with `read`, and records a problem if there is no value.
    pub(crate) fn required<T>(
        &mut self,
        variable: &'static str,
        text: Option<&str>,
        wanted: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if text.is_none() {
            self.problem(variable, None, wanted);
        }
        self.value(variable, text, None, |text| read(text).map(Some))
    }
}
