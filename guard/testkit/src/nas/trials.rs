//! A harness that can skip: groups of tests enter, and what cargo's own harness would print leaves, with `ignored` for what this
//! machine cannot do.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial, run};

use super::host::why_not;

/// Lists functions as tests under their own names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}

/// All the tests of one target.
#[derive(Debug)]
pub struct Trials {
    nothing_works: bool,
    trials: Vec<Trial>,
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
        let skip = self.nothing_works || reason.is_some();
        self.trials.extend(tests.iter().map(|(name, test)| {
            let test = *test;
            let trial = Trial::test(format!("{group}::{name}"), move || {
                test();
                Ok(())
            });
            trial.with_ignored_flag(skip)
        }));
        self
    }

    /// Runs what the command line asks for.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        if arguments.ignored || arguments.include_ignored {
            // Skipped means that it cannot work here, not that somebody would rather not.
            (arguments.ignored, arguments.include_ignored) = (false, false);
        }
        run(&arguments, self.trials).exit_code()
    }
}
