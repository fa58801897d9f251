//! Text on a terminal: colours, and a line that says what takes time.
//!
//! `NO_COLOR`, if it is not empty, switches colours off (the convention of that name). Without a terminal there are neither colours nor progress.

use std::io::{IsTerminal, Write as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether there are colours.
    pub colour: bool,
}

/// A colour of the terminal, as an SGR code (ECMA-48, 8.3.117).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Right.
    Green,
    /// To be changed.
    Yellow,
    /// Wrong.
    Red,
    /// Not important.
    Dim,
    /// The one line to read.
    Bold,
    /// Both.
    BoldRed,
}

impl Style {
    /// The style for this stream.
    pub fn of(stream: &impl IsTerminal) -> Self {
        Self { colour: wants_colour(stream.is_terminal(), |name| std::env::var(name).ok()) }
    }

    /// Returns the text in a colour, or as it is.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
            Colour::Dim => "2",
            Colour::Bold => "1",
            Colour::BoldRed => "1;31",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn wants_colour(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let has_no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = variable("TERM").is_some_and(|value| value == "dumb");
    is_terminal && !has_no_color && !is_dumb
}

/// When the line is shown first: what ends before needs none.
const FIRST: Duration = Duration::from_secs(1);
/// How often it is written again.
const AGAIN: Duration = Duration::from_millis(500);

/// A line on standard error that says what takes time, after the first second and until it is dropped.
pub struct Progress {
    writer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Starts it: `what` is being done.
    #[must_use]
    pub fn start(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { writer: None };
        }
        let (stop, stopped) = channel();
        let writer = std::thread::spawn(move || {
            let (began, mut pause, mut has_text) = (Instant::now(), FIRST, false);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // A terminal that is gone is no error of what is being done.
                let _ = write!(std::io::stderr(), "\r{}", line(what, began.elapsed()));
                (pause, has_text) = (AGAIN, true);
            }
            if has_text {
                // Back to the start of the line, and delete it.
                let _ = write!(std::io::stderr(), "\r\u{1b}[K");
            }
        });
        Self { writer: Some((stop, writer)) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, writer)) = self.writer.take() {
            drop(stop);
            // Waits until the line is deleted, so that it is not written into the output.
            let _ = writer.join();
        }
    }
}

fn line(what: &str, elapsed: Duration) -> String {
    format!("{what} … {} s", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_and_no_color_switches_them_off() {
        let with = |is_terminal, name: &'static str, value: &'static str| {
            wants_colour(is_terminal, move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with(true, "TERM", "xterm"));
        assert!(!with(false, "TERM", "xterm"));
        assert!(!with(true, "NO_COLOR", "1"));
        assert!(!with(true, "NO_COLOR", "0"), "any text counts");
        assert!(with(true, "NO_COLOR", ""), "an empty variable does not count");
        assert!(!with(true, "TERM", "dumb"));
    }

    #[test]
    fn text_without_colours_is_as_it_was() {
        assert_eq!(Style { colour: false }.paint(Colour::Red, "error"), "error");
        assert_eq!(Style { colour: true }.paint(Colour::Red, "error"), "\u{1b}[31merror\u{1b}[0m");
    }

    #[test]
    fn the_line_says_what_takes_time_and_how_long() {
        assert_eq!(line("looking at the cluster", Duration::from_millis(2900)), "looking at the cluster … 2 s");
    }
}
