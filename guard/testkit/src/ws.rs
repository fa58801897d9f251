//! An address and fields enter, a WebSocket leaves, or the status that was answered in place of 101.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
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
    let mut request = format!("ws://{addr}{target}").into_client_request().expect("the target is well-formed");
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("the name is well-formed");
        request.headers_mut().insert(name, HeaderValue::from_str(value).expect("the value is well-formed"));
    }
    let stream = within(SOCKET_STEP, "connecting", TcpStream::connect(addr)).await.expect("the server listens");
    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
    match within(SOCKET_STEP, "the answer to a WebSocket handshake", client_async(request, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("no answer to a WebSocket handshake: {error}"),
    }
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
