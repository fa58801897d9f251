//! What a family does all day, by the tunnel: phones upload, look at photos and hold a WebSocket, until they are told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyper::StatusCode;
use serde_json::Value;
use testkit::ws;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::flux::text;
use crate::node::http::{Answer, form, photo, request, send, sha256};
use crate::node::{Home, SITE};

/// As many phones of each kind.
const PHONES: usize = 4;
/// The size of their photos.
const PHOTO: usize = 512 << 10;
/// Between two actions of a phone: a client that is refused does not ask again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// No other run of phones has the same photos.
static SEED: AtomicU64 = AtomicU64::new(1000);

/// Phones at work.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    phones: JoinSet<Tally>,
}

/// What came of it. Status 0 is a connection that broke before an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// SHA-256 of the photos that were accepted.
    pub accepted: Vec<String>,
    /// Uploads by status.
    pub uploads: BTreeMap<u16, usize>,
    /// Downloads by status; a photo that is not whole counts as 0.
    pub downloads: BTreeMap<u16, usize>,
    /// What those who did not get what they wanted were told, each text once.
    pub refusals: BTreeSet<String>,
    /// WebSockets that were opened, and that ended before their phone stopped.
    pub websockets: (usize, usize),
    /// The longest time in which somebody who looked at a photo did not see it.
    pub away: Duration,
}

impl Load {
    /// Starts the phones. The photo that they look at is `shown`, which must be stored.
    pub(super) fn start(home: &Home, shown: &[u8]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicU64::new(0));
        let front = home.edge.front();
        let token = home.issuer.token_for("family@example.com");
        let mut phones = JoinSet::new();
        let shown = Arc::new((sha256(shown), shown.to_vec()));
        for _ in 0..PHONES {
            let phone = || (front, token.clone(), Arc::clone(&stop));
            let (to, token, stopped) = phone();
            let accepted = Arc::clone(&accepted);
            phones.spawn(async move { upload(to, &token, &accepted, &stopped).await });
            let (to, token, stopped) = phone();
            let shown = Arc::clone(&shown);
            phones.spawn(async move { look_at(to, &token, &shown, &stopped).await });
            let (to, token, stopped) = phone();
            phones.spawn(async move { hold_websocket(to, &token, &stopped).await });
        }
        Self { stop, accepted, phones }
    }

    /// How many photos were accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Lets everybody finish, and returns what came of it.
    pub(super) async fn end(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        while let Some(tally) = self.phones.join_next().await {
            all.add(tally.unwrap_or_default());
        }
        all
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.refusals.extend(other.refusals);
        for (all, some) in [(&mut self.uploads, other.uploads), (&mut self.downloads, other.downloads)] {
            for (status, count) in some {
                *all.entry(status).or_default() += count;
            }
        }
        self.websockets.0 += other.websockets.0;
        self.websockets.1 += other.websockets.1;
        self.away = self.away.max(other.away);
    }

    /// The status, 0 without an answer. Keeps what a refusal says.
    fn status_of(&mut self, answer: Result<Answer>) -> u16 {
        let (status, said) = match answer {
            Ok(answer) if answer.status.is_success() => return answer.status.as_u16(),
            Ok(answer) => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                (answer.status.as_u16(), text(&body, "/message").to_owned())
            }
            Err(error) => (0, format!("{error:#}")),
        };
        self.refusals.insert(format!("{status} {said}"));
        status
    }

    /// Fails unless every accepted photo is on the NAS, whole.
    pub(super) fn all_on_nas(&self, home: &Home) -> Result<()> {
        let nas = home.nas.as_ref().context("a NAS")?;
        for id in &self.accepted {
            let found = nas.read(&format!("immich/library/{id}")).map(|photo| sha256(&photo));
            ensure!(found.as_ref() == Some(id), "accepted, and not on the NAS as it was sent: {id}, found {found:?}");
        }
        Ok(())
    }

    /// Whether every upload and download got a good answer, or one of these.
    pub(super) fn failed_only_with(&self, allowed: &[u16]) -> bool {
        let mut all = self.uploads.keys().chain(self.downloads.keys());
        all.all(|status| matches!(status, 200 | 201) || allowed.contains(status))
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        format!(
            "uploads {:?}, downloads {:?}, {} WebSockets of which {} were ended{}",
            self.uploads,
            self.downloads,
            self.websockets.0,
            self.websockets.1,
            self.refusals.iter().fold(String::new(), |told, refusal| told + "; told: " + refusal)
        )
    }
}

/// Uploads one photo by the tunnel.
pub(super) async fn upload_one(to: SocketAddr, token: &str, photo: &[u8]) -> Result<StatusCode> {
    Ok(upload_for_answer(to, token, photo).await?.status)
}

async fn upload_for_answer(to: SocketAddr, token: &str, photo: &[u8]) -> Result<Answer> {
    let (kind, body) = form("IMG_0003.jpg", photo);
    let fields = [("content-type", kind.as_str()), ("cf-access-jwt-assertion", token)];
    send(TcpStream::connect(to).await?, request("POST", SITE, "/api/assets", &fields, body)?).await
}

async fn upload(to: SocketAddr, token: &str, accepted: &AtomicU64, stopped: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    while !stopped.load(Ordering::Relaxed) {
        let photo = photo(SEED.fetch_add(1, Ordering::Relaxed), PHOTO);
        let status = tally.status_of(upload_for_answer(to, token, &photo).await);
        *tally.uploads.entry(status).or_default() += 1;
        if matches!(status, 200 | 201) {
            tally.accepted.push(sha256(&photo));
            accepted.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PAUSE).await;
    }
    tally
}

async fn look_at(to: SocketAddr, token: &str, (id, photo): &(String, Vec<u8>), stopped: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let path = format!("/api/assets/{id}/original");
    let look = async || {
        let request = request("GET", SITE, &path, &[("cf-access-jwt-assertion", token)], Vec::new())?;
        send(TcpStream::connect(to).await?, request).await
    };
    let mut last_seen = Instant::now();
    while !stopped.load(Ordering::Relaxed) {
        let answer = look().await.and_then(|answer| {
            ensure!(answer.status != StatusCode::OK || answer.body == *photo, "the photo is not whole");
            Ok(answer)
        });
        let status = tally.status_of(answer);
        *tally.downloads.entry(status).or_default() += 1;
        if status == 200 {
            tally.away = tally.away.max(last_seen.elapsed());
            last_seen = Instant::now();
        }
        tokio::time::sleep(PAUSE).await;
    }
    tally
}

async fn hold_websocket(to: SocketAddr, token: &str, stopped: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    'open: while !stopped.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
        let fields = [("cf-access-jwt-assertion", token), ("host", SITE)];
        let Ok(mut socket) = ws::try_connect_with(to, ws::SOCKET_IO, &fields).await else { continue };
        tally.websockets.0 += 1;
        while !stopped.load(Ordering::Relaxed) {
            if !ws::echoes(&mut socket, "40").await {
                tally.websockets.1 += 1;
                continue 'open;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    tally
}
