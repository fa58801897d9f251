//! The body of an answer on its way to the client: streamed frame by frame, counted, and the end of everything that the request held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};

use super::Lease;
use super::access_log::AccessLog;
use super::headers;
use super::request_body::Progress;
use crate::refusal::{Reason, Refusal, RefusalContext};
use crate::serve::wire::ConnectionState;

/// Dropping it, at its end or early, gives back the upstream connection, closes the connection, and writes the log line.
pub struct ResponseBody {
    body: Kind,
    ended: bool,
    in_flight: Option<InFlight>,
}

enum Kind {
    Streamed(Incoming),
    Fixed(Option<Bytes>),
}

struct InFlight {
    log: AccessLog,
    connection: Arc<ConnectionState>,
    lease: Option<Lease>,
    unread: bool,
}

impl ResponseBody {
    /// Immich's.
    pub fn streamed(body: Incoming, lease: Lease, log: AccessLog, connection: Arc<ConnectionState>) -> Self {
        Self {
            body: Kind::Streamed(body),
            ended: false,
            in_flight: Some(InFlight { log, connection, lease: Some(lease), unread: false }),
        }
    }

    /// Our own. `unread`: bytes may still come that nobody will read as a request.
    pub fn fixed(body: Bytes, unread: bool, log: AccessLog, connection: Arc<ConnectionState>) -> Self {
        Self { body: Kind::Fixed(Some(body)), ended: false, in_flight: Some(InFlight { log, connection, lease: None, unread }) }
    }

    /// That of a 101: the in_flight goes on in the tunnel.
    pub fn empty() -> Self {
        Self { body: Kind::Fixed(None), ended: true, in_flight: None }
    }
}

/// The upstream's answer becomes the client's: streamed as it comes. One that came before the request was whole closes the connection.
pub fn stream_back(
    mut response: Response<Incoming>,
    lease: Lease,
    mut log: AccessLog,
    connection: Arc<ConnectionState>,
) -> Response<ResponseBody> {
    log.status = Some(response.status().as_u16());
    headers::to_client(response.headers_mut(), false);
    if log.body_progress().is_some_and(|progress| progress != Progress::Whole) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| ResponseBody::streamed(body, lease, log, connection))
}

/// A refusal becomes the answer.
pub fn refuse(
    refusal: Refusal,
    request: ResponseContext,
    mut log: AccessLog,
    connection: Arc<ConnectionState>,
    refusal_context: &RefusalContext,
) -> Response<ResponseBody> {
    // Bytes of the body that are still on their way are why the connection must close, and linger.
    let unread = !request.bodiless && log.body_progress() != Some(Progress::Whole);
    // Where heads are not clear, what comes after them is not either (RFC 9112, 6.3).
    let unclear = matches!(refusal.reason, Reason::BadRequest | Reason::HeadersTooLarge);
    let response = refusal.answer(log.id, request.prefers_html, unread || unclear || request.draining, refusal_context);
    log.refuse(refusal);
    response.map(|body| ResponseBody::fixed(body, unread || unclear, log, connection))
}

/// An answer that is here already and is no refusal. Nobody reads the body of its request, if it has one.
pub fn fixed(
    mut response: Response<Bytes>,
    bodiless: bool,
    log: AccessLog,
    connection: Arc<ConnectionState>,
) -> Response<ResponseBody> {
    if !bodiless {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| ResponseBody::fixed(body, !bodiless, log, connection))
}

/// What a refusal has to know about its request.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// It would rather read a page than JSON.
    pub prefers_html: bool,
    /// It has no body.
    pub bodiless: bool,
    /// The process is draining: the next request belongs elsewhere.
    pub draining: bool,
}

impl Body for ResponseBody {
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
                if let (Some(in_flight), Some(data)) = (&mut this.in_flight, frame.data_ref()) {
                    in_flight.log.bytes_out += data.len() as u64;
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

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let whole = self.ended || self.is_end_stream();
        if let Some(InFlight { mut log, connection, lease, unread }) = self.in_flight.take() {
            let request_whole = log.body_progress().is_none_or(|progress| progress == Progress::Whole);
            log.complete = whole;
            if let Some(lease) = lease {
                lease.finish(whole && request_whole);
            }
            connection.end(unread || !request_whole);
        }
    }
}
