//! A small HTTP/1.1 client that can also misbehave: bytes out, one answer in. Enough for the tour.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use testkit::photos::piece;

/// The longest that the tour waits for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the length of an upload is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Declared,
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends bytes, and gets the answer.
    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<Answer> {
        self.send(bytes).await?;
        self.answer().await
    }

    /// Uploads `total` bytes without looking for an answer until all are sent, or cannot be.
    pub async fn upload(&mut self, head: &str, total: u64, framing: Framing) -> io::Result<()> {
        let framing_line = match framing {
            Framing::Declared => format!("Content-Length: {total}\r\n\r\n"),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        };
        self.send(format!("{head}{framing_line}")).await?;
        self.pieces(0, total, framing).await?;
        if framing == Framing::Chunked { self.send("0\r\n\r\n").await } else { Ok(()) }
    }

    /// Sends the bytes from `start` to `end` of the tour's file.
    pub async fn pieces(&mut self, start: u64, end: u64, framing: Framing) -> io::Result<()> {
        let mut place = start;
        while place < end {
            let piece = piece(place, end);
            if framing == Framing::Chunked {
                self.send(format!("{:x}\r\n", piece.len())).await?;
            }
            self.send(&piece).await?;
            if framing == Framing::Chunked {
                self.send("\r\n").await?;
            }
            place += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads one answer: its head, and a body by `Content-Length` or to the end of the connection.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let body = match length {
            Some(length) => {
                self.fill(length).await?;
                self.buffer.drain(..length).collect()
            }
            None if status == 101 => Vec::new(),
            None => {
                while self.stream.read_buf(&mut self.buffer).await? > 0 {}
                std::mem::take(&mut self.buffer)
            }
        };
        Ok(Answer { status, head, body })
    }

    /// Reads a head only.
    pub async fn head(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Reads exactly so many bytes.
    pub async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.fill(count).await?;
        Ok(self.buffer.drain(..count).collect())
    }

    /// Waits until the other side has closed; what came before is thrown away.
    pub async fn closed(&mut self) -> io::Result<()> {
        let end = async {
            // A reset is an end too.
            while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                self.buffer.clear();
            }
        };
        tokio::time::timeout(PATIENCE, end).await.map_err(|_| io::ErrorKind::TimedOut.into())
    }

    /// Opens a WebSocket.
    pub async fn open_websocket(address: SocketAddr, token: &str) -> io::Result<Self> {
        let mut client = Self::connect(address).await?;
        let handshake = format!(
            "GET /api/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        match client.ask(handshake).await?.status {
            101 => Ok(client),
            other => Err(io::Error::other(format!("the handshake got {other}"))),
        }
    }

    /// Sends one short text frame (RFC 6455, 5.2) and says whether it came back.
    pub async fn echoes(&mut self, text: &str) -> bool {
        const MASK: [u8; 4] = [7, 21, 42, 84];
        let Ok(length @ 0..=125) = u8::try_from(text.len()) else { return false };
        let mut frame = vec![0x81, 0x80 | length];
        frame.extend_from_slice(&MASK);
        frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let wanted = [&[0x81, length][..], text.as_bytes()].concat();
        self.send(frame).await.is_ok() && self.take(wanted.len()).await.is_ok_and(|echo| echo == wanted)
    }

    async fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.buffer.len() < count {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
