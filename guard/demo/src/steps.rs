//! How a story is told: one line a step, with a mark that says whether it was as wanted, and a sum at the end.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};

use super::client::Answer;

/// The steps so far.
pub(super) struct Steps {
    color: bool,
    told: usize,
    wrong: usize,
}

impl Steps {
    /// None yet. Colours where a person looks.
    pub(super) fn new() -> Self {
        Self { color: io::stdout().is_terminal(), told: 0, wrong: 0 }
    }

    /// A new part.
    pub(super) fn part(&self, title: &str) {
        if self.color { println!("\n\x1b[1m{title}\x1b[0m") } else { println!("\n{title}") }
    }

    /// One step: what was done, what came of it, whether that is right, and what it proves.
    pub(super) fn step(&mut self, done: &str, got: impl Display, right: bool, proves: &str) {
        self.told += 1;
        let mark = match (right, self.color) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "✓",
            (false, true) => "\x1b[31m✗\x1b[0m",
            (false, false) => "✗",
        };
        if !right {
            self.wrong += 1;
        }
        let got = got.to_string();
        let line = format!("  {mark} {got:<22} {done:<62} {proves}");
        println!("{}", line.trim_end());
    }

    /// A step that must get `wanted`.
    pub(super) fn wants(&mut self, wanted: u16, done: &str, answer: &io::Result<Answer>, proves: &str) {
        match answer {
            Ok(answer) => self.step(done, answer.status, answer.status == wanted, proves),
            Err(error) => self.step(done, error, false, proves),
        }
    }

    /// The sum; `true` if every step was as wanted.
    pub(super) fn end(&self) -> bool {
        println!("\n{} of {} steps were as wanted.", self.told - self.wrong, self.told);
        self.wrong == 0
    }
}
