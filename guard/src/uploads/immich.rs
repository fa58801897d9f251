//! What guard asks Immich about an upload before its first byte, and how it reads Immich's answers.
//!
//! Immich looks at the kind of file and at the quota after the last byte (multer 2.1.1 drains the whole body first). A person with a file of many
//! gigabytes should hear a no before that.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::proxy::Upstream;
use crate::proxy::request_body::RequestBody;
use crate::upstream::UpstreamError;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How long the list of kinds of files is used.
const KINDS_AGE: Duration = Duration::from_secs(10 * 60);

/// An answer of Immich that is passed to the client.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, JSON.
    pub body: Bytes,
}

/// A file that Immich has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The id of the asset.
    pub id: String,
    /// Whether Immich had it already.
    pub is_duplicate: bool,
}

impl Stored {
    /// Reads the answer to `POST /api/assets`.
    pub fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Asset {
            id: String,
            status: String,
        }
        let asset: Asset = serde_json::from_slice(body).ok()?;
        let is_id =
            (1..=64).contains(&asset.id.len()) && asset.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_id.then(|| Self { id: asset.id, is_duplicate: asset.status == "duplicate" })
    }

    /// The value of `Guard-Asset-Status`.
    pub const fn status(&self) -> &'static str {
        if self.is_duplicate { "duplicate" } else { "created" }
    }
}

/// Reads an answer of limited size in limited time.
pub async fn read(response: Response<Incoming>) -> Result<Bytes, ()> {
    let collected = timeout(ANSWER_TIME, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
    Ok(collected.map_err(drop)?.map_err(drop)?.to_bytes())
}

/// What stands against an upload.
#[derive(Debug)]
pub enum Objection {
    /// Immich does not know the kind of file.
    Kind,
    /// It would not fit into the person's quota, of which so many bytes are left.
    Quota(u64),
    /// Immich refuses the credential, or has another objection.
    Answer(Answer),
    /// Immich does not answer.
    Unreachable(UpstreamError),
}

/// The kinds of files that Immich takes, remembered for a while.
#[derive(Default)]
pub struct Kinds(Mutex<Option<(Instant, Arc<HashSet<String>>)>>);

impl Kinds {
    async fn get(&self, upstream: &Arc<Upstream>, headers: &HeaderMap) -> Option<Arc<HashSet<String>>> {
        #[derive(Deserialize)]
        struct Types {
            image: HashSet<String>,
            video: HashSet<String>,
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().clone().filter(|(since, _)| since.elapsed() < KINDS_AGE);
        if let Some((_, kinds)) = known {
            return Some(kinds);
        }
        let response = ask(upstream, headers, "/api/server/media-types").await.ok()?;
        let types: Types = serde_json::from_slice(&response.body).ok()?;
        let kinds = Arc::new(types.image.into_iter().chain(types.video).collect::<HashSet<_>>());
        *lock() = Some((Instant::now(), kinds.clone()));
        Some(kinds)
    }
}

/// Asks Immich whether it would take a file of this kind and length with the credential in these headers. Where Immich has no such answer (an
/// API key that may only upload, a shared link, another version), nothing is said against it: Immich decides at the end.
pub async fn check(
    upstream: &Arc<Upstream>,
    kinds: &Kinds,
    headers: &HeaderMap,
    extension: &str,
    length: u64,
    is_shared: bool,
) -> Result<(), Objection> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Me {
        quota_size_in_bytes: Option<u64>,
        quota_usage_in_bytes: Option<u64>,
    }
    let me = ask(upstream, headers, "/api/users/me").await.map_err(Objection::Unreachable)?;
    // Whoever comes by a shared link is nobody to this question.
    if me.status == StatusCode::UNAUTHORIZED && !is_shared {
        return Err(Objection::Answer(me));
    }
    if me.status.is_success()
        && let Ok(Me { quota_size_in_bytes: Some(size), quota_usage_in_bytes: usage }) = serde_json::from_slice(&me.body)
    {
        let left = size.saturating_sub(usage.unwrap_or(0));
        if length > left {
            return Err(Objection::Quota(left));
        }
    }
    match kinds.get(upstream, headers).await {
        Some(kinds) if !kinds.contains(extension) => Err(Objection::Kind),
        _ => Ok(()),
    }
}

async fn ask(upstream: &Arc<Upstream>, headers: &HeaderMap, path: &'static str) -> Result<Answer, UpstreamError> {
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = Uri::from_static(path);
    *request.headers_mut() = headers.clone();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("immich"));
    let (response, _lease) = upstream.send(request).await?;
    let status = response.status();
    Ok(Answer { status, body: read(response).await.unwrap_or_default() })
}
