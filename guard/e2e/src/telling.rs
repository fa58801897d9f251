//! Which stories are told, what came of each, and how many were true.

use std::time::Instant;

use anyhow::Result;

/// The count of what was told.
pub(crate) struct Telling<'w> {
    words: &'w [String],
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl<'w> Telling<'w> {
    /// Tells all stories, or those whose title contains one of the words.
    pub(crate) fn new(words: &'w [String]) -> Self {
        Self { words, passed: 0, failed: 0, skipped: 0 }
    }

    /// Whether this story is told; those that others need always are.
    pub(crate) fn wants(&mut self, title: &str, is_needed: bool) -> bool {
        let wanted = is_needed || self.words.is_empty() || self.words.iter().any(|word| title.contains(word.as_str()));
        self.skipped += usize::from(!wanted);
        wanted
    }

    /// Prints what came of a story, and returns whether the next one has the state that it needs.
    pub(crate) fn told(&mut self, title: &str, start: Instant, outcome: Result<String>) -> bool {
        let seconds = start.elapsed().as_secs_f32();
        let passed = outcome.is_ok();
        match outcome {
            Ok(said) => println!("  ok   {seconds:6.1} s  {title}{}{said}", if said.is_empty() { "" } else { ": " }),
            Err(error) => println!("  FAIL {seconds:6.1} s  {title}\n{error:#}\n"),
        }
        self.passed += usize::from(passed);
        self.failed += usize::from(!passed);
        passed
    }

    /// Whether no story has failed so far.
    pub(crate) fn all_true(&self) -> bool {
        self.failed == 0
    }

    /// Prints the count.
    pub(crate) fn end(&self) {
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
    }
}
