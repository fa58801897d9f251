//! Checks that the server in the container responds: one GET over HTTP/1.0 (RFC 1945), for a readiness probe that checks more than a port.
//!
//! A container has one readiness probe. This one checks the disk and then Immich, which itself queries its database.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The longest status line that is read, in bytes.
const MAX_STATUS_LINE: usize = 256;

/// The URL to request: `http://ADDRESS:PORT/PATH`. An address, not a name: a probe does not wait for a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    address: SocketAddr,
    path: String,
}

impl FromStr for HttpCheck {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "wanted an address and a path, such as http://127.0.0.1:2283/api/server/config".to_owned();
        let (authority, path) = text.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or_else(wanted)?;
        if path.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(wanted());
        }
        Ok(Self { address: authority.parse().map_err(|_| wanted())?, path: format!("/{path}") })
    }
}

impl HttpCheck {
    /// Sends the request. Returns the status, if it is a 2xx that came within `limit`; otherwise what was found.
    pub fn run(&self, limit: Duration) -> Result<u16, String> {
        let found = match self.status(Instant::now() + limit) {
            Ok(status) if (200..300).contains(&status) => return Ok(status),
            Ok(status) => format!("status {status}"),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                format!("no response within {} s", limit.as_secs_f32())
            }
            Err(error) => error.to_string(),
        };
        Err(format!("GET {} of {}: {found}, wanted 2xx", self.path, self.address))
    }

    fn status(&self, deadline: Instant) -> io::Result<u16> {
        let left = || {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok::<_, io::Error>(left) }
        };
        let mut stream = TcpStream::connect_timeout(&self.address, left()?)?;
        stream.set_write_timeout(Some(left()?))?;
        // In one piece.
        let head = format!("GET {} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n\r\n", self.path, self.address);
        stream.write_all(head.as_bytes())?;
        let mut line = Vec::new();
        let mut piece = [0; MAX_STATUS_LINE];
        while !line.contains(&b'\n') && line.len() < MAX_STATUS_LINE {
            stream.set_read_timeout(Some(left()?))?;
            let read = stream.read(&mut piece)?;
            if read == 0 {
                break;
            }
            line.extend_from_slice(&piece[..read]);
        }
        status_of(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer that is not HTTP"))
    }
}

/// The code of a status line: `HTTP/1.1 200 OK`.
fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let code = rest.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit))?;
    // A fourth digit would make it another number.
    if rest.get(3).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_with_a_path_is_a_question() {
        for text in ["http://127.0.0.1:2283/api/server/config", "http://[::1]:80/"] {
            assert!(text.parse::<HttpCheck>().is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:2283/",
            "https://127.0.0.1:1/",
            "http://immich:2283/",
            "http://127.0.0.1/",
            "http://127.0.0.1:1",
            "http://127.0.0.1:1/a b",
            "http://127.0.0.1:1/\r\nX: y",
        ] {
            assert!(text.parse::<HttpCheck>().unwrap_err().contains("http://127.0.0.1:2283/api"), "{text:?}");
        }
    }

    #[test]
    fn a_status_line_is_read_strictly() {
        assert_eq!(status_of(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status_of(b"HTTP/1.0 500"), Some(500));
        for line in [&b"HTTP/1.1 20"[..], b"HTTP/1.1 2000 OK", b"HTTP/2 200", b"SSH-2.0-OpenSSH", b"", b"HTTP/1.1  200"] {
            assert_eq!(status_of(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
