//! The body of an answer on its way to the client: streamed frame by frame, counted, and the end of everything that the request held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::limit::Progress;
use super::record::Record;
use super::upstream::Lease;
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
