//! A small photo server: a page for a browser, an upload that is stored only when it came whole, a download, and a WebSocket echo.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::noise::hex;

/// One piece of the file that the tour uploads and downloads, in bytes.
pub const PIECE_BYTES: usize = 64 * 1024;

/// A running photo server.
pub struct Photos {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicU64,
    requests: AtomicU64,
    stored: Mutex<Vec<Stored>>,
}

/// An upload that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, as hex.
    pub sha256: String,
}

impl Photos {
    /// Serves on a free port.
    pub fn start() -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(crate::server::loopback()?)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::SeqCst);
                let state = state.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Ok(Self { address, shared })
    }

    /// What `GUARD_UPSTREAM` says.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that it saw so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections that were opened to it so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// What was stored so far.
    pub fn stored(&self) -> Vec<Stored> {
        self.shared.stored().clone()
    }
}

impl Shared {
    fn stored(&self) -> std::sync::MutexGuard<'_, Vec<Stored>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Bytestream> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => text(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
            (&Method::GET, "/api/server/ping") => text(StatusCode::OK, "application/json", r#"{"res":"pong"}"#.to_owned()),
            (&Method::GET, path) if path.starts_with("/picture/") => text(StatusCode::OK, "image/svg+xml", picture(path)),
            (&Method::GET, "/original") => {
                let size = request.uri().query().and_then(|query| query.strip_prefix("size=")?.parse().ok()).unwrap_or(1 << 20);
                let mut response = Response::new(Bytestream::of(size));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                response
            }
            (&Method::GET, "/api/socket.io/") if request.headers().contains_key(UPGRADE) => websocket(&mut request),
            (&Method::POST, "/api/assets") => match receive(request.into_body()).await {
                Ok(stored) => {
                    let json = serde_json::json!({"status": "created", "bytes": stored.bytes, "sha256": stored.sha256});
                    self.stored().push(stored);
                    text(StatusCode::CREATED, "application/json", json.to_string())
                }
                // Nobody is there to read it: the message broke off.
                Err(_) => text(StatusCode::BAD_REQUEST, "application/json", String::new()),
            },
            _ => text(StatusCode::NOT_FOUND, "application/json", r#"{"message":"Not Found","statusCode":404}"#.to_owned()),
        }
    }
}

pub(crate) async fn receive(body: Incoming) -> Result<Stored, hyper::Error> {
    let mut body = std::pin::pin!(body);
    let mut hash = digest::Context::new(&SHA256);
    let mut bytes = 0;
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            hash.update(&data);
            bytes += data.len() as u64;
        }
    }
    Ok(Stored { bytes, sha256: hex(hash.finish().as_ref()) })
}

/// RFC 6455, 4.2.2.
fn websocket(request: &mut Request<Incoming>) -> Response<Bytestream> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| key.as_bytes().to_vec()).unwrap_or_default();
    let accept = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &[&key[..], b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat());
    tokio::spawn(echo(hyper::upgrade::on(request)));
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "", String::new());
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&STANDARD.encode(accept)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

async fn echo(upgrade: OnUpgrade) {
    if let Ok(upgraded) = upgrade.await {
        let mut stream = TokioIo::new(upgraded);
        while let Ok(frame) = short_frame(&mut stream).await {
            if stream.write_all(&frame).await.is_err() {
                return;
            }
        }
    }
}

/// Reads a frame of at most 125 bytes and gives it back unmasked: what a browser's page and the tour send.
async fn short_frame(stream: &mut TokioIo<Upgraded>) -> io::Result<Vec<u8>> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).await?;
    let length = head[1] & 0x7f;
    if length > 125 || head[1] & 0x80 == 0 || head[0] & 0x0f == 8 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![head[0], length];
    frame.resize(2 + usize::from(length), 0);
    stream.read_exact(&mut frame[2..]).await?;
    for (byte, mask) in frame[2..].iter_mut().zip(head[2..].iter().cycle()) {
        *byte ^= mask;
    }
    Ok(frame)
}

/// Text, or the tour's file made as it is sent.
pub(crate) struct Bytestream {
    place: u64,
    end: u64,
    text: Option<Bytes>,
}

impl Bytestream {
    /// So many bytes of the tour's file.
    pub(crate) fn of(size: u64) -> Self {
        Self { place: 0, end: size, text: None }
    }
}

impl Body for Bytestream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.place >= this.end {
            return Poll::Ready(None);
        }
        let data = this.text.take().unwrap_or_else(|| piece(this.place, this.end).into());
        this.place += data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.place >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.place)
    }
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Bytestream> {
    let text = Bytes::from(text);
    let mut response = Response::new(Bytestream { place: 0, end: text.len() as u64, text: Some(text) });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A landscape made of its number: hills, a sun, a sky.
fn picture(path: &str) -> String {
    let seed: u32 = path.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    // Neighbouring numbers, unlike pictures (Knuth's multiplicative hash).
    let seed = seed.wrapping_mul(2_654_435_761).rotate_right(7);
    let (hue, sun) = (seed % 360, 40 + seed / 7 % 220);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 300 200'><rect width='300' height='200' fill='hsl({hue} 60% 82%)'/>\
         <circle cx='{sun}' cy='60' r='24' fill='hsl({} 90% 65%)'/>",
        (hue + 180) % 360
    );
    for layer in 0..3_u32 {
        let (top, bend) = (110 + layer * 25, (seed >> (layer * 5)) % 70);
        let _ = write!(
            svg,
            "<path d='M0 {top} Q75 {} 150 {top} T300 {top} V200 H0Z' fill='hsl({hue} 40% {}%)'/>",
            top - bend,
            60 - layer * 15
        );
    }
    svg + "</svg>"
}

/// The piece of the tour's file that begins at `place`: no two neighbours are alike.
pub fn piece(place: u64, end: u64) -> Vec<u8> {
    let length = usize::try_from(end - place).unwrap_or(usize::MAX).min(PIECE_BYTES);
    let seed = (place / PIECE_BYTES as u64).to_le_bytes();
    seed.iter().copied().cycle().take(length).collect()
}

/// The SHA-256 of the tour's file of that size, as hex.
pub fn hash(total: u64) -> String {
    let mut context = digest::Context::new(&SHA256);
    let mut place = 0;
    while place < total {
        let piece = piece(place, total);
        context.update(&piece);
        place += piece.len() as u64;
    }
    hex(context.finish().as_ref())
}

const PAGE: &str = include_str!("photos.html");
