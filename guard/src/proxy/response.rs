//! The response on its way to the client: its body is streamed frame by frame and counted, and its end releases what the request held.

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
use crate::identity::Identity;
use crate::refusal::language::Language;
use crate::refusal::page::PageContext;
use crate::refusal::{Reason, Refusal, RefusalContext};
use crate::serve::connection_state::ConnectionState;

/// The body of a response. When it is dropped, at its end or early, the upstream connection is returned or cut, the client's connection is told
/// that the response has ended, and the access log line is written.
pub struct ResponseBody {
    body: Kind,
    ended: bool,
    in_flight: Option<InFlight>,
}

enum Kind {
    Streamed(Incoming),
    Fixed(Option<Bytes>),
}

/// What the request holds until its response has ended.
struct InFlight {
    log: AccessLog,
    connection: Arc<ConnectionState>,
    lease: Option<Lease>,
    unread: bool,
}

impl ResponseBody {
    /// A body of the upstream.
    pub fn streamed(body: Incoming, lease: Lease, log: AccessLog, connection: Arc<ConnectionState>) -> Self {
        Self {
            body: Kind::Streamed(body),
            ended: false,
            in_flight: Some(InFlight { log, connection, lease: Some(lease), unread: false }),
        }
    }

    /// A body that guard made. `unread`: more bytes of the request may arrive, which are not the next request.
    pub fn fixed(body: Bytes, unread: bool, log: AccessLog, connection: Arc<ConnectionState>) -> Self {
        Self { body: Kind::Fixed(Some(body)), ended: false, in_flight: Some(InFlight { log, connection, lease: None, unread }) }
    }

    /// The empty body of a 101. The tunnel holds the rest of the request's state.
    pub fn empty() -> Self {
        Self { body: Kind::Fixed(None), ended: true, in_flight: None }
    }
}

/// Streams the upstream's response to the client. If it came before the whole request body was sent, the connection is closed after it.
pub fn stream_back(
    mut response: Response<Incoming>,
    lease: Lease,
    mut log: AccessLog,
    connection: Arc<ConnectionState>,
) -> Response<ResponseBody> {
    log.status = Some(response.status().as_u16());
    log.record_own_time();
    headers::to_client(response.headers_mut(), false);
    if log.body_progress().is_some_and(|progress| progress != Progress::Whole) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| ResponseBody::streamed(body, lease, log, connection))
}

/// Makes the response from a refusal.
pub fn refuse(
    refusal: Refusal,
    request: ResponseContext,
    mut log: AccessLog,
    connection: Arc<ConnectionState>,
    refusal_context: &RefusalContext,
) -> Response<ResponseBody> {
    // Bytes of the body may still arrive, so the connection is closed, after a linger.
    let unread = !request.bodiless && log.body_progress() != Some(Progress::Whole);
    // After a malformed head the rest of the connection cannot be parsed either (RFC 9112, 6.3).
    let unclear = matches!(refusal.reason, Reason::BadRequest | Reason::HeadersTooLarge);
    let address = log.who.as_deref().and_then(Identity::verified_address);
    let page = request.page.map(|language| PageContext { language, address });
    let response = refusal.answer(log.id, page, unread || unclear || request.draining, refusal_context);
    log.refuse(refusal);
    response.map(|body| ResponseBody::fixed(body, unread || unclear, log, connection))
}

/// Makes the response from one that is complete already and is no refusal. The body of the request is not read.
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

/// The facts about a request that its refusal depends on.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// The language of the page, where the client prefers a page to JSON.
    pub page: Option<Language>,
    /// The request has no body.
    pub bodiless: bool,
    /// The process is draining, so the connection is closed.
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
