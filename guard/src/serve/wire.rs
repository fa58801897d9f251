//! Wraps a client's socket for hyper, for three things that hyper has no option for.
//!
//! - Lingering close: it half-closes the socket, then reads and discards, bounded in bytes and time. If a socket is closed with unread
//!   bytes, the kernel sends RST, and cloudflared (Go's `http.Transport`) reports a write error and loses the 413 response.
//! - A time limit for a request head, separate from the idle time of a connection.
//! - A scan of each head ([`HeadScan`]), also of pipelined ones: hyper gets the bytes of one message at a time. And guard's refusal in
//!   place of hyper's bare 400, 414 and 431.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::chunks::ChunkScan;
use super::connection_state::{AWAITING_HEAD, ConnectionState, HANDLING, NOT_SCANNED, RESPONDED};
use super::head::{Ambiguity, Framing, HeadScan};
use crate::memory::{HEAD_KIB, Reservation, SMALL_HEAD_BYTES};

/// The maximum number of bytes that are read and discarded after a refusal. A client that sends 200 MiB without reading should still get
/// the 413 response.
pub const LINGER_BYTES: u64 = 512 * 1024 * 1024;
/// How long bytes are read and discarded after a refusal.
pub const LINGER_TIME: Duration = Duration::from_secs(30);
/// How long a request head may take from its first byte. Protects against slowloris attacks.
pub const HEAD_TIME: Duration = Duration::from_secs(20);

/// How long a client without an identity may read nothing of its response. A person may: a paused video stands for hours.
pub const WRITE_TIME: Duration = Duration::from_secs(30);

/// The size of the buffer for discarded bytes. It is small because thousands of sockets may linger at once.
const DISCARD_BUFFER_BYTES: usize = 16 * 1024;

/// A client's socket, as hyper reads and writes it.
pub struct Wire {
    stream: TcpStream,
    connection: Arc<ConnectionState>,
    head: HeadScan,
    reading: Reading,
    /// The bytes of the current head so far.
    head_bytes: usize,
    /// The share of a large head, until its response is sent.
    head_reservation: Option<Reservation>,
    /// Bytes that were read behind the message that hyper is reading.
    ahead: Vec<u8>,
    head_deadline: Option<Pin<Box<Sleep>>>,
    write_deadline: Option<Pin<Box<Sleep>>>,
    replacement: Option<Replacement>,
    linger: Option<Linger>,
}

/// The part of a message that is read next.
enum Reading {
    Head,
    /// The rest of a body with a length, in bytes.
    Body(u64),
    /// A chunked body.
    Chunked(ChunkScan),
}

/// A refusal that is written in place of `claimed` bytes of a response that hyper made itself.
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    claimed: usize,
}

struct Linger {
    deadline: Pin<Box<Sleep>>,
    left: u64,
    buffer: Vec<u8>,
}

impl Wire {
    /// Wraps an accepted socket.
    pub fn new(stream: TcpStream, connection: Arc<ConnectionState>) -> Self {
        Self {
            stream,
            connection,
            head: HeadScan::default(),
            reading: Reading::Head,
            head_bytes: 0,
            head_reservation: None,
            ahead: Vec::new(),
            head_deadline: None,
            write_deadline: None,
            replacement: None,
            linger: None,
        }
    }

    /// Returns the inner socket, and the bytes that were read and not given to hyper, for a tunnel.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.ahead)
    }

    /// Scans bytes that are about to be given to hyper, and returns how many of them belong to the current message.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        if let Reading::Head = self.reading {
            used = self.head.read(bytes);
            if self.head.is_complete() {
                let (framing, ambiguity) = self.head.take_result();
                let ambiguity = ambiguity.map_or(0, |ambiguity| ambiguity as u8);
                // Two heads before hyper has taken the first: the two scanners do not agree where a head ends.
                let first = self.connection.scanned.swap(ambiguity, Ordering::AcqRel) == NOT_SCANNED;
                if !first {
                    self.connection.scanned.store(Ambiguity::Unscanned as u8, Ordering::Release);
                }
                self.head_deadline = None;
                self.reading = match framing {
                    Framing::Length(0) => Reading::Head,
                    Framing::Length(length) => Reading::Body(length),
                    Framing::Chunked => Reading::Chunked(ChunkScan::default()),
                };
            }
        }
        let rest = &bytes[used..];
        let (body, is_complete) = match &mut self.reading {
            Reading::Head => (0, false),
            Reading::Chunked(chunks) => (chunks.read(rest), chunks.is_complete()),
            Reading::Body(left) => {
                let now = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= now as u64;
                (now, *left == 0)
            }
        };
        if is_complete {
            self.reading = Reading::Head;
        }
        used + body
    }

    /// Refuses a head for which there is no memory, as far as the socket takes the response at once.
    fn refuse_for_memory(&self) -> io::Error {
        self.connection.budget.note_refusal();
        let _ = self.stream.try_write(&(self.connection.refuse)(503));
        io::Error::new(io::ErrorKind::OutOfMemory, "no memory is left for this request head")
    }

    /// Moves bytes that were read ahead into hyper's buffer.
    fn take_ahead(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..count]);
        self.ahead.drain(..count);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
    }

    /// Prepares a [`Replacement`] if `bytes` are a response that hyper made itself, for a head that it cannot parse. Returns whether a
    /// replacement has to be written.
    fn replaces_response(&mut self, bytes: &[u8], total: usize) -> bool {
        if self.connection.stage() != AWAITING_HEAD || self.replacement.is_some() {
            return self.replacement.is_some();
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "));
        let Some(status) = status.and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()) else {
            return false;
        };
        self.connection.unread.store(true, Ordering::Release);
        self.replacement = Some(Replacement { bytes: (self.connection.refuse)(status), written: 0, claimed: total });
        true
    }

    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(replacement) = &mut self.replacement else { return Poll::Ready(Ok(0)) };
        while replacement.written < replacement.bytes.len() {
            let polled = Pin::new(&mut self.stream).poll_write(cx, &replacement.bytes[replacement.written..]);
            let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
            let count = match polled {
                Poll::Pending => {
                    ready!(deadline.as_mut().poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Ready(count) => count?,
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            replacement.written += count;
        }
        let claimed = replacement.claimed;
        self.replacement = None;
        Poll::Ready(Ok(claimed))
    }

    /// Ends the connection of a client without an identity that has read nothing for [`WRITE_TIME`].
    fn within_write_time(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if polled.is_ready() || self.connection.authenticated.load(Ordering::Acquire) {
            self.write_deadline = None;
            return polled;
        }
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not read its response in time")))
    }

    /// Reads and discards until the client closes the connection or a bound is reached.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(linger) = &mut self.linger else { return Poll::Ready(()) };
        while linger.left > 0 {
            let mut buffer = ReadBuf::new(&mut linger.buffer);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return linger.deadline.as_mut().poll(cx),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    linger.left = linger.left.saturating_sub(buffer.filled().len() as u64);
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
            if linger.deadline.is_elapsed() {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let expecting_head = this.connection.stage() != HANDLING;
        let before = buffer.filled().len();
        let polled = if this.ahead.is_empty() {
            Pin::new(&mut this.stream).poll_read(cx, buffer)
        } else {
            this.take_ahead(buffer);
            Poll::Ready(Ok(()))
        };
        match polled {
            Poll::Ready(Ok(())) => {
                let used = this.scan(&buffer.filled()[before..]);
                this.head_bytes = if this.head.is_partial() { this.head_bytes + used } else { 0 };
                if this.head_bytes > SMALL_HEAD_BYTES && this.head_reservation.is_none() {
                    let Some(reservation) = this.connection.budget.reserve_for_stranger(HEAD_KIB) else {
                        return Poll::Ready(Err(this.refuse_for_memory()));
                    };
                    this.head_reservation = Some(reservation);
                }
                let surplus = &buffer.filled()[before + used..];
                if !surplus.is_empty() {
                    this.ahead.splice(..0, surplus.iter().copied());
                    buffer.set_filled(before + used);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if expecting_head && this.head.is_partial() => {
                let deadline = this.head_deadline.get_or_insert_with(|| Box::pin(sleep(HEAD_TIME)));
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request head did not arrive in time")))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replaces_response(bytes, bytes.len()) {
            return this.poll_replacement(cx);
        }
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.within_write_time(cx, polled)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let total = slices.iter().map(|slice| slice.len()).sum();
        if this.replaces_response(slices.first().map_or(&[], |slice| slice), total) {
            return this.poll_replacement(cx);
        }
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.within_write_time(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes after it has written its buffer: the response is sent, and the next head may arrive.
        if this.connection.stage() == RESPONDED {
            this.connection.await_head();
            this.head_reservation = None;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.connection.unread.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            this.linger = Some(Linger {
                deadline: Box::pin(sleep(LINGER_TIME)),
                left: LINGER_BYTES,
                buffer: vec![0; DISCARD_BUFFER_BYTES],
            });
        }
        this.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::memory::Budget;

    /// Both ends of a connection: guard's end wrapped for hyper, and the client's.
    async fn connection() -> (Wire, TcpStream, Arc<ConnectionState>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = ConnectionState::new(|_status| Vec::new(), Budget::of(1 << 40));
        (Wire::new(listener.accept().await.unwrap().0, connection.clone()), client, connection)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_is_cut_after_its_time() {
        let (mut wire, mut client, _) = connection().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
        let began = Instant::now();
        let (mut bytes, mut ended) = (Vec::new(), None);
        while ended.is_none() {
            let read = tokio::time::timeout(HEAD_TIME * 4, wire.read_buf(&mut bytes)).await;
            ended = read.expect("the head is given up").err();
        }
        assert_eq!(ended.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert_eq!(began.elapsed().as_secs(), HEAD_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_identity_that_reads_nothing_is_cut_and_a_person_is_not() {
        for authenticated in [false, true] {
            let (mut wire, _client, connection) = connection().await;
            connection.begin();
            if authenticated {
                connection.set_authenticated();
            }
            let began = Instant::now();
            let piece = vec![0; 1 << 20];
            let written = tokio::time::timeout(WRITE_TIME * 4, async { while wire.write(&piece).await.is_ok() {} }).await;
            assert_eq!(written.is_err(), authenticated);
            let time = if authenticated { WRITE_TIME * 4 } else { WRITE_TIME };
            assert_eq!(began.elapsed().as_secs(), time.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_head_is_left_alone_here() {
        let (mut wire, _client, _) = connection().await;
        let read = tokio::time::timeout(HEAD_TIME * 4, wire.read_u8()).await;
        assert!(read.is_err(), "idling is bounded by hyper's own timer, not by a head's");
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_ends_when_a_client_never_goes() {
        let (mut wire, _client, connection) = connection().await;
        connection.end(true);
        let began = Instant::now();
        tokio::time::timeout(LINGER_TIME * 4, wire.shutdown()).await.expect("the client is given up").unwrap();
        assert_eq!(began.elapsed().as_secs(), LINGER_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_nothing_unread_closes_at_once() {
        let (mut wire, _client, connection) = connection().await;
        connection.end(false);
        let began = Instant::now();
        wire.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
