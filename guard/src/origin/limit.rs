//! A body that counts and stops: exactly N bytes pass, byte N+1 does not, and what was passed is then not a whole message.
//!
//! The declared length is decided before a byte is read; the streamed length here. A body that stops arriving ends too.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_LENGTH;
use tokio::time::{Instant, Sleep, sleep};

use super::headers;
use crate::refusal::{Reason, Refusal};

/// How long a body may go without a byte before the request counts as stalled.
pub const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Refuses a request whose declared length is above the limit: nothing was read yet, and Immich was not dialled.
pub fn declared<B>(request: &Request<B>, limit: Option<u64>) -> Result<(), Refusal> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match (length, limit) {
        (Some(length), Some(limit)) if length > limit => {
            Err(Refusal::new(Reason::BodyTooLarge, format!("declared {length} bytes, the limit is {limit}")))
        }
        _ => Ok(()),
    }
}

/// How the body of a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    /// More may come.
    Arriving,
    /// All of it has passed.
    Whole,
    /// Byte N+1 came.
    TooLarge,
    /// No byte for [`STALL_LIMIT`].
    Stalled,
    /// The client broke off.
    Broken,
}

/// The count that the body's owner and the request's owner share.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    progress: AtomicU8,
}

impl Meter {
    /// Bytes passed on so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// How the body stands.
    pub fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::Arriving,
            1 => Progress::Whole,
            2 => Progress::TooLarge,
            3 => Progress::Stalled,
            _ => Progress::Broken,
        }
    }

    /// The refusal that a body's end calls for, if it ended badly.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.progress() {
            Progress::Arriving | Progress::Whole => None,
            Progress::TooLarge => Some(Refusal::new(Reason::BodyTooLarge, "streamed more bytes than the limit")),
            Progress::Stalled => Some(Refusal::new(Reason::RequestTimeout, format!("no byte of the body for {STALL_LIMIT:?}"))),
            Progress::Broken => Some(Refusal::new(Reason::BadRequest, "the client broke off inside the body")),
        }
    }

    fn set(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Release);
    }
}

/// Why a body ended early. The upstream connection is broken off on it, so that Immich has no whole message.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Byte N+1 came.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// No byte for [`STALL_LIMIT`].
    #[error("the body stopped arriving")]
    Stalled,
    /// The client broke off, or sent bad chunks.
    #[error("the client broke off: {0}")]
    Client(#[from] hyper::Error),
}

/// A request's body on its way to Immich.
pub enum Outgoing {
    /// None.
    Empty,
    /// One that is counted.
    Metered(Metered),
}

impl Outgoing {
    /// Wraps a client's body. One that is known to be empty costs nothing.
    pub fn new(body: Incoming, limit: Option<u64>) -> (Self, Option<Arc<Meter>>) {
        if body.is_end_stream() {
            return (Self::Empty, None);
        }
        let meter = Arc::new(Meter::default());
        let metered = Metered { body, limit: limit.unwrap_or(u64::MAX), meter: meter.clone(), stall: None, last: Instant::now() };
        (Self::Metered(metered), Some(meter))
    }
}

/// The counting body.
pub struct Metered {
    body: Incoming,
    limit: u64,
    meter: Arc<Meter>,
    stall: Option<Pin<Box<Sleep>>>,
    last: Instant,
}

impl Metered {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => return self.poll_stall(cx),
            Poll::Ready(None) => {
                self.meter.set(Progress::Whole);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                self.meter.set(Progress::Broken);
                return Poll::Ready(Some(Err(error.into())));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let total = self.meter.bytes().saturating_add(data.len() as u64);
            if total > self.limit {
                self.meter.set(Progress::TooLarge);
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            }
            self.meter.bytes.store(total, Ordering::Release);
        }
        self.last = Instant::now();
        if self.body.is_end_stream() {
            self.meter.set(Progress::Whole);
        }
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                headers::trailers_to_upstream(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(data) => data,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    /// One timer for the whole body: it is moved on only when it fires, not with every frame.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        loop {
            ready!(stall.as_mut().poll(cx));
            let deadline = self.last + STALL_LIMIT;
            if deadline <= Instant::now() {
                self.meter.set(Progress::Stalled);
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
            stall.as_mut().reset(deadline);
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Metered(metered) => metered.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Metered(metered) => metered.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Metered(metered) => metered.body.size_hint(),
        }
    }
}
