//! HTTP/1.1 with nothing between: requests are kept exactly as they were on the wire, answers are written as Go's server writes them.
//!
//! A request's body is read where its length is declared. Behind a chunked one the connection closes: nobody sends one here on purpose.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::raw::Head;

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its head, byte for byte, and taken apart.
    pub head: Head,
    /// Its body, if it declared one.
    pub body: Vec<u8>,
}

impl Question {
    /// The request's method.
    pub fn method(&self) -> &str {
        self.head.start_line.split(' ').next().unwrap_or_default()
    }

    /// The target as it was in the request line.
    pub fn target(&self) -> &str {
        self.head.start_line.split(' ').nth(1).unwrap_or_default()
    }

    /// The target up to its query.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// What follows the first question mark.
    pub fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a field, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    /// Without a body.
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// As Go's `http.Error` writes it.
    pub(super) fn text(status: u16, text: &str) -> Self {
        let reply = Self { body: format!("{text}\n"), ..Self::new(status) };
        reply.with("Content-Type", "text/plain; charset=utf-8").with("X-Content-Type-Options", "nosniff")
    }

    /// As Go's `http.Redirect` writes it.
    pub(super) fn found(place: &str) -> Self {
        let link = place.replace('&', "&amp;").replace('"', "&#34;");
        let reply = Self { body: format!("<a href=\"{link}\">Found</a>.\n\n"), ..Self::new(302) };
        reply.with("Content-Type", "text/html; charset=utf-8").with("Location", place)
    }

    pub(super) fn json(status: u16, text: String) -> Self {
        Self { body: text, ..Self::new(status) }.with("Content-Type", "application/json")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The other end of a connection.
pub(super) struct Peer(BufReader<TcpStream>);

impl Peer {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    /// The next request; none when the peer is done.
    pub(super) async fn read(&mut self) -> io::Result<Option<Question>> {
        let mut raw = Vec::new();
        while !raw.ends_with(b"\r\n\r\n") {
            if self.0.read_until(b'\n', &mut raw).await? == 0 {
                return Ok(None);
            }
        }
        let head = Head::parse(raw)?;
        let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; usize::min(length, MAX_BODY_BYTES)];
        self.0.read_exact(&mut body).await?;
        Ok(Some(Question { head, body }))
    }

    /// Answers. Whether the connection may be used again.
    pub(super) async fn answer(&mut self, question: &Question, reply: Reply) -> io::Result<bool> {
        let closes = question.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            || question.header("transfer-encoding").is_some();
        let mut text = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
        for (name, value) in &reply.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        if reply.status != 204 {
            text.extend(["Content-Length: ", &reply.body.len().to_string(), "\r\n"]);
        }
        if closes {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        if question.method() != "HEAD" {
            text.push_str(&reply.body);
        }
        self.send(text.as_bytes()).await?;
        Ok(!closes)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }

    /// Says nothing more until the peer is gone.
    pub(super) async fn wait_for_close(&mut self) -> io::Result<()> {
        self.0.read_to_end(&mut Vec::new()).await.map(drop)
    }

    /// A redirect whose body ends only with the connection.
    pub(super) async fn flood(&mut self) -> io::Result<()> {
        self.send(b"HTTP/1.1 302 Found\r\nLocation: https://sso.family.example/\r\nConnection: close\r\n\r\n").await?;
        let part = vec![b'x'; 64 * 1024];
        loop {
            self.send(&part).await?;
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        500 => "Internal Server Error",
        _ => "Status",
    }
}
