//! One HTTP request over a connection that a test has opened where it wants.

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer.
pub(crate) struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// A request with these header fields.
pub(crate) fn request(
    method: &str,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Ok(request.body(Full::new(body.into()))?)
}

/// Sends a request, and returns its whole answer.
pub(crate) async fn send(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    driven.abort();
    Ok(Answer { status, body })
}

/// An upload form as Immich's clients send it, and its content type.
pub(crate) fn form(name: &str, photo: &[u8]) -> (String, Vec<u8>) {
    let boundary = "e2e-4f1c9f0c";
    let mut body = Vec::with_capacity(photo.len() + 512);
    for field in ["fileCreatedAt", "fileModifiedAt"] {
        let text =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n2026-11-25T12:00:00.000Z\r\n");
        body.extend_from_slice(text.as_bytes());
    }
    let head = "Content-Disposition: form-data; name=\"assetData\"; filename=";
    body.extend_from_slice(format!("--{boundary}\r\n{head}\"{name}\"\r\nContent-Type: image/jpeg\r\n\r\n").as_bytes());
    body.extend_from_slice(photo);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// A photo of this many bytes: a JPEG's start and end around noise, another one for each `seed`.
pub(crate) fn photo(seed: u64, bytes: usize) -> Vec<u8> {
    let mut photo = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    let start = seed << 40;
    photo.extend(testkit::noise::bytes(start, start + bytes.saturating_sub(photo.len() + 2) as u64));
    photo.extend(b"\xff\xd9");
    photo
}

/// SHA-256, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    testkit::noise::sha256_of(bytes)
}
