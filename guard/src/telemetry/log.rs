//! Writes each `tracing` event as one line of JSON, or of text, to standard output.
//!
//! Own code because it is on the request path: fields are written directly into a reused buffer, and one thread writes many lines with one
//! system call. When the buffer is full, lines are dropped and counted. A request never waits for the log.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock;

/// The maximum of bytes that may wait to be written.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// How long lines are collected before they are written together.
const GATHER: Duration = Duration::from_millis(5);

/// `GUARD_LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Plain text, for a terminal.
    Text,
}

/// `GUARD_LOG_IDENTITY`: the claim by which the log names a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogIdentity {
    /// The stable id (`sub`).
    #[default]
    Sub,
    /// The e-mail address (`email`).
    Email,
}

/// The handle of the log. Flush it before the process ends.
pub struct Log {
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    dropped: u64,
    writing: bool,
}

impl Log {
    /// Installs the process's subscriber. A second call changes nothing.
    pub fn install(filter: Targets, format: Format) -> Self {
        let waiting = Arc::new(Waiting::default());
        let writer = waiting.clone();
        // Without the writer thread, lines are dropped and counted; requests are served all the same.
        let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_for_ever());
        let lines = LineLayer { waiting: waiting.clone(), format };
        let _ = Registry::default().with(filter).with(lines).try_init();
        Self { waiting }
    }

    /// Waits until every line so far is written, for at most a second without progress.
    pub fn flush(&self) {
        let mut lines = self.waiting.lines();
        while !lines.bytes.is_empty() || lines.writing {
            let (next, waited) =
                self.waiting.changed.wait_timeout(lines, Duration::from_secs(1)).unwrap_or_else(PoisonError::into_inner);
            lines = next;
            if waited.timed_out() {
                return;
            }
        }
    }
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lines();
        if lines.bytes.len() + line.len() > MAX_WAITING_BYTES {
            lines.dropped += 1;
            return;
        }
        let first = lines.bytes.is_empty() && !lines.writing;
        lines.bytes.extend_from_slice(line);
        drop(lines);
        if first {
            self.changed.notify_all();
        }
    }

    fn write_for_ever(&self) {
        let mut batch = Vec::new();
        loop {
            let mut lines = self.lines();
            while lines.bytes.is_empty() {
                lines.writing = false;
                self.changed.notify_all();
                lines = self.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            lines.writing = true;
            drop(lines);
            std::thread::sleep(GATHER);
            let mut lines = self.lines();
            std::mem::swap(&mut batch, &mut lines.bytes);
            let dropped = std::mem::take(&mut lines.dropped);
            drop(lines);
            if dropped > 0 {
                let _ = writeln!(
                    batch,
                    "{{\"level\":\"warn\",\"message\":\"{dropped} log lines dropped: the reader of stdout is slow\"}}"
                );
            }
            // An error means that standard output is closed, and there is no other place to report it.
            let _ = std::io::stdout().write_all(&batch);
            batch.clear();
        }
    }
}

struct LineLayer {
    waiting: Arc<Waiting>,
    format: Format,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            let level = level(*event.metadata().level());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            match self.format {
                Format::Json => {
                    line.push_str("{\"time\":\"");
                    clock::push_rfc3339(line, now);
                    let _ = write!(line, "\",\"level\":\"{level}\"");
                    event.record(&mut JsonFields(line));
                    line.push_str("}\n");
                }
                Format::Text => {
                    clock::push_rfc3339(line, now);
                    let _ = write!(line, " {level:5}");
                    event.record(&mut TextFields(line));
                    line.push('\n');
                }
            }
            self.waiting.push(line.as_bytes());
        });
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

struct JsonFields<'l>(&'l mut String);

impl JsonFields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }
}

impl Visit for JsonFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        push_escaped(self.0, value);
        self.0.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        let _ = if value.is_finite() { write!(self.0, "{value}") } else { write!(self.0, "null") };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.name(field);
        self.0.push('"');
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }
}

struct TextFields<'l>(&'l mut String);

impl Visit for TextFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = if field.name() == "message" { write!(self.0, " ") } else { write!(self.0, " {}=", field.name()) };
        push_escaped(self.0, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = if field.name() == "message" { write!(self.0, " ") } else { write!(self.0, " {}=", field.name()) };
        let _ = write!(Escaped(self.0), "{value:?}");
    }
}

struct Escaped<'l>(&'l mut String);

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

/// Escapes text as RFC 8259, section 7 does. In text lines too, so that a client cannot start a new log line.
fn push_escaped(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(place) = rest.find(|c: char| c == '"' || c == '\\' || c.is_control()) {
        line.push_str(&rest[..place]);
        let mut chars = rest[place..].chars();
        match chars.next() {
            Some('"') => line.push_str("\\\""),
            Some('\\') => line.push_str("\\\\"),
            Some(other) => {
                let _ = write!(line, "\\u{:04x}", other as u32);
            }
            None => {}
        }
        rest = chars.as_str();
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_write_log_lines_of_its_own() {
        let mut line = String::new();
        push_escaped(&mut line, "a\"b\\c\nd\u{1b}é");
        assert_eq!(line, "a\\\"b\\\\c\\u000ad\\u001bé");
        assert_eq!(serde_json::from_str::<String>(&format!("\"{line}\"")).unwrap(), "a\"b\\c\nd\u{1b}é");
    }
}
