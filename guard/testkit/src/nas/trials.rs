//! A harness that can skip: groups of tests enter, and what cargo's own harness would print leaves, with `ignored` for what this
//! machine cannot do, and for what takes minutes unless somebody asks for it.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial, run};

use super::host::why_not;

/// Lists functions as tests under their own names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}

/// When a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    Asked,
    Never,
}

/// All the tests of one target.
#[derive(Debug)]
pub struct Trials {
    nothing_works: bool,
    trials: Vec<(When, Trial)>,
}

impl Trials {
    /// An empty list. Where this machine cannot mount at all it says so, and nothing added will run.
    #[expect(clippy::new_without_default, reason = "it looks at the machine")]
    pub fn new() -> Self {
        let reason = why_not();
        if let Some(reason) = &reason {
            eprintln!("skipped: {reason}");
        }
        Self { nothing_works: reason.is_some(), trials: Vec::new() }
    }

    /// An empty list of tests that need no mounts: what they lack, each group says by itself.
    pub fn anywhere() -> Self {
        Self { nothing_works: false, trials: Vec::new() }
    }

    /// Adds tests that need nothing else, as [`tests!`](crate::tests) lists them.
    #[must_use]
    pub fn add(self, group: &str, tests: &[(&'static str, fn())]) -> Self {
        self.add_unless(None, group, tests)
    }

    /// Adds tests that are skipped for this reason, if there is one.
    #[must_use]
    pub fn add_unless(mut self, reason: Option<&str>, group: &str, tests: &[(&'static str, fn())]) -> Self {
        if let (Some(reason), false) = (reason, self.nothing_works) {
            eprintln!("skipped: {group}: {reason}");
        }
        self.push(if reason.is_some() { When::Never } else { When::Always }, group, tests);
        self
    }

    /// Adds tests in which real time has to pass, skipped for a reason as above: they also wait for `--include-ignored`.
    #[must_use]
    pub fn add_slow_unless(mut self, reason: Option<&str>, group: &str, tests: &[(&'static str, fn())]) -> Self {
        self.push(if reason.is_some() { When::Never } else { When::Asked }, group, tests);
        self
    }

    fn push(&mut self, when: When, group: &str, tests: &[(&'static str, fn())]) {
        let when = if self.nothing_works { When::Never } else { when };
        self.trials.extend(tests.iter().map(|(name, test)| {
            let test = *test;
            let trial = Trial::test(format!("{group}::{name}"), move || {
                test();
                Ok(())
            });
            (when, trial)
        }));
    }

    /// Runs what the command line asks for.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        let (asked, only) = (arguments.ignored || arguments.include_ignored, arguments.ignored);
        // What is skipped for a reason cannot work here, whoever asks.
        (arguments.ignored, arguments.include_ignored) = (false, false);
        let trials = self.trials.into_iter().map(|(when, trial)| {
            let skip = match when {
                When::Always => only,
                When::Asked => !asked,
                When::Never => true,
            };
            trial.with_ignored_flag(skip)
        });
        run(&arguments, trials.collect()).exit_code()
    }
}
