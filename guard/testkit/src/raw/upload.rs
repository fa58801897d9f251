//! A size enters, and a client that writes all of it before it reads a byte: how naive clients, and many libraries, upload. Out comes
//! whether such a client got to see the answer.

use std::io;

use super::{RawConn, Response};
use crate::noise;

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Declared,
    /// `Transfer-Encoding: chunked`, chunks of 64 KiB.
    Chunked,
}

/// How a blind upload ended.
#[derive(Debug)]
pub struct BlindUpload {
    /// Bytes of the body that the socket took, without framing.
    pub written: u64,
    /// What stopped the writing, if it did not come to its end.
    pub write_error: Option<io::Error>,
    /// The answer that was read afterwards, even after a write error: over loopback Linux often keeps what came before a RST.
    pub answer: io::Result<Response>,
}

impl BlindUpload {
    /// The status that an ordinary client reports. None after a write error: such a client gives up there and never looks for an
    /// answer, so a server that cuts the connection has told it nothing.
    pub fn status(&self) -> Option<u16> {
        let answer = self.answer.as_ref().ok().filter(|_| self.write_error.is_none());
        answer.map(|response| response.status)
    }
}

impl RawConn {
    /// Sends `head` (request line and fields, each with its CRLF, without framing and without the empty line) and the first `total`
    /// bytes of [`noise`], reads nothing meanwhile, and reads the answer then.
    pub async fn blind_upload(&mut self, head: &str, total: u64, framing: Framing) -> BlindUpload {
        let field = match framing {
            Framing::Declared => format!("Content-Length: {total}"),
            Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
        };
        self.send(format!("{head}{field}\r\n\r\n")).await;
        let (written, write_error) = self.write_noise(total, framing).await;
        let answer = self.try_read_response().await;
        BlindUpload { written, write_error, answer }
    }

    /// Writes the first `total` bytes of [`noise`] as a body, with its last chunk if it is chunked. Stops at the first error.
    pub async fn write_noise(&mut self, total: u64, framing: Framing) -> (u64, Option<io::Error>) {
        let mut written = 0;
        while written < total {
            let end = total.min(written + noise::CHUNK);
            let part = noise::bytes(written, end);
            let (count, error) = match framing {
                Framing::Declared => self.send_lossy(&part).await,
                Framing::Chunked => {
                    let size = format!("{:x}\r\n", part.len());
                    let (sent, error) = self.send_lossy([size.as_bytes(), &part, b"\r\n"].concat()).await;
                    (sent.saturating_sub(size.len()).min(part.len()), error)
                }
            };
            written += count as u64;
            if error.is_some() {
                return (written, error);
            }
        }
        match framing {
            Framing::Declared => (written, None),
            Framing::Chunked => (written, self.send_lossy("0\r\n\r\n").await.1),
        }
    }
}
