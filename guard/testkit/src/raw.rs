//! Bytes enter and leave a TCP connection exactly as a test says: no HTTP library stands between the test and the wire.
//!
//! [`RawClient`] talks to the guard, [`RawUpstream`] is dialled by it. Both speak RFC 9112 only as far as a test asks.

mod message;
mod upload;
mod upstream;

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub use self::message::{End, Head, Response};
pub use self::upload::{BlindUpload, Framing};
pub use self::upstream::RawUpstream;
use crate::deadline::{SOCKET_STEP, within};

/// The client's side of a connection. It is the same type on both sides: each may send anything and read anything.
pub type RawClient = RawConn;

/// A connection in the hands of a test. Every step has 20 s, then the test fails. Dropping it closes it.
#[derive(Debug)]
pub struct RawConn {
    stream: BufReader<TcpStream>,
}

impl RawConn {
    /// Connects, with `TCP_NODELAY`, so that each [`RawConn::send`] is a segment of its own where it fits into one.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = within(SOCKET_STEP, "connecting", TcpStream::connect(addr)).await.expect("the server listens");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self::over(stream)
    }

    /// Takes over a connection.
    pub fn over(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The own end's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().expect("a connected socket has an address")
    }

    /// Writes all of `bytes`; panics when the peer does not take them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let (written, error) = self.send_lossy(bytes.as_ref()).await;
        assert!(error.is_none(), "the peer took {written} of {} bytes: {error:?}", bytes.as_ref().len());
    }

    /// Writes as much of `bytes` as the peer takes: how much that was, and what stopped it.
    pub async fn send_lossy(&mut self, bytes: impl AsRef<[u8]>) -> (usize, Option<io::Error>) {
        let bytes = bytes.as_ref();
        let mut written = 0;
        while written < bytes.len() {
            match within(SOCKET_STEP, "the peer to take bytes", self.stream.get_mut().write(&bytes[written..])).await {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }

    /// Reads one head, up to and with its empty line. The body stays unread.
    ///
    /// Errors: `UnexpectedEof` when the peer closes before or in it, `InvalidData` when a line is no field, or what the socket says.
    pub async fn try_read_head(&mut self) -> io::Result<Head> {
        let mut raw = Vec::new();
        loop {
            let before = raw.len();
            within(SOCKET_STEP, "a head", self.stream.read_until(b'\n', &mut raw)).await?;
            match &raw[before..] {
                b"\r\n" => return Head::parse(raw),
                line if line.ends_with(b"\n") => {}
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("closed after {} bytes of a head", raw.len()),
                    ));
                }
            }
        }
    }

    /// The same, and a panic when there is none.
    pub async fn read_head(&mut self) -> Head {
        self.try_read_head().await.expect("the peer sends a head")
    }

    /// Reads one answer with its body. A 1xx counts as an answer. A body cut short is no error here, see [`Response::complete`].
    ///
    /// Errors: as [`RawConn::try_read_head`].
    pub async fn try_read_response(&mut self) -> io::Result<Response> {
        let head = self.try_read_head().await?;
        Ok(self.body_of(head, false).await)
    }

    /// The same, and a panic when there is none.
    pub async fn read_response(&mut self) -> Response {
        self.try_read_response().await.expect("the peer answers")
    }

    /// Reads the answer to a HEAD request: no body follows whatever its head says.
    pub async fn read_response_to_head(&mut self) -> Response {
        let head = self.read_head().await;
        self.body_of(head, true).await
    }

    /// Reads exactly `count` bytes; panics when the peer closes before.
    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within(SOCKET_STEP, "bytes", self.stream.read_exact(&mut bytes)).await.expect("the peer sends that many bytes");
        bytes
    }

    /// Reads up to and with the first `needle`; panics when the peer closes before.
    pub async fn read_through(&mut self, needle: &[u8]) -> Vec<u8> {
        let last = *needle.last().expect("the needle has a byte");
        let mut bytes = Vec::new();
        while !bytes.ends_with(needle) {
            let count =
                within(SOCKET_STEP, "the needle", self.stream.read_until(last, &mut bytes)).await.expect("the peer sends it");
            assert!(count > 0, "the peer closed before {:?}: {:?}", needle.escape_ascii(), bytes.escape_ascii());
        }
        bytes
    }

    /// Reads what comes next, at least one byte; nothing when the peer has closed.
    ///
    /// Errors: what the socket says, `ConnectionReset` above all.
    pub async fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let bytes = within(SOCKET_STEP, "more bytes", self.stream.fill_buf()).await?.to_vec();
        self.stream.consume(bytes.len());
        Ok(bytes)
    }

    /// Reads until the peer closes: what came, and the error that ended it if it was no orderly close. 20 s for each read, not for all.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, Option<io::Error>) {
        let mut all = Vec::new();
        loop {
            match self.read_some().await {
                Ok(bytes) if bytes.is_empty() => return (all, None),
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(error) => return (all, Some(error)),
            }
        }
    }

    /// Says that nothing more will be sent (FIN), and can still read.
    pub async fn half_close(&mut self) {
        self.stream.get_mut().shutdown().await.expect("a connected socket can be half-closed");
    }

    /// Goes away with RST instead of FIN.
    pub fn reset(self) {
        self.stream.get_ref().set_zero_linger().expect("SO_LINGER can be set");
    }
}
