//! The HTTP side: tus 1.0 (creation, creation-with-upload, termination, expiration), one request in, one response out.
//!
//! The statuses beyond tus' own are chosen by what its clients do with them (docs/large-files.md): an upload that lives answers HEAD with 200 or
//! 423 only, because tus-js-client begins again from byte 0 after any other; one that broke answers a part with 502 once, so that clients look,
//! and then find 410; the whole length as the offset appears only once Immich has the file.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::{Body as _, Bytes};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::form::Form;
use super::immich::{Answer, Objection, Stored};
use super::metadata::Metadata;
use super::request::{check_site, for_immich, head_for_immich, owner, shared_link};
use super::upload::{NewUpload, Opening, Outcome, Owner, Part, Upload};
use super::{PREFIX, UPLOAD_KIB, Uploads, immich, log_end, page};
use crate::config::units::size_in_words;
use crate::header_fields::{content_length, single};
use crate::identity::Identity;
use crate::memory::Holder;
use crate::proxy::request_body::RequestBody;
use crate::refusal::{Reason, Refusal};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const ASSET_STATUS: HeaderName = HeaderName::from_static("guard-asset-status");
const ASSET_ID: HeaderName = HeaderName::from_static("guard-asset-id");

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue = HeaderValue::from_static("creation,creation-with-upload,termination,expiration");
const PART_TYPE: &str = "application/offset+octet-stream";
/// The path of the collection, without [`PREFIX`].
const COLLECTION: &str = "uploads";
/// How long a question for the offset waits for Immich's response to the last byte.
const LOCKED_TIME: Duration = Duration::from_secs(25);
/// When a client may try again, in seconds.
const RETRY: HeaderValue = HeaderValue::from_static("30");

/// An authenticated request to guard's own paths.
pub struct OwnRequest<'r> {
    /// Its head, with the headers as Immich would get them.
    pub parts: Parts,
    /// The `Origin`, `Host` and `Sec-Fetch-Site` that the client sent are among them; this is the public address, where it is configured.
    pub external: Option<&'r crate::config::External>,
    /// Its body, within the limit of a request.
    pub body: RequestBody,
    /// Who sent it.
    pub identity: Arc<Identity>,
    /// The largest body of one request, in bytes.
    pub max_part: Option<u64>,
}

impl Uploads {
    /// Answers a request to one of guard's own paths.
    pub async fn answer(&self, mut request: OwnRequest<'_>) -> Result<Response<Bytes>, Refusal> {
        let path = request.parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
        if let Some(response) = page::answer(&request.parts.method, &path, self.config.max, request.max_part) {
            return Ok(response);
        }
        let id = match path.trim_end_matches('/').strip_prefix(COLLECTION) {
            Some("") => None,
            Some(rest) if rest.starts_with('/') => Some(rest[1..].to_owned()),
            _ => return Ok(status(StatusCode::NOT_FOUND, "guard has no such page")),
        };
        if request.parts.method == Method::OPTIONS {
            return Ok(self.options());
        }
        check_site(&request)?;
        let headers = &request.parts.headers;
        if headers.get(TUS_RESUMABLE) != Some(&VERSION) {
            let mut response = status(StatusCode::PRECONDITION_FAILED, "Tus-Resumable: 1.0.0 is wanted");
            response.headers_mut().insert(TUS_VERSION, VERSION);
            return Ok(response);
        }
        // Only from POST, and only after the checks above.
        if request.parts.method == Method::POST
            && let Some(Ok(method)) = headers.get(METHOD_OVERRIDE).map(|value| Method::from_bytes(value.as_bytes()))
            && matches!(method, Method::PATCH | Method::DELETE | Method::HEAD)
        {
            request.parts.method = method;
        }
        let owner = owner(&request);
        match (request.parts.method.clone(), id) {
            (Method::POST, None) => self.create(request, owner).await,
            (Method::HEAD, Some(id)) => Ok(self.head(&id, &owner).await),
            (Method::PATCH, Some(id)) => Ok(self.patch(&id, &owner, request).await),
            (Method::DELETE, Some(id)) => Ok(self.delete(&id, &owner)),
            _ => Ok(status(StatusCode::METHOD_NOT_ALLOWED, "POST to begin; HEAD, PATCH or DELETE for an upload")),
        }
    }

    fn options(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(TUS_RESUMABLE, VERSION);
        headers.insert(TUS_VERSION, VERSION);
        headers.insert(TUS_EXTENSION, EXTENSIONS);
        headers.insert(TUS_MAX_SIZE, HeaderValue::from(self.config.max));
        response
    }

    async fn create(&self, request: OwnRequest<'_>, owner: Owner) -> Result<Response<Bytes>, Refusal> {
        let headers = &request.parts.headers;
        if headers.contains_key(UPLOAD_DEFER_LENGTH) {
            return Ok(status(StatusCode::NOT_IMPLEMENTED, "the length of the file is wanted at the beginning"));
        }
        let Some(length) = number(headers, &UPLOAD_LENGTH) else {
            return Ok(status(StatusCode::BAD_REQUEST, "Upload-Length: the number of bytes of the file is wanted"));
        };
        if length == 0 {
            return Ok(status(StatusCode::BAD_REQUEST, "the file is empty"));
        }
        if length > self.config.max {
            let text = format!("The file is larger than {} (GUARD_LARGE_UPLOADS_MAX).", size_in_words(self.config.max));
            return Ok(status(StatusCode::PAYLOAD_TOO_LARGE, &text));
        }
        let has_body = !request.body.is_end_stream();
        if has_body && !is_part(headers) {
            return Ok(status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type: application/offset+octet-stream is wanted"));
        }
        if content_length(headers).is_some_and(|declared| declared > length) {
            return Ok(status(StatusCode::PAYLOAD_TOO_LARGE, "the part is longer than the file"));
        }
        let Ok(sent) = single(headers, &UPLOAD_METADATA) else {
            return Ok(status(StatusCode::BAD_REQUEST, "Upload-Metadata: one header is wanted"));
        };
        let sent = sent.cloned();
        let metadata = match Metadata::read(sent.as_ref().map(HeaderValue::as_bytes).unwrap_or_default()) {
            Ok(metadata) => metadata,
            Err(error) => return Ok(status(StatusCode::BAD_REQUEST, &error)),
        };
        let full = |_| Refusal::new(Reason::Overloaded, "too many large uploads are under way");
        self.table.make_room(&owner, &metadata.filename, length).map_err(full)?;
        let to_immich = for_immich(headers);
        let is_shared = shared_link(request.parts.uri.query()).is_some();
        let checked = immich::check(&self.upstream, &self.kinds, &to_immich, &metadata.extension, length, is_shared).await;
        if let Err(objection) = checked {
            return objected(objection, &metadata.extension);
        }
        let holder = Holder::of(&*request.identity);
        let reservation = self.lifecycle.make_room_for(UPLOAD_KIB, holder).await;
        let reservation = reservation.ok_or_else(|| Refusal::new(Reason::Overloaded, "no memory is left for a large upload"))?;

        let unavailable = |error: crate::random::Unavailable| Refusal::new(Reason::UpstreamUnreachable, error.to_string());
        let form = Form::new(&metadata).map_err(unavailable)?;
        let id = format!("{}-{}", self.process, URL_SAFE_NO_PAD.encode(crate::random::bytes::<16>().map_err(unavailable)?));
        let head = head_for_immich(to_immich, &form, &metadata, request.parts.uri.query());
        let (metrics, who) = (self.metrics.clone(), request.identity.log_name().into_owned());
        let upload = Upload::new(NewUpload {
            id,
            owner,
            filename: metadata.filename,
            length,
            metadata: sent,
            opening: Opening { head, form, upstream: self.upstream.clone() },
            idle: self.config.idle,
            reservation,
            ended: Box::new(move |upload, outcome, bytes| log_end(&metrics, &who, upload, outcome, bytes)),
        });
        self.table.add(upload.clone()).map_err(full)?;
        self.metrics.open_uploads.set(i64::try_from(self.table.open()).unwrap_or(i64::MAX));
        let mut response = if has_body {
            let part = upload.append(0, request.body).await;
            after_part(&upload, part)
        } else {
            at_offset(&upload, 0)
        };
        if response.status() == StatusCode::NO_CONTENT {
            *response.status_mut() = StatusCode::CREATED;
        }
        // A path, not a URL: no other host can be meant. Also with an error: a client that knows the upload can look at it.
        if let Ok(location) = HeaderValue::from_str(&format!("{PREFIX}{COLLECTION}/{}", upload.id)) {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    }

    async fn head(&self, id: &str, owner: &Owner) -> Response<Bytes> {
        let upload = match self.find(id, owner) {
            Ok(upload) => upload,
            Err(missing) => return missing.response(),
        };
        let offset = upload.offset().await;
        let mut outcome = upload.outcome();
        if matches!(outcome, Outcome::Running) && offset == upload.length {
            outcome = upload.wait(LOCKED_TIME).await;
        }
        let mut response = match outcome {
            Outcome::Running if offset == upload.length => {
                return status(StatusCode::LOCKED, "Immich has the whole file and has not answered yet");
            }
            Outcome::Running => at_offset(&upload, offset),
            Outcome::Stored(stored) => is_stored(&upload, &stored),
            Outcome::Refused(_) | Outcome::Broken(_) => {
                upload.tell();
                return gone();
            }
        };
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(UPLOAD_LENGTH, HeaderValue::from(upload.length));
        if let Some(metadata) = &upload.metadata {
            response.headers_mut().insert(UPLOAD_METADATA, metadata.clone());
        }
        response
    }

    async fn patch(&self, id: &str, owner: &Owner, request: OwnRequest<'_>) -> Response<Bytes> {
        let upload = match self.find(id, owner) {
            Ok(upload) => upload,
            Err(missing) => return missing.response(),
        };
        let headers = &request.parts.headers;
        if !is_part(headers) {
            return status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type: application/offset+octet-stream is wanted");
        }
        let Some(offset) = number(headers, &UPLOAD_OFFSET) else {
            return status(StatusCode::BAD_REQUEST, "Upload-Offset: a number of bytes is wanted");
        };
        let end = content_length(headers).map(|length| offset.saturating_add(length));
        if offset > upload.length || end.is_some_and(|end| end > upload.length) {
            return status(StatusCode::PAYLOAD_TOO_LARGE, "the part ends behind the end of the file");
        }
        let part = upload.append(offset, request.body).await;
        after_part(&upload, part)
    }

    fn delete(&self, id: &str, owner: &Owner) -> Response<Bytes> {
        match self.find(id, owner) {
            Ok(upload) if upload.is_running() => {
                upload.tell();
                upload.kill("its client ended it");
                let mut response = status(StatusCode::NO_CONTENT, "");
                *response.body_mut() = Bytes::new();
                response
            }
            Ok(_) => gone(),
            Err(missing) => missing.response(),
        }
    }

    /// The upload of this owner. One of an earlier process of guard is gone for good; any other has never been.
    fn find(&self, id: &str, owner: &Owner) -> Result<Arc<Upload>, Missing> {
        self.table.get(id, owner).ok_or_else(|| {
            let is_of_another_process = id.split_once('-').is_some_and(|(process, rest)| {
                process.len() == 16
                    && process != self.process
                    && process.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && rest.len() == 22
            });
            if is_of_another_process { Missing::OfAnotherProcess } else { Missing::Unknown }
        })
    }
}

/// Why there is no upload with an id.
#[derive(Clone, Copy)]
enum Missing {
    /// There never was, or it is another owner's.
    Unknown,
    /// guard was restarted since.
    OfAnotherProcess,
}

impl Missing {
    fn response(self) -> Response<Bytes> {
        match self {
            Self::Unknown => status(StatusCode::NOT_FOUND, "there is no such upload"),
            Self::OfAnotherProcess => gone(),
        }
    }
}

fn objected(objection: Objection, extension: &str) -> Result<Response<Bytes>, Refusal> {
    match objection {
        Objection::Kind => {
            Ok(status(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("Immich takes no files of the kind {extension}.")))
        }
        Objection::Quota(left) => {
            let text = format!("Your quota is used up: {} are left. Ask the person who runs this home.", size_in_words(left));
            Ok(status(StatusCode::BAD_REQUEST, &text))
        }
        Objection::Answer(answer) => Ok(passed_on(&answer)),
        Objection::Unreachable(error) => Err(error.into()),
    }
}

fn after_part(upload: &Upload, part: Part) -> Response<Bytes> {
    match part {
        Part::At(offset) => at_offset(upload, offset),
        Part::WrongOffset(offset) => {
            let mut response = status(StatusCode::CONFLICT, &format!("the offset is {offset}"));
            response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(offset));
            response
        }
        Part::TooLong => status(StatusCode::PAYLOAD_TOO_LARGE, "the part was longer than the rest of the file"),
        Part::Superseded => status(StatusCode::LOCKED, "a newer request for this upload came"),
        Part::Waiting => {
            let mut response = status(StatusCode::SERVICE_UNAVAILABLE, "Immich has the whole file and has not answered yet");
            response.headers_mut().insert(RETRY_AFTER, RETRY);
            response
        }
        Part::Ended => match upload.outcome() {
            Outcome::Stored(stored) => is_stored(upload, &stored),
            Outcome::Refused(answer) => {
                upload.tell();
                passed_on(&answer)
            }
            Outcome::Broken(cause) if upload.tell() => {
                status(StatusCode::BAD_GATEWAY, &format!("The upload broke off ({cause}). It has to begin again."))
            }
            Outcome::Broken(_) | Outcome::Running => gone(),
        },
    }
}

fn at_offset(upload: &Upload, offset: u64) -> Response<Bytes> {
    let mut response = status(StatusCode::NO_CONTENT, "");
    *response.body_mut() = Bytes::new();
    let expires = httpdate::fmt_http_date(SystemTime::now() + upload.expires_in());
    response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    if let Ok(expires) = HeaderValue::from_str(&expires) {
        response.headers_mut().insert(UPLOAD_EXPIRES, expires);
    }
    response
}

fn is_stored(upload: &Upload, stored: &Stored) -> Response<Bytes> {
    let mut response = status(StatusCode::NO_CONTENT, "");
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(upload.length));
    headers.insert(ASSET_STATUS, HeaderValue::from_static(stored.status()));
    if let Ok(id) = HeaderValue::from_str(&stored.id) {
        headers.insert(ASSET_ID, id);
    }
    response
}

/// Immich's own status and body.
fn passed_on(answer: &Answer) -> Response<Bytes> {
    let mut response = status(answer.status, "Immich refused it");
    if !answer.body.is_empty() {
        *response.body_mut() = answer.body.clone();
    }
    response
}

fn gone() -> Response<Bytes> {
    status(StatusCode::GONE, "This upload has ended, and has to begin again.")
}

/// A response in the shape of Immich's own errors.
fn status(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({
        "statusCode": status.as_u16(), "error": status.canonical_reason().unwrap_or_default(), "message": message,
    });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, VERSION);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

fn is_part(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == PART_TYPE.as_bytes())
}

/// A header that is one number of decimal digits.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = single(headers, name).ok().flatten()?.to_str().ok()?;
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
