//! The load: keep-alive connections that each send the same request again and again, and check every answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Outcome;

/// The largest answer that is expected, in bytes.
const ANSWER_BYTES: usize = 8 * 1024;
/// After this a round counts as hung.
const ROUND: Duration = Duration::from_secs(300);

/// What to send, where to, how often, and what has to come back.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) requests: usize,
    pub(crate) request: Arc<[u8]>,
    pub(crate) body: Arc<[u8]>,
}

/// How long the whole took, and each request, sorted.
pub(crate) struct Timing {
    pub(crate) elapsed: Duration,
    latencies: Vec<Duration>,
}

impl Load {
    /// Runs to the end, or to the first answer that is not the expected one.
    pub(crate) async fn run(&self) -> Outcome<Timing> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for index in 0..self.connections {
            let share = self.requests / self.connections + usize::from(index < self.requests % self.connections);
            tasks.spawn(self.clone().connection(share));
        }
        let mut latencies = Vec::with_capacity(self.requests);
        let all = async {
            while let Some(done) = tasks.join_next().await {
                latencies.extend(done??);
            }
            Outcome::Ok(())
        };
        tokio::time::timeout(ROUND, all).await.map_err(|_| format!("{} answers are missing after {ROUND:?}", self.address))??;
        let elapsed = start.elapsed();
        latencies.sort_unstable();
        Ok(Timing { elapsed, latencies })
    }

    async fn connection(self, requests: usize) -> Outcome<Vec<Duration>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let ending = [b"\r\n\r\n", &self.body[..]].concat();
        let mut latencies = Vec::with_capacity(requests);
        let mut answer = vec![0; ANSWER_BYTES];
        for done in 0..requests {
            let start = Instant::now();
            stream.write_all(&self.request).await?;
            let mut filled = 0;
            loop {
                let count = stream.read(&mut answer[filled..]).await?;
                filled += count;
                let text = &answer[..filled];
                if text.starts_with(b"HTTP/1.1 200 ") && text.ends_with(&ending) {
                    break;
                }
                if count == 0 || (filled >= 13 && !text.starts_with(b"HTTP/1.1 200 ")) {
                    let text = String::from_utf8_lossy(text);
                    return Err(format!("request {done} of a connection got, instead of the expected answer: {text:?}").into());
                }
            }
            latencies.push(start.elapsed());
        }
        Ok(latencies)
    }
}

impl Timing {
    /// The latency that `percent` of the requests stayed at or below.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies.get(rank - 1).copied().unwrap_or_default()
    }
}
