//! HTTP/1.1 of a client enters, streams of a tunnel leave, and back: each body frame by frame, as fast as the other side takes it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HOST, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{NO_TUNNEL, Shared, TUNNEL_BROKE, fields, tunnel};

/// How much of a WebSocket is read at once, in bytes.
const PART: usize = 16 * 1024;

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(forward(&shared, request).await) }
    });
    // How a client's connection ends is seen by the client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn forward(shared: &Shared, mut request: Request<Incoming>) -> Response<Answer> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).expect("the test names a host").to_owned();
    let Some(mut tunnel) = shared.choose(&host) else {
        discard(request.into_body());
        return own(NO_TUNNEL, "error code: 1033");
    };
    let websocket = is_websocket(&request);
    let upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut inner = Request::builder().method(head.method).uri(format!("https://{host}{target}"));
    if let Some(all) = inner.headers_mut() {
        *all = fields::towards_origin(&head.headers, shared.next());
        if websocket {
            all.insert(tunnel::UPGRADE, HeaderValue::from_static("websocket"));
        }
    }
    let inner = inner.body(()).expect("a request that came can go on");

    let ended = body.is_end_stream() && !websocket;
    let sent = match poll_fn(|cx| tunnel.requests.poll_ready(cx)).await {
        Ok(()) => tunnel.requests.send_request(inner, ended),
        Err(error) => Err(error),
    };
    let Ok((answer, stream)) = sent else {
        discard(body);
        return own(TUNNEL_BROKE, "the tunnel is gone");
    };
    // Nothing of it may hold open a connection that is to end after its last stream.
    drop(tunnel);
    let stream = if websocket {
        Some(stream)
    } else {
        // In a task of its own: it reads on after an early answer, so that a client that only writes gets to read it.
        tokio::spawn(upload(body, stream));
        None
    };
    match answer.await {
        Ok(answer) => relay(answer, upgrade.zip(stream)),
        Err(error) => own(TUNNEL_BROKE, &format!("the tunnel broke: {error}")),
    }
}

fn is_websocket(request: &Request<Incoming>) -> bool {
    request.headers().get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// An answer of the edge's own.
fn own(status: u16, text: &str) -> Response<Answer> {
    let mut answer = Response::new(Answer::Own(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

fn relay(answer: Response<RecvStream>, socket: Option<(OnUpgrade, SendStream<Bytes>)>) -> Response<Answer> {
    let (head, body) = answer.into_parts();
    let (switched, status, body) = match socket {
        Some((upgrade, stream)) if head.status == StatusCode::OK => {
            tokio::spawn(pipe(upgrade, stream, body));
            (true, StatusCode::SWITCHING_PROTOCOLS, Answer::Own(Bytes::new()))
        }
        _ => (false, head.status, Answer::Origin(body)),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = fields::towards_client(&head.headers, switched);
    answer
}

/// The body of a request, until the other side wants no more of it; then its rest is read and thrown away.
async fn upload(mut body: Incoming, mut stream: SendStream<Bytes>) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The client is gone in the midst of it: the origin must not take it for whole.
            stream.send_reset(Reason::CANCEL);
            return;
        };
        let Ok(part) = frame.into_data() else { continue };
        if send(&mut stream, part).await.is_err() {
            discard(body);
            return;
        }
    }
    // A connector that has answered already may have no use for the end.
    let _ = stream.send_data(Bytes::new(), true);
}

/// Sends as the window opens.
async fn send(stream: &mut SendStream<Bytes>, mut part: Bytes) -> Result<(), h2::Error> {
    while !part.is_empty() {
        stream.reserve_capacity(part.len());
        let open = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let count = open.unwrap_or_else(|| Err(Reason::STREAM_CLOSED.into()))?;
        stream.send_data(part.split_to(count.min(part.len())), false)?;
    }
    Ok(())
}

/// Reads what a client still sends, so that its answer does not get lost.
fn discard(mut body: Incoming) {
    tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
}

/// A WebSocket: bytes both ways, until either side ends.
async fn pipe(upgrade: OnUpgrade, mut stream: SendStream<Bytes>, mut answer: RecvStream) {
    let Ok(client) = upgrade.await else { return };
    let (mut read, mut write) = tokio::io::split(TokioIo::new(client));
    let inward = async {
        let mut buffer = BytesMut::with_capacity(PART);
        while read.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
            if send(&mut stream, buffer.split().freeze()).await.is_err() {
                return;
            }
            buffer.reserve(PART);
        }
        let _ = stream.send_data(Bytes::new(), true);
    };
    let outward = async {
        while let Some(Ok(part)) = answer.data().await {
            let released = answer.flow_control().release_capacity(part.len());
            if released.is_err() || write.write_all(&part).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
    // The client may be gone already.
    let _ = write.shutdown().await;
}

/// The body of an answer.
enum Answer {
    /// The edge's, once.
    Own(Bytes),
    /// The origin's.
    Origin(RecvStream),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(match self.get_mut() {
            Self::Own(bytes) if bytes.is_empty() => None,
            Self::Own(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Self::Origin(stream) => match ready!(stream.poll_data(cx)) {
                Some(Ok(part)) => Some(stream.flow_control().release_capacity(part.len()).map(|()| Frame::data(part))),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Origin(stream) => stream.is_end_stream(),
        }
    }
}
