//! One client's socket under hyper: what hyper cannot be told to do is done here, on the bytes.
//!
//! - It closes without losing the answer: half-close, then read and discard, bounded in bytes and time. Closing a socket with unread
//!   bytes makes the kernel send RST, and cloudflared (Go's `http.Transport`) then reports a write error in place of our 413.
//! - It bounds how long a head may take, apart from how long a connection may idle.
//! - It looks at heads ([`HeadScan`]) and puts our own refusal in place of hyper's bare 400, 414 and 431.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::head::{Ambiguity, HeadScan};

/// The most bytes that are read and discarded after a refusal. A client that sends 200 MiB blindly is to read its 413.
pub const LINGER_BYTES: u64 = 512 * 1024 * 1024;
/// The longest time for that.
pub const LINGER_TIME: Duration = Duration::from_secs(30);
/// How long a head may take from its first byte (slowloris).
pub const HEAD_TIME: Duration = Duration::from_secs(20);

/// Small: thousands of sockets may linger at once.
const DISCARD_BUFFER_BYTES: usize = 16 * 1024;

/// Where a connection stands between two requests: shared by the socket and the service that answers on it.
pub struct ConnectionState {
    stage: AtomicU8,
    ambiguity: AtomicU8,
    unread: AtomicBool,
    refuse: Box<dyn Fn(u16) -> Vec<u8> + Send + Sync>,
}

/// A head is expected; what hyper writes now is its own doing.
const HEAD: u8 = 0;
/// A request is being answered.
const ANSWERING: u8 = 1;
/// The answer is in hyper's hands, and may not be on the wire yet.
const ANSWERED: u8 = 2;

impl ConnectionState {
    /// `refuse` makes the whole answer to a head that hyper answered with this status by itself.
    pub fn new(refuse: impl Fn(u16) -> Vec<u8> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            stage: AtomicU8::new(HEAD),
            ambiguity: AtomicU8::new(0),
            unread: AtomicBool::new(false),
            refuse: Box::new(refuse),
        })
    }

    /// A request was read, and what comes next is not a head. Call it before hyper reads on: it may read a first piece of the body
    /// before it polls the service's future, and that piece would be scanned as a head.
    pub fn begin(&self) {
        self.stage.store(ANSWERING, Ordering::Release);
    }

    /// What did the request's raw head show?
    pub fn ambiguity(&self) -> Option<Ambiguity> {
        Ambiguity::from_u8(self.ambiguity.swap(0, Ordering::AcqRel))
    }

    /// Its answer is complete. `unread`: bytes of the request may still come, so the connection must linger when it closes.
    pub fn end(&self, unread: bool) {
        self.stage.store(ANSWERED, Ordering::Release);
        if unread {
            self.unread.store(true, Ordering::Release);
        }
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }
}

/// The socket.
pub struct Wire {
    stream: TcpStream,
    connection: Arc<ConnectionState>,
    head: HeadScan,
    head_deadline: Option<Pin<Box<Sleep>>>,
    replacement: Option<Replacement>,
    linger: Option<Linger>,
}

/// Our refusal on its way out, instead of `claimed` bytes of hyper's.
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
        Self { stream, connection, head: HeadScan::default(), head_deadline: None, replacement: None, linger: None }
    }

    /// The bare socket, for a tunnel.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn scan(&mut self, bytes: &[u8]) {
        self.head.read(bytes);
        if !self.head.is_partial() {
            let verdict = self.head.verdict().map_or(0, |ambiguity| ambiguity as u8);
            self.connection.ambiguity.store(verdict, Ordering::Release);
            self.head_deadline = None;
        }
    }

    /// hyper answers a head that it cannot parse by itself, with a bare status. `None`: these bytes are not that.
    fn own_answer(&mut self, bytes: &[u8], total: usize) -> bool {
        if self.connection.stage() != HEAD || self.replacement.is_some() {
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
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &replacement.bytes[replacement.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            replacement.written += count;
        }
        let claimed = replacement.claimed;
        self.replacement = None;
        Poll::Ready(Ok(claimed))
    }

    /// Reads and discards until the client has noticed, or a bound is reached.
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
        let expecting_head = this.connection.stage() != ANSWERING;
        if !expecting_head && this.head.is_partial() {
            // The end of a pipelined head that an earlier read had begun: hyper has read it, and it is no part of the next.
            this.head = HeadScan::default();
            this.head_deadline = None;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if expecting_head {
                    this.scan(&buffer.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if expecting_head && this.head.is_partial() => {
                let deadline = this.head_deadline.get_or_insert_with(|| Box::pin(sleep(HEAD_TIME)));
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head did not arrive in time")))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.own_answer(bytes, bytes.len()) {
            return this.poll_replacement(cx);
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let total = slices.iter().map(|slice| slice.len()).sum();
        if this.own_answer(slices.first().map_or(&[], |slice| slice), total) {
            return this.poll_replacement(cx);
        }
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes when all that it buffered is written: the answer is out, and a head may come.
        let _ = this.connection.stage.compare_exchange(ANSWERED, HEAD, Ordering::AcqRel, Ordering::Acquire);
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

    /// Both ends of a connection, ours as hyper would have it.
    async fn connection() -> (Wire, TcpStream, Arc<ConnectionState>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = ConnectionState::new(|_status| Vec::new());
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
