//! The request body on its way to the upstream, with its limits of size and of time between two pieces.
//!
//! Exactly N bytes pass. At byte N+1 the upstream connection is broken off, so that the upstream has no complete message to store. A declared
//! length is checked before a byte is read. A body that stops arriving is ended after [`STALL_LIMIT`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::HeaderName;
use tokio::time::{Instant, Sleep, sleep};

use super::headers;
use crate::header_fields::content_length;
use crate::refusal::{Reason, Refusal};

/// How long guard waits for the next byte of a body before the request counts as stalled. Time in which the upstream reads nothing does not
/// count.
pub const STALL_LIMIT: Duration = Duration::from_secs(60);

/// How long the whole body of a request without an identity may take: such a body is a sign-in form.
pub const ANONYMOUS_BODY_TIME: Duration = Duration::from_secs(30);

/// Refuses a request whose declared length is above the limit, before its body is read and before the upstream is connected to.
pub fn declared<B>(request: &Request<B>, limit: Option<u64>) -> Result<(), Refusal> {
    match (content_length(request.headers()), limit) {
        (Some(length), Some(limit)) if length > limit => {
            Err(Refusal::new(Reason::BodyTooLarge, format!("declared {length} bytes, the limit is {limit}")))
        }
        _ => Ok(()),
    }
}

/// The progress of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    /// More bytes may arrive.
    Arriving,
    /// The whole body has been forwarded.
    Whole,
    /// It is larger than the limit.
    TooLarge,
    /// No byte arrived for [`STALL_LIMIT`].
    Stalled,
    /// The client ended the connection inside the body.
    Broken,
}

/// The byte count and the progress of a body, shared by the body and the request's handler.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    progress: AtomicU8,
}

impl Meter {
    /// The bytes forwarded so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// The progress.
    pub fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::Arriving,
            1 => Progress::Whole,
            2 => Progress::TooLarge,
            3 => Progress::Stalled,
            _ => Progress::Broken,
        }
    }

    /// The refusal for a body that did not end well; none for one that did, or has not ended.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.progress() {
            Progress::Arriving | Progress::Whole => None,
            Progress::TooLarge => Some(Refusal::new(Reason::BodyTooLarge, "streamed more bytes than the limit")),
            Progress::Stalled => Some(Refusal::new(
                Reason::RequestTimeout,
                format!(
                    "the body did not arrive in time: no byte for {STALL_LIMIT:?}, or no end within {ANONYMOUS_BODY_TIME:?} without an identity"
                ),
            )),
            Progress::Broken => Some(Refusal::new(Reason::BadRequest, "the client broke off inside the body")),
        }
    }

    fn set(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Release);
    }
}

/// Why a body ended early. The upstream connection is then broken off, so that the upstream has no complete message.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// No byte arrived for [`STALL_LIMIT`].
    #[error("the body stopped arriving")]
    Stalled,
    /// A body that guard makes ended before its last byte.
    #[error("the body ended before its last byte")]
    Incomplete,
    /// The client ended the connection, or sent malformed chunks.
    #[error("the client broke off: {0}")]
    Client(#[from] hyper::Error),
}

/// The body of a request to an upstream.
pub enum RequestBody {
    /// No body.
    Empty,
    /// A body that is streamed and counted.
    MeteredBody(MeteredBody),
    /// A body that is in memory, so that it can be sent again; none once it was sent.
    Whole(Option<Bytes>),
    /// A body that guard makes while it is sent.
    Made(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl RequestBody {
    /// Wraps a client's body. `own` are the headers that are removed from its trailers.
    pub fn new(body: Incoming, limit: Option<u64>, own: &Arc<[HeaderName]>) -> (Self, Option<Arc<Meter>>) {
        if body.is_end_stream() {
            return (Self::Empty, None);
        }
        let (metered, meter) = MeteredBody::new(body, limit.unwrap_or(u64::MAX), own.clone());
        (Self::MeteredBody(metered), Some(meter))
    }

    /// Limits the time of the whole body, from now on.
    pub fn end_within(&mut self, time: Duration) {
        if let Self::MeteredBody(metered) = self {
            metered.end = Some(Box::pin(sleep(time)));
        }
    }

    /// A body that is in memory.
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(Some(bytes)) }
    }

    /// Reads the whole body, `expected` bytes, into memory. Trailers are dropped.
    pub async fn collect(mut self, expected: usize) -> Result<Bytes, BodyError> {
        let mut whole = Bytes::new();
        let mut gathered: Option<Vec<u8>> = None;
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            let Ok(data) = frame?.into_data() else { continue };
            match &mut gathered {
                // A body that arrives in one piece is not copied.
                None if whole.is_empty() => whole = data,
                None => {
                    let mut bytes = Vec::with_capacity(expected.max(whole.len() + data.len()));
                    bytes.extend_from_slice(&whole);
                    bytes.extend_from_slice(&data);
                    gathered = Some(bytes);
                }
                Some(bytes) => bytes.extend_from_slice(&data),
            }
        }
        Ok(gathered.map_or(whole, Bytes::from))
    }
}

/// A body that counts its bytes and enforces the limits.
pub struct MeteredBody<B = Incoming> {
    body: B,
    limit: u64,
    own: Arc<[HeaderName]>,
    meter: Arc<Meter>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when guard has waited for the next byte.
    waiting_since: Option<Instant>,
    /// The end of the time for the whole body, where it is limited.
    end: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> MeteredBody<B> {
    fn new(body: B, limit: u64, own: Arc<[HeaderName]>) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        (Self { body, limit, own, meter: meter.clone(), timer: None, waiting_since: None, end: None }, meter)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            self.meter.set(Progress::Stalled);
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.waiting_since = None;
        }
        let frame = match polled {
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
        if self.body.is_end_stream() {
            self.meter.set(Progress::Whole);
        }
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                headers::trailers_to_upstream(&mut trailers, &self.own);
                Frame::trailers(trailers)
            }
            Err(data) => data,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    /// Ends the body after [`STALL_LIMIT`]. One timer serves the whole body: it is reset when it fires, not with each frame.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + STALL_LIMIT;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                self.meter.set(Progress::Stalled);
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::MeteredBody(metered) => metered.poll(cx),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Made(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::MeteredBody(metered) => metered.body.is_end_stream(),
            Self::Whole(bytes) => bytes.is_none(),
            Self::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::MeteredBody(metered) => metered.body.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Made(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A client that has sent these pieces and then sends no more; `None` ends the body.
    struct Script(VecDeque<Option<&'static [u8]>>);

    impl Body for Script {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            match self.0.pop_front() {
                Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
                Some(None) => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn body(pieces: &[Option<&'static [u8]>], limit: u64) -> (MeteredBody<Script>, Arc<Meter>) {
        MeteredBody::new(Script(pieces.iter().copied().collect()), limit, Arc::new([]))
    }

    async fn next(body: &mut MeteredBody<Script>) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| body.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_n_bytes_pass_and_the_piece_with_byte_n_plus_1_does_not() {
        let (mut exact, meter) = body(&[Some(b"abc"), Some(b"de"), None], 5);
        while let Some(frame) = next(&mut exact).await {
            assert!(frame.is_ok());
        }
        assert_eq!((meter.bytes(), meter.progress()), (5, Progress::Whole));

        let (mut above, meter) = body(&[Some(b"abc"), Some(b"def"), None], 5);
        assert!(matches!(next(&mut above).await, Some(Ok(_))));
        assert!(matches!(next(&mut above).await, Some(Err(BodyError::TooLarge))));
        assert_eq!((meter.bytes(), meter.progress()), (3, Progress::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_owes_a_byte_for_too_long_has_stalled() {
        let (mut stalled, meter) = body(&[Some(b"abc")], 5);
        assert!(matches!(next(&mut stalled).await, Some(Ok(_))));
        let before = Instant::now();
        assert!(matches!(next(&mut stalled).await, Some(Err(BodyError::Stalled))));
        assert_eq!(before.elapsed().as_secs(), STALL_LIMIT.as_secs());
        assert_eq!(meter.refusal().map(|refusal| refusal.reason), Some(Reason::RequestTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_identity_has_an_end_however_often_a_byte_comes() {
        let (mut slow, meter) = body(&[], 100);
        slow.end = Some(Box::pin(sleep(ANONYMOUS_BODY_TIME)));
        let before = Instant::now();
        loop {
            tokio::time::advance(Duration::from_secs(1)).await;
            slow.body.0.push_back(Some(b"x"));
            if matches!(next(&mut slow).await, Some(Err(BodyError::Stalled))) {
                break;
            }
        }
        assert_eq!(before.elapsed().as_secs(), ANONYMOUS_BODY_TIME.as_secs());
        assert_eq!(meter.refusal().map(|refusal| refusal.reason), Some(Reason::RequestTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_immich_takes_nothing_is_not_the_clients() {
        let (mut slow, meter) = body(&[], 5);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(slow.poll(&mut cx).is_pending(), "the client owes a byte");
        slow.body.0.push_back(Some(b"abc"));
        tokio::time::advance(STALL_LIMIT * 3).await;
        assert!(slow.poll(&mut cx).is_ready(), "it came long ago, and Immich takes it only now");
        assert!(slow.poll(&mut cx).is_pending(), "and the wait for the next begins only now");
        assert_eq!(meter.progress(), Progress::Arriving);
    }
}
