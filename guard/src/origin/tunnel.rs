//! Tunnels: after 101 Switching Protocols, bytes are copied between the client's and the upstream's socket in both directions. The WebSocket
//! protocol (RFC 6455) is not parsed.
//!
//! A tunnel is counted. It ends at the `exp` of the token that opened it, when the key of that token is withdrawn, or at the end of a drain, so
//! that no client stays connected with a token that is no longer valid.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use crate::proxy::access_log::AccessLog;
use crate::serve::Phase;
use crate::serve::drain_counter::DrainGuard;
use crate::serve::wire::Wire;
use crate::telemetry::metrics::GaugeGuard;

/// The buffer of one direction, in bytes.
const BUFFER_BYTES: usize = 8 * 1024;
/// How often the wall clock is read while a tunnel waits for its expiry. A timer alone does not notice that the machine was suspended.
const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Ends when the key that a token was verified with is no longer the front door's.
pub type Withdrawn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One tunnel, and what it holds until it ends.
pub struct Tunnel {
    /// The client's connection.
    pub client: OnUpgrade,
    /// The upstream's connection.
    pub upstream: OnUpgrade,
    /// `exp` of the token that opened it, in seconds since 1970.
    pub expires: u64,
    /// Ends when the key that verified this token is withdrawn.
    pub withdrawn: Withdrawn,
    /// The phase of the process: a drain closes tunnels.
    pub phase: watch::Receiver<Phase>,
    /// The entry of the access log.
    pub log: AccessLog,
    /// Its count in the gauge of open tunnels.
    pub gauge: GaugeGuard,
    /// Its count among the tunnels that a drain waits for.
    pub counted: DrainGuard,
}

impl Tunnel {
    /// Copies bytes until both sides have ended, one side fails, the token expires, or a drain closes tunnels.
    pub async fn run(mut self) {
        let (client, upstream) = match tokio::try_join!(self.client, self.upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(error = %error, "a tunnel did not open");
                return;
            }
        };
        let (Ok(client), Ok(upstream)) = (client.downcast::<TokioIo<Wire>>(), upstream.downcast::<TokioIo<TcpStream>>()) else {
            return;
        };
        let Parts { io: client, read_buf: from_client, .. } = client;
        let Parts { io: upstream, read_buf: from_upstream, .. } = upstream;
        let ((mut client, ahead), mut upstream) = (client.into_inner().into_parts(), upstream.into_inner());
        let from_client = [&from_client[..], &ahead].concat();

        let (mut bytes_in, mut bytes_out) = (0, 0);
        {
            let (client_read, client_write) = client.split();
            let (upstream_read, upstream_write) = upstream.split();
            let inward = pump(&from_client, client_read, upstream_write, &mut bytes_in);
            let outward = pump(&from_upstream, upstream_read, client_write, &mut bytes_out);
            tokio::select! {
                moved = async { tokio::try_join!(inward, outward) } => self.log.complete = moved.is_ok(),
                () = expiry(self.expires) => self.log.complete = true,
                () = &mut self.withdrawn => self.log.complete = true,
                () = Phase::ClosingTunnels.reached(&mut self.phase) => {}
            }
        }
        self.log.bytes_in = bytes_in;
        self.log.bytes_out = bytes_out;
        shut(&client);
        shut(&upstream);
        drop((self.log, self.gauge, self.counted));
    }
}

/// Copies one direction: first the bytes that hyper had already read, then the socket. At its end, the write half of the other side is closed.
async fn pump(first: &[u8], mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, moved: &mut u64) -> io::Result<()> {
    to.write_all(first).await?;
    *moved += first.len() as u64;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        *moved += count as u64;
    }
}

/// Waits until the wall clock passes `expires`. A time that the clock cannot represent counts as passed.
async fn expiry(expires: u64) {
    let Some(end) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires)) else { return };
    while let Ok(left) = end.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(CLOCK_CHECK)).await;
    }
}

/// Shuts down a socket in both directions.
fn shut(stream: &TcpStream) {
    // An error means that the peer has closed it already.
    let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::expiry;

    /// A token may contain any `exp`. One beyond the range of the clock must not end the process.
    #[tokio::test]
    async fn an_end_beyond_all_time_is_now() {
        expiry(u64::MAX).await;
        expiry(0).await;
    }
}
