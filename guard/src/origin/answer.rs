//! The body of an answer on its way to the client: streamed frame by frame, counted, and the end of everything that the request held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};

use super::Lease;
use super::headers;
use super::limit::Progress;
use super::record::Record;
use crate::refusal::{Reason, Refusal, Signpost};
use crate::serve::wire::Exchange;

/// Dropping it, at its end or early, gives back the upstream connection, closes the exchange, and writes the log line.
pub struct Answer {
    body: Kind,
    ended: bool,
    story: Option<Story>,
}

enum Kind {
    Streamed(Incoming),
    Fixed(Option<Bytes>),
}

struct Story {
    record: Record,
    exchange: Arc<Exchange>,
    lease: Option<Lease>,
    unread: bool,
}

impl Answer {
    /// Immich's.
    pub fn streamed(body: Incoming, lease: Lease, record: Record, exchange: Arc<Exchange>) -> Self {
        Self {
            body: Kind::Streamed(body),
            ended: false,
            story: Some(Story { record, exchange, lease: Some(lease), unread: false }),
        }
    }

    /// Our own. `unread`: bytes may still come that nobody will read as a request.
    pub fn fixed(body: Bytes, unread: bool, record: Record, exchange: Arc<Exchange>) -> Self {
        Self { body: Kind::Fixed(Some(body)), ended: false, story: Some(Story { record, exchange, lease: None, unread }) }
    }

    /// That of a 101: the story goes on in the tunnel.
    pub fn empty() -> Self {
        Self { body: Kind::Fixed(None), ended: true, story: None }
    }
}

/// The upstream's answer becomes the client's: streamed as it comes. One that came before the request was whole closes the connection.
pub fn stream_back(
    mut response: Response<Incoming>,
    lease: Lease,
    mut record: Record,
    exchange: Arc<Exchange>,
) -> Response<Answer> {
    record.status = Some(response.status().as_u16());
    headers::to_client(response.headers_mut(), false);
    if record.body_progress().is_some_and(|progress| progress != Progress::Whole) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Answer::streamed(body, lease, record, exchange))
}

/// A refusal becomes the answer.
pub fn refuse(
    refusal: Refusal,
    client: Client,
    mut record: Record,
    exchange: Arc<Exchange>,
    signpost: &Signpost,
) -> Response<Answer> {
    // Bytes of the body that are still on their way are why the connection must close, and linger.
    let unread = !client.bodiless && record.body_progress() != Some(Progress::Whole);
    // Where heads are not clear, what comes after them is not either (RFC 9112, 6.3).
    let unclear = matches!(refusal.reason, Reason::BadRequest | Reason::HeadersTooLarge);
    let response = refusal.answer(record.id, client.prefers_html, unread || unclear || client.draining, signpost);
    record.refuse(refusal);
    response.map(|body| Answer::fixed(body, unread || unclear, record, exchange))
}

/// An answer that is here already and is no refusal. Nobody reads the body of its request, if it has one.
pub fn fixed(mut response: Response<Bytes>, bodiless: bool, record: Record, exchange: Arc<Exchange>) -> Response<Answer> {
    if !bodiless {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Answer::fixed(body, !bodiless, record, exchange))
}

/// What a refusal has to know about its request.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// It would rather read a page than JSON.
    pub prefers_html: bool,
    /// It has no body.
    pub bodiless: bool,
    /// The process is draining: the next request belongs elsewhere.
    pub draining: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.body {
            Kind::Streamed(body) => Pin::new(body).poll_frame(cx),
            Kind::Fixed(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(story), Some(data)) = (&mut this.story, frame.data_ref()) {
                    story.record.bytes_out += data.len() as u64;
                }
            }
            Poll::Ready(None) => this.ended = true,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Streamed(body) => body.is_end_stream(),
            Kind::Fixed(body) => body.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Streamed(body) => body.size_hint(),
            Kind::Fixed(body) => SizeHint::with_exact(body.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let whole = self.ended || self.is_end_stream();
        if let Some(Story { mut record, exchange, lease, unread }) = self.story.take() {
            let request_whole = record.body_progress().is_none_or(|progress| progress == Progress::Whole);
            record.complete = whole;
            if let Some(lease) = lease {
                lease.finish(whole && request_whole);
            }
            exchange.end(unread || !request_whole);
        }
    }
}
