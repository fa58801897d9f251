//! An address and fields enter, a WebSocket leaves, or the status that was answered in place of 101.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Request};
use tokio_tungstenite::tungstenite::{Error, Result as WsResult};
use tokio_tungstenite::{WebSocketStream, client_async};

pub use futures_util::{SinkExt, StreamExt};
pub use tokio_tungstenite::tungstenite::Message;

use crate::deadline::{SOCKET_STEP, within};

/// Where Immich's clients open theirs.
pub const SOCKET_IO: &str = "/api/socket.io/?EIO=4&transport=websocket";

/// A client's end.
pub type WebSocket = WebSocketStream<TcpStream>;

/// Opens [`SOCKET_IO`], with `token` as the assertion if there is one.
///
/// Errors: the status of an answer that is not 101. No answer at all is a panic.
pub async fn connect(addr: SocketAddr, token: Option<&str>) -> Result<WebSocket, u16> {
    let fields: Vec<_> = token.map(|token| ("cf-access-jwt-assertion", token)).into_iter().collect();
    connect_with(addr, SOCKET_IO, &fields).await
}

/// Opens any target with any fields beside those of the handshake; a field of the same name replaces one of those.
///
/// Errors: as [`connect`].
pub async fn connect_with(addr: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Result<WebSocket, u16> {
    let request = handshake(addr, target, fields);
    let stream = within(SOCKET_STEP, "connecting", TcpStream::connect(addr)).await.expect("the server listens");
    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
    match within(SOCKET_STEP, "the answer to a WebSocket handshake", client_async(request, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("no answer to a WebSocket handshake: {error}"),
    }
}

/// Opens a WebSocket where it may be refused, or broken at any point.
///
/// Errors: the status of an answer that is not 101, or 0 without one.
pub async fn try_connect_with(addr: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Result<WebSocket, u16> {
    let stream = TcpStream::connect(addr).await.map_err(|_| 0_u16)?;
    match tokio::time::timeout(SOCKET_STEP, client_async(handshake(addr, target, fields), stream)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => Err(answer.status().as_u16()),
        _ => Err(0),
    }
}

/// Sends a text to a peer that echoes, and returns whether it came back.
pub async fn echoes(socket: &mut WebSocket, text: &str) -> bool {
    let there_and_back = async {
        socket.send(Message::text(text)).await.ok()?;
        socket.next().await?.ok()
    };
    let came = tokio::time::timeout(SOCKET_STEP, there_and_back).await.ok().flatten();
    came.is_some_and(|message| message.to_text().is_ok_and(|found| found == text))
}

/// Sends `message` and returns what comes next; panics when nothing does.
pub async fn exchange(socket: &mut WebSocket, message: Message) -> Message {
    within(SOCKET_STEP, "the peer to take a message", socket.send(message)).await.expect("the tunnel is open");
    next(socket).await.expect("the tunnel is open").expect("a sound frame")
}

/// The next message within 20 s: none when the tunnel has been closed in order, an error when it broke.
pub async fn next(socket: &mut WebSocket) -> Option<WsResult<Message>> {
    within(SOCKET_STEP, "a message", socket.next()).await
}

fn handshake(addr: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = format!("ws://{addr}{target}").into_client_request().expect("the target is well-formed");
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("the name is well-formed");
        request.headers_mut().insert(name, HeaderValue::from_str(value).expect("the value is well-formed"));
    }
    request
}
