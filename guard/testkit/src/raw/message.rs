//! The bytes of a head enter, its fields leave; then the body that belongs to it, by the framing rules of RFC 9112, 6.3.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::RawConn;
use crate::deadline::{SOCKET_STEP, within};

/// A start line and its fields, in order and as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Exactly what was on the wire, with the empty line.
    pub raw: Vec<u8>,
    /// The request line or status line.
    pub start_line: String,
    /// Name and value, white space around the value removed.
    pub headers: Vec<(String, String)>,
}

/// What told the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is none by rule: 1xx, 204, 304, or the answer to HEAD.
    NoBody,
    /// `Content-Length`.
    Length,
    /// The last chunk.
    Chunked,
    /// The close of the connection.
    Close,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its head.
    pub head: Head,
    /// The status code.
    pub status: u16,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Fields after the last chunk.
    pub trailers: Vec<(String, String)>,
    /// How the body was framed.
    pub end: End,
    /// Whether all of the body came. With [`End::Close`] an orderly close is taken as the end.
    pub complete: bool,
}

impl Head {
    pub(crate) fn parse(raw: Vec<u8>) -> io::Result<Self> {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n");
        let start_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.take_while(|line| !line.is_empty()).map(field).collect::<io::Result<_>>()?;
        Ok(Self { raw, start_line, headers })
    }

    /// The first value of a field, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }
}

impl Response {
    /// The first value of a field, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.head.all(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics when it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

impl RawConn {
    /// Reads what belongs to `head`.
    pub(super) async fn body_of(&mut self, head: Head, to_head_request: bool) -> Response {
        let status = head.start_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("not a status line: {:?}", head.start_line));
        let mut response = Response { status, head, body: Vec::new(), trailers: Vec::new(), end: End::NoBody, complete: true };

        if to_head_request || status < 200 || status == 204 || status == 304 {
            return response;
        }
        if let Some(coding) = response.header("transfer-encoding") {
            assert!(coding.eq_ignore_ascii_case("chunked"), "a transfer coding that no test asked for: {coding}");
            response.end = End::Chunked;
            response.complete = self.chunks(&mut response).await.is_ok();
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().unwrap_or_else(|_| panic!("not a length: {length:?}"));
            response.end = End::Length;
            response.complete = self.exactly(length, &mut response.body).await.is_ok();
        } else {
            response.end = End::Close;
            let (body, error) = self.read_to_end().await;
            response.body = body;
            response.complete = error.is_none();
        }
        response
    }

    async fn chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).unwrap_or_else(|_| panic!("not a chunk size: {line:?}"));
            if size == 0 {
                break;
            }
            self.exactly(size, &mut response.body).await?;
            let after = self.line().await?;
            assert!(after.is_empty(), "bytes after the chunk: {after:?}");
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            response.trailers.push(field(&line)?);
        }
    }

    /// Keeps what came before an error, so that a test sees how far a broken message went.
    async fn exactly(&mut self, count: u64, body: &mut Vec<u8>) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let mut part = (&mut self.stream).take(left);
            let read = within(SOCKET_STEP, "the rest of a body", part.read_buf(body)).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        within(SOCKET_STEP, "a line of the chunked framing", self.stream.read_line(&mut line)).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None if line.ends_with('\n') => panic!("a bare LF in the chunked framing: {line:?}"),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn field(line: &str) -> io::Result<(String, String)> {
    let (name, value) =
        line.split_once(':').ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no field: {line:?}")))?;
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}
