//! What can go wrong: an answer of any status, something that is no JSON, half of it, nothing at all, or nothing although the work was done.

use super::Asked;
use super::reply::Reply;

/// A fault, and the calls that it meets.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The method; empty means any.
    method: String,
    /// A part of the path; empty means any.
    path: String,
    /// From this call on, counted from 1.
    from: usize,
    /// So many calls.
    times: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Error { status: u16, code: i64, message: String, retry_after: Option<u64> },
    Html,
    Truncated,
    Empty,
    Close { is_done: bool },
    Hold { is_done: bool },
}

/// What happens to a call.
pub(super) enum Verdict {
    /// It is answered.
    Answer(Reply),
    /// Its connection closes.
    Close,
    /// It waits for ever.
    Hold,
}

impl Fault {
    fn new(method: &str, path: &str, kind: Kind) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), from: 1, times: usize::MAX, kind }
    }

    /// An error in Cloudflare's envelope.
    pub fn error(method: &str, path: &str, status: u16, code: i64, message: &str) -> Self {
        Self::new(method, path, Kind::Error { status, code, message: message.to_owned(), retry_after: None })
    }

    /// 429 with `Retry-After`.
    pub fn limited(method: &str, path: &str, seconds: u64) -> Self {
        let message = "Please wait and consider throttling your request speed".to_owned();
        Self::new(method, path, Kind::Error { status: 429, code: 971, message, retry_after: Some(seconds) })
    }

    /// 502 with a page.
    pub fn html(method: &str, path: &str) -> Self {
        Self::new(method, path, Kind::Html)
    }

    /// The first half of the right answer.
    pub fn truncated(method: &str, path: &str) -> Self {
        Self::new(method, path, Kind::Truncated)
    }

    /// 200 without a body.
    pub fn empty(method: &str, path: &str) -> Self {
        Self::new(method, path, Kind::Empty)
    }

    /// No answer: the connection closes, before or after the work was done.
    pub fn close(method: &str, path: &str, is_done: bool) -> Self {
        Self::new(method, path, Kind::Close { is_done })
    }

    /// No answer, ever, before or after the work was done.
    pub fn hold(method: &str, path: &str, is_done: bool) -> Self {
        Self::new(method, path, Kind::Hold { is_done })
    }

    /// Only so many calls.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Only from this call on; the first is 1.
    #[must_use]
    pub fn from_call(mut self, number: usize) -> Self {
        self.from = number;
        self
    }

    /// Whether the work is done although the answer is not the right one.
    pub(super) fn is_done_first(&self) -> bool {
        matches!(self.kind, Kind::Truncated | Kind::Close { is_done: true } | Kind::Hold { is_done: true })
    }

    pub(super) fn verdict(self, reply: Reply) -> Verdict {
        match self.kind {
            Kind::Error { status, code, message, retry_after } => {
                Verdict::Answer(Reply::error(status, code, &message).retry_after(retry_after))
            }
            Kind::Html => {
                Verdict::Answer(Reply::html(502, "<html><title>502 Bad Gateway</title><center>cloudflare</center></html>"))
            }
            Kind::Truncated => Verdict::Answer(reply.truncated()),
            Kind::Empty => Verdict::Answer(Reply::html(200, "")),
            Kind::Close { .. } => Verdict::Close,
            Kind::Hold { .. } => Verdict::Hold,
        }
    }
}

/// The faults that are planted.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn plant(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The fault that meets this call.
    pub(super) fn take(&mut self, number: usize, asked: &Asked) -> Option<Fault> {
        let meets = |fault: &&mut Fault| {
            fault.times > 0
                && number >= fault.from
                && (fault.method.is_empty() || fault.method == asked.method)
                && asked.path.contains(&fault.path)
        };
        let fault = self.0.iter_mut().find(meets)?;
        fault.times -= 1;
        Some(fault.clone())
    }
}
