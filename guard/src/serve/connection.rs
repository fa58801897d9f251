//! One connection: its requests, its idle times, and how it ends when the process leaves.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::connection_state::ConnectionState;
use super::drain_counter::DrainGuard;
use super::lifecycle::{Lifecycle, Phase};
use super::wire::Wire;
use super::{Handler, sockets};
use crate::memory::Reservation;

/// How long a connection may be idle between requests. cloudflared keeps idle connections for 90 s (its `keepAliveTimeout`). If this
/// were shorter, cloudflared could send a request on a connection that guard is closing, and the client would get a 502.
const IDLE_TIME: Duration = Duration::from_secs(120);
/// The largest request head, in bytes: Cloudflare's edge allows 32 KB of headers and a URL of 16 KB. Also the size of the read buffer of
/// a body.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a connection may still send a request after the drain has begun; such a request is refused with 503. This also holds for a
/// connection that had requests before: if it closed under a request, cloudflared would answer 502, and it does not repeat the request.
const DRAIN_IDLE_TIME: Duration = Duration::from_secs(1);

/// Counts a connection until it is dropped.
pub(super) struct ConnectionGuard {
    pub(super) _connection: DrainGuard,
    pub(super) _reservation: Reservation,
}

/// Serves one connection until it ends.
pub(super) async fn serve<H: Handler>(
    handler: Arc<H>,
    stream: TcpStream,
    peer: IpAddr,
    lifecycle: Arc<Lifecycle>,
    _guard: ConnectionGuard,
) {
    let mut phase = lifecycle.phase();
    sockets::tune(&stream);
    let refuse = {
        let handler = handler.clone();
        move |status| handler.refuse_head(peer, status)
    };
    let connection = ConnectionState::new(refuse, lifecycle.budget.clone());
    let _entry = lifecycle.open.add(connection.clone());
    let state = connection.clone();
    let wire = TokioIo::new(Wire::new(stream, connection.clone()));
    let request_started = Arc::new(Notify::new());
    let request_starts = request_started.clone();
    let life = &*lifecycle;
    let service = service_fn(move |request| {
        request_starts.notify_one();
        let (handler, connection) = (handler.clone(), connection.clone());
        connection.begin();
        async move {
            let mut response = handler.answer(connection, peer, request).await;
            if life.now() >= Phase::Leaving && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // RFC 9112, section 9.6: the client sends its next request on another connection, and none is lost between the two.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME)
        .max_buf_size(HEAD_BYTES)
        // The buffer may grow past its limit before hyper looks at it.
        .max_header_size(HEAD_BYTES)
        .serve_connection(wire, service)
        .with_upgrades();
    let mut served = pin!(served);
    let outcome = tokio::select! {
        biased;
        outcome = served.as_mut() => outcome,
        () = state.asked_to_close() => {
            // Closed in order if nothing arrives in the meantime; a head that is only half there is cut.
            served.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN_IDLE_TIME, served.as_mut()).await.unwrap_or(Ok(()))
        }
        () = Phase::Leaving.reached(&mut phase) => {
            // hyper's graceful shutdown closes an idle connection at once, even if the client has just sent a request on it: a client that
            // uses it gets time to do so.
            let mut request_starts = pin!(request_started.notified());
            let was_used = request_starts.as_mut().enable();
            if was_used {
                // This notification is of a request before.
                request_starts.set(request_started.notified());
            }
            let unused = async {
                if was_used && *phase.borrow() == Phase::Leaving {
                    // Well before the drain, so that no request finds this connection then.
                    tokio::time::sleep(lifecycle.drain_delay / 2).await;
                } else {
                    Phase::Draining.reached(&mut phase).await;
                    tokio::time::sleep(DRAIN_IDLE_TIME).await;
                }
            };
            let (outcome, is_unused) = tokio::select! {
                biased;
                () = request_starts => (None, false),
                outcome = served.as_mut() => (Some(outcome), false),
                () = unused => (None, true),
            };
            if let Some(outcome) = outcome {
                outcome
            } else {
                // The response to a request closes its connection by itself, and a graceful shutdown would take an upgrade away.
                if is_unused || *phase.borrow() >= Phase::Draining {
                    served.as_mut().graceful_shutdown();
                }
                served.await
            }
        }
    };
    if let Err(error) = outcome {
        // Clients often disconnect, and a refused head has its own log line.
        tracing::debug!(error = %error, "connection ended");
    }
}
