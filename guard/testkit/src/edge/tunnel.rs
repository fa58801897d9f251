//! A connector's connection enters; it takes requests from the answer on its control stream until it says there that it leaves, or
//! ends that stream.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use hyper::Request;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificate::SERVER_NAME;
use super::registration::Messages;
use super::{Shared, Usable};

/// What marks a stream that is no plain request.
pub(super) const UPGRADE: &str = "cf-cloudflared-proxy-connection-upgrade";

/// Names the tunnel in the testkit's connector's answer to the control stream.
const TUNNEL: &str = "connector-tunnel";
/// Windows for the answers, in bytes: of one stream, and of all of a connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

pub(super) async fn serve(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // A connector that does not trust us, or whose process ends here, is seen in what it says itself.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    assert_eq!(stream.get_ref().1.server_name(), Some(SERVER_NAME), "the name that the connector wants proven");
    let handshake = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(stream);
    let Ok((requests, connection)) = handshake.await else { return };
    // How that stream ends is no matter: broken or in order, the connector takes no more requests.
    let control = async { drop(control(requests, &shared).await) };
    // The connection ends by itself when nobody can send on it any more and its last stream is done.
    let _ = tokio::join!(connection, control);
}

async fn control(mut requests: SendRequest<Bytes>, shared: &Shared) -> Result<(), h2::Error> {
    let request = Request::builder().uri("https://control.invalid/").header(UPGRADE, "control-stream").body(());
    let (answer, mut calls) = requests.send_request(request.expect("a good request"), false)?;
    let answer = answer.await?;
    let tunnel = answer.headers().get(TUNNEL).and_then(|tunnel| tunnel.to_str().ok()).map(str::to_owned);
    let mut incoming = answer.into_body();
    let mut registered = Some(Registered::new(requests, tunnel, shared));
    let mut messages = Messages::default();
    while let Some(part) = incoming.data().await.transpose()? {
        incoming.flow_control().release_capacity(part.len())?;
        messages.0.extend_from_slice(&part);
        while let Some(answer) = messages.next_answer() {
            if answer.leaves {
                registered = None;
            }
            // A few hundred bytes now and then: they never wait for a window. cloudflared reads until our end of the stream.
            calls.send_data(answer.bytes, answer.leaves)?;
        }
    }
    drop(registered);
    Ok(())
}

/// A connection that the front may choose for as long as this value is there.
struct Registered<'a> {
    id: u64,
    shared: &'a Shared,
}

impl<'a> Registered<'a> {
    fn new(requests: SendRequest<Bytes>, tunnel: Option<String>, shared: &'a Shared) -> Self {
        let id = shared.next();
        shared.usable.send_modify(|all| all.push(Usable { id, tunnel, requests }));
        Self { id, shared }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.usable.send_modify(|all| all.retain(|usable| usable.id != self.id));
    }
}
