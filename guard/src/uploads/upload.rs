//! One upload: its state, and the request to Immich that its parts feed.
//!
//! The offset counts the bytes that were accepted into the one request body, at one place, after backpressure let them through. Bytes are never
//! sent twice, so an upload whose request is lost has to begin again. One request at a time writes; a newer one cuts the older one off, because
//! a client whose network died comes back before its old connection does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::form::{Form, UploadBody};
use super::immich::{self, Answer, Stored};
use crate::memory::Reservation;
use crate::proxy::Upstream;
use crate::proxy::request_body::RequestBody;

/// How long Immich may take no byte before the current part is ended, with the offset so far. Cloudflare gives up at 30 s.
pub const STALLED: Duration = Duration::from_secs(20);
/// How long the last part waits for Immich's response. Cloudflare gives up at 120 s.
pub const ANSWER_TIME: Duration = Duration::from_secs(90);
/// The whole time of an upload. Immich ends a request after 24 hours.
pub const WHOLE_TIME: Duration = Duration::from_secs(23 * 60 * 60);

/// Who may see an upload: an identity with one credential of Immich.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The authenticated identity.
    pub identity: String,
    /// A digest of the client's credential at Immich.
    pub credential: [u8; 32],
}

/// How an upload ended, or that it has not.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It has not.
    Running,
    /// Immich has the file.
    Stored(Stored),
    /// Immich refused it.
    Refused(Answer),
    /// It cannot go on, and has to begin again.
    Broken(&'static str),
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// This is the offset now.
    At(u64),
    /// Its offset is not the upload's, which is this.
    WrongOffset(u64),
    /// It has more bytes than the upload may have. The upload is broken.
    TooLong,
    /// A newer request took its place.
    Superseded,
    /// All bytes are with Immich, which has not answered yet.
    Waiting,
    /// The upload has ended: see its outcome.
    Ended,
}

/// What the request to Immich is made from, until the first byte of the file opens it. It holds the client's credential.
pub struct Opening {
    /// The head, complete but for the body.
    pub head: Request<()>,
    /// The form around the file.
    pub form: Form,
    /// The connections to Immich. A new one is opened for each upload.
    pub upstream: Arc<Upstream>,
}

enum Stage {
    NotOpened(Box<Opening>),
    Open(mpsc::Sender<Bytes>),
    Closed,
}

struct Writer {
    offset: u64,
    stage: Stage,
}

/// Called once when an upload ends, with the bytes that Immich was given.
pub type Ended = Box<dyn Fn(&Upload, &Outcome, u64) + Send + Sync>;

/// An upload.
pub struct Upload {
    /// Its name in URLs.
    pub id: String,
    /// Who may see it.
    pub owner: Owner,
    /// The name of its file.
    pub filename: String,
    /// The length of its file, in bytes.
    pub length: u64,
    /// `Upload-Metadata` as the client sent it.
    pub metadata: Option<HeaderValue>,
    /// When it was created.
    pub began: Instant,
    idle: Duration,
    active: Mutex<Instant>,
    /// The offset, for whoever does not hold the writer.
    given: AtomicU64,
    writer: tokio::sync::Mutex<Writer>,
    newest: watch::Sender<u64>,
    outcome: watch::Sender<Outcome>,
    /// Whether its client was told that it broke.
    told: AtomicBool,
    task: Mutex<Option<AbortHandle>>,
    reservation: Mutex<Option<Reservation>>,
    ended: Ended,
}

/// What an upload is made from.
pub struct NewUpload {
    /// Its name in URLs.
    pub id: String,
    /// Who may see it.
    pub owner: Owner,
    /// The name of its file.
    pub filename: String,
    /// The length of its file, in bytes.
    pub length: u64,
    /// `Upload-Metadata` as the client sent it.
    pub metadata: Option<HeaderValue>,
    /// What the request to Immich is made from.
    pub opening: Opening,
    /// How long it may be without a request.
    pub idle: Duration,
    /// The memory of its request to Immich.
    pub reservation: Reservation,
    /// Called once when it ends, with the bytes that Immich was given.
    pub ended: Ended,
}

impl Upload {
    /// An upload without a byte. Immich is not connected to before the first one.
    pub fn new(new: NewUpload) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            id: new.id,
            owner: new.owner,
            filename: new.filename,
            length: new.length,
            metadata: new.metadata,
            began: now,
            idle: new.idle,
            active: Mutex::new(now),
            given: AtomicU64::new(0),
            writer: tokio::sync::Mutex::new(Writer { offset: 0, stage: Stage::NotOpened(Box::new(new.opening)) }),
            newest: watch::Sender::new(0),
            outcome: watch::Sender::new(Outcome::Running),
            told: AtomicBool::new(false),
            task: Mutex::default(),
            reservation: Mutex::new(Some(new.reservation)),
            ended: new.ended,
        })
    }

    /// How it ended, or that it has not.
    pub fn outcome(&self) -> Outcome {
        self.outcome.borrow().clone()
    }

    /// Whether it can still go on.
    pub fn is_running(&self) -> bool {
        matches!(*self.outcome.borrow(), Outcome::Running)
    }

    /// Whether no request writes to it at the moment.
    pub fn is_quiet(&self) -> bool {
        self.writer.try_lock().is_ok()
    }

    /// Whether this is the first time that its client hears that it broke. Clients look at an upload again after a server's error, and begin
    /// again when it is gone; "gone" as the answer to a part is final for them.
    pub fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// The time until it expires.
    pub fn expires_in(&self) -> Duration {
        let idle = (*lock(&self.active) + self.idle).saturating_duration_since(Instant::now());
        idle.min((self.began + WHOLE_TIME).saturating_duration_since(Instant::now()))
    }

    /// The offset, once no other request writes. A running part is ended.
    pub async fn offset(&self) -> u64 {
        self.newest.send_modify(|number| *number += 1);
        let writer = self.writer.lock().await;
        self.touch();
        writer.offset
    }

    /// Waits until it has ended, for at most this time.
    pub async fn wait(&self, limit: Duration) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let _ = timeout(limit, outcome.wait_for(|outcome| !matches!(outcome, Outcome::Running))).await;
        self.outcome()
    }

    /// Ends it. Immich is left with a broken message, which it cannot store.
    pub fn kill(&self, cause: &'static str) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
        self.end(Outcome::Broken(cause));
    }

    /// Feeds a part to Immich, from this offset on, as fast as Immich takes it.
    pub async fn append(self: &Arc<Self>, from: u64, body: RequestBody) -> Part {
        let mut number = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let newest = self.newest.subscribe();
        let mut writer = self.writer.lock().await;
        self.touch();
        let part = self.feed(&mut writer, (newest, number), from, body).await;
        if !self.is_running() {
            // It holds the client's credential, if it was never opened.
            writer.stage = Stage::Closed;
        }
        part
    }

    async fn feed(
        self: &Arc<Self>,
        writer: &mut Writer,
        (mut newest, number): (watch::Receiver<u64>, u64),
        from: u64,
        mut body: RequestBody,
    ) -> Part {
        let is_superseded = |newest: &watch::Receiver<u64>| *newest.borrow() != number;
        if is_superseded(&newest) {
            return Part::Superseded;
        }
        newest.mark_unchanged();
        let mut outcome = self.outcome.subscribe();
        if !self.is_running() {
            return Part::Ended;
        }
        if writer.offset != from {
            return Part::WrongOffset(writer.offset);
        }
        while writer.offset < self.length {
            let frame = tokio::select! {
                biased;
                _ = newest.changed() => return Part::Superseded,
                _ = outcome.changed() => return Part::Ended,
                frame = body.frame() => frame,
            };
            // An error: what came so far counts, and the client goes on from there.
            let Some(Ok(frame)) = frame else { return Part::At(writer.offset) };
            let Ok(bytes) = frame.into_data() else { continue };
            if bytes.is_empty() {
                continue;
            }
            let left = self.length - writer.offset;
            // The last byte of the file is held back until the part has ended: with it, Immich would store the file.
            let has_more = bytes.len() as u64 == left && !body.is_end_stream();
            let behind = if has_more {
                tokio::select! {
                    biased;
                    _ = newest.changed() => return Part::Superseded,
                    behind = next_bytes(&mut body) => behind,
                }
            } else {
                Behind::Nothing
            };
            if bytes.len() as u64 > left || matches!(behind, Behind::More) {
                self.kill("a part was longer than the upload");
                return Part::TooLong;
            }
            if matches!(behind, Behind::Broken) {
                return Part::At(writer.offset);
            }
            let Some(sender) = self.open(writer) else { return Part::Ended };
            let permit = tokio::select! {
                biased;
                _ = newest.changed() => return Part::Superseded,
                _ = outcome.changed() => return Part::Ended,
                permit = timeout(STALLED, sender.reserve()) => permit,
            };
            match permit {
                Ok(Ok(permit)) => {
                    writer.offset += bytes.len() as u64;
                    self.given.store(writer.offset, Ordering::Release);
                    permit.send(bytes);
                    self.touch();
                }
                // The connection is gone. Its task says why in a moment.
                Ok(Err(_)) => {
                    self.wait(STALLED).await;
                    return Part::Ended;
                }
                Err(_) => return Part::At(writer.offset),
            }
        }
        tokio::select! {
            biased;
            _ = newest.changed() => Part::Superseded,
            outcome = self.wait(ANSWER_TIME) => if matches!(outcome, Outcome::Running) { Part::Waiting } else { Part::Ended },
        }
    }

    /// The channel to the request body. The first call sends the request.
    fn open(self: &Arc<Self>, writer: &mut Writer) -> Option<mpsc::Sender<Bytes>> {
        if let Stage::Open(sender) = &writer.stage {
            return Some(sender.clone());
        }
        let Stage::NotOpened(opening) = std::mem::replace(&mut writer.stage, Stage::Closed) else { return None };
        // One frame: what Immich does not take stays with the client.
        let (sender, receiver) = mpsc::channel(1);
        let Opening { head, form, upstream } = *opening;
        let request = head.map(|()| RequestBody::Made(Box::pin(UploadBody::new(form, self.length, receiver))));
        let upload = self.clone();
        let task = tokio::spawn(async move { upload.end(exchange(&upstream, request).await) });
        *lock(&self.task) = Some(task.abort_handle());
        writer.stage = Stage::Open(sender.clone());
        Some(sender)
    }

    fn end(&self, outcome: Outcome) {
        let is_first = self.outcome.send_if_modified(|current| {
            let is_running = matches!(current, Outcome::Running);
            if is_running {
                *current = outcome;
            }
            is_running
        });
        if is_first {
            drop(lock(&self.reservation).take());
            // Where a part is under way, it does this itself.
            if let Ok(mut writer) = self.writer.try_lock() {
                writer.stage = Stage::Closed;
            }
            (self.ended)(self, &self.outcome(), self.given.load(Ordering::Acquire));
        }
    }

    fn touch(&self) {
        *lock(&self.active) = Instant::now();
    }
}

/// What comes behind the bytes that complete a file.
enum Behind {
    Nothing,
    More,
    Broken,
}

async fn next_bytes(body: &mut RequestBody) -> Behind {
    loop {
        match body.frame().await {
            None => return Behind::Nothing,
            Some(Err(_)) => return Behind::Broken,
            Some(Ok(frame)) if frame.data_ref().is_some_and(|bytes| !bytes.is_empty()) => return Behind::More,
            Some(Ok(_)) => {}
        }
    }
}

/// Sends the request and reads Immich's answer, which may come before the last byte.
async fn exchange(upstream: &Arc<Upstream>, request: Request<RequestBody>) -> Outcome {
    let (response, _lease) = match upstream.send(request).await {
        Ok(exchange) => exchange,
        Err(error) => {
            tracing::warn!(error = %error, "large upload: Immich did not answer");
            return Outcome::Broken("Immich was not reached, or broke off");
        }
    };
    let status = response.status();
    match immich::read(response).await {
        Ok(body) if status.is_success() => match Stored::read(&body) {
            Some(stored) => Outcome::Stored(stored),
            None => Outcome::Broken("Immich's answer was not understood"),
        },
        Ok(body) if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            Outcome::Refused(Answer { status, body })
        }
        _ => Outcome::Broken("Immich failed"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
