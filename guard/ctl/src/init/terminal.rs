//! The terminal of this process (`/dev/tty`), whatever standard input and output are: questions, and answers with and without an echo.

use std::fs::File;
use std::io::{Read as _, Write as _};

use anyhow::Result;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::value::Checked;

/// Where questions are asked.
pub(crate) trait Prompt {
    /// Prints a text.
    fn say(&mut self, text: &str) -> Result<()>;
    /// Asks, and returns the line.
    fn line(&mut self, question: &str) -> Result<String>;
    /// Asks until a line, which is not shown, is accepted, and returns it. What `accept` wants instead is said.
    fn hidden(&mut self, question: &str, accept: &dyn Fn(&str) -> Checked<()>) -> Result<String>;
}

/// Somebody left a question instead of answering it.
#[derive(Debug)]
pub(crate) struct Left;

impl std::fmt::Display for Left {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the question was left")
    }
}

impl std::error::Error for Left {}

/// The terminal.
pub(crate) struct Terminal(File);

impl Terminal {
    /// None if this process has no terminal.
    pub(crate) fn open() -> Option<Self> {
        File::options().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// One line, byte by byte: what is behind it stays for the next question.
    fn read(&mut self, is_raw: bool) -> Result<Vec<u8>> {
        const CONTROL_C: u8 = 3;
        const CONTROL_D: u8 = 4;
        const CONTROL_U: u8 = 21;
        const BACKSPACE: [u8; 2] = [8, 127];
        let mut typed = Vec::new();
        loop {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                return Err(Left.into());
            }
            match byte[0] {
                b'\r' | b'\n' => return Ok(typed),
                CONTROL_C | CONTROL_D if is_raw => return Err(Left.into()),
                CONTROL_U if is_raw => typed.clear(),
                byte if is_raw && BACKSPACE.contains(&byte) => drop(typed.pop()),
                byte => typed.push(byte),
            }
        }
    }
}

impl Prompt for Terminal {
    fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.0.write_all(text.as_bytes())?)
    }

    fn line(&mut self, question: &str) -> Result<String> {
        self.say(question)?;
        Ok(String::from_utf8_lossy(&self.read(false)?).into_owned())
    }

    /// Control-C comes as a byte here, not as a signal: the echo is on again in any case.
    fn hidden(&mut self, question: &str, accept: &dyn Fn(&str) -> Checked<()>) -> Result<String> {
        // Until a line is accepted: what stands behind the line break of a pasted secret is a secret, too.
        let _silent = Silent::of(&self.0)?;
        loop {
            self.say(question)?;
            let typed = self.read(true);
            self.say("\n")?;
            let typed = String::from_utf8_lossy(&typed?).into_owned();
            match accept(typed.trim()) {
                Ok(()) => return Ok(typed),
                Err(wanted) => self.say(&format!("   ✗ {wanted}\n"))?,
            }
        }
    }
}

/// A terminal without an echo, until this value is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn of(terminal: &File) -> Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
