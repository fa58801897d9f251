//! Servers behind the proxies: one that answers the same bytes as fast as it can, and one that swallows uploads.
//!
//! Each has its own thread and lives as long as the process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Outcome;

/// The largest head that the fixed server takes, in bytes; a longer one closes the connection, which a proxy turns into a 502.
const HEAD_BYTES: usize = 16 * 1024;

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server that answers every request without a body by these bytes.
pub(crate) fn fixed(content_type: &str, body: &[u8]) -> Outcome<SocketAddr> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    let answer: Arc<[u8]> = answer.into();
    serve("backend", move |stream| Box::pin(answer_each(stream, Arc::clone(&answer))))
}

async fn answer_each(mut stream: TcpStream, answer: Arc<[u8]>) {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match stream.read(&mut head[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        // A proxy sends the next request after the answer to this one: nothing follows the empty line.
        if head[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// A server that waits, then reads each upload to its end, and remembers how long it was.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    lengths: Arc<Mutex<Vec<u64>>>,
}

impl Sink {
    /// `pause` is the time from a request's head to the first read of its body: an Immich on a slow disk.
    pub(crate) fn start(pause: Duration) -> Outcome<Self> {
        let lengths = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lengths);
        let address = serve("sink", move |stream| Box::pin(swallow_each(stream, pause, Arc::clone(&seen))))?;
        Ok(Self { address, lengths })
    }

    /// The lengths of the bodies that arrived whole, in bytes.
    pub(crate) fn lengths(&self) -> Vec<u64> {
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn swallow_each(stream: TcpStream, pause: Duration, lengths: Arc<Mutex<Vec<u64>>>) {
    let swallow = service_fn(move |request: Request<Incoming>| {
        let lengths = Arc::clone(&lengths);
        async move {
            tokio::time::sleep(pause).await;
            let mut body = request.into_body();
            let mut length = 0_u64;
            while let Some(frame) = body.frame().await {
                length += frame?.data_ref().map_or(0, |data| data.len() as u64);
            }
            lengths.lock().unwrap_or_else(PoisonError::into_inner).push(length);
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(format!("{length}")))))
        }
    });
    // A broken upload shows as a length that is missing.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), swallow).await;
}

fn serve(name: &str, each: impl Fn(TcpStream) -> Serving + Send + 'static) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(each(stream));
            }
        });
    })?;
    Ok(address)
}
