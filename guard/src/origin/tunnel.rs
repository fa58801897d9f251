//! 101 Switching Protocols: two sockets become one pipe, byte for byte, half-close safe (RFC 6455 runs inside, unseen).
//!
//! A tunnel is counted, and ends at the `exp` of the token that opened it, or at the end of a drain: nobody stays inside on a proof
//! that has run out.

use std::io;
use std::net::Shutdown;
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
/// How often the wall clock is read again while a tunnel waits for its end: timers do not notice that the machine slept.
const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Everything that one tunnel holds until it ends.
pub struct Tunnel {
    /// The client's side.
    pub client: OnUpgrade,
    /// Immich's side.
    pub upstream: OnUpgrade,
    /// `exp` of the token that opened it, in seconds since 1970.
    pub expires: u64,
    /// When the process wants tunnels closed.
    pub phase: watch::Receiver<Phase>,
    /// Its log line.
    pub log: AccessLog,
    /// Its place in the gauge.
    pub gauge: GaugeGuard,
    /// Its place in the drain.
    pub counted: DrainGuard,
}

impl Tunnel {
    /// Moves bytes until one of its ends has come.
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
        let (mut client, mut upstream) = (client.into_inner().into_stream(), upstream.into_inner());

        let (mut bytes_in, mut bytes_out) = (0, 0);
        {
            let (client_read, client_write) = client.split();
            let (upstream_read, upstream_write) = upstream.split();
            let inward = pump(&from_client, client_read, upstream_write, &mut bytes_in);
            let outward = pump(&from_upstream, upstream_read, client_write, &mut bytes_out);
            tokio::select! {
                moved = async { tokio::try_join!(inward, outward) } => self.log.complete = moved.is_ok(),
                () = expiry(self.expires) => self.log.complete = true,
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

/// One direction: what hyper had already read first, then the socket, and at its end the other side's write half is closed.
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

/// Waits until the wall clock passes `expires`. A time that no clock can show has come already.
async fn expiry(expires: u64) {
    let Some(end) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires)) else { return };
    while let Ok(left) = end.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(CLOCK_CHECK)).await;
    }
}

/// Ends a side with a FIN where it can still be sent.
fn shut(stream: &TcpStream) {
    // The peer may be gone already; there is nothing left to do for it then.
    let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::expiry;

    /// A token may say anything: `exp` beyond what the clock can show would otherwise end the process.
    #[tokio::test]
    async fn an_end_beyond_all_time_is_now() {
        expiry(u64::MAX).await;
        expiry(0).await;
    }
}
