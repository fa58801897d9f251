//! A request enters, the answer of its route leaves; the table is in [`super`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    LAST_MODIFIED as LAST_MODIFIED_NAME, RANGE, SET_COOKIE,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::Body;
use super::intake::Intake;
use super::record::{Entry, Unanswered};
use super::{Connection, websocket};
use crate::noise;

/// The value of `x-immich-checksum` that the stand-in knows already.
pub const DUPLICATE: &str = "duplicate";

/// `/api/early-401` answers when so many bytes of the body have been read.
pub const EARLY_401_AFTER: u64 = 2_700_000;

/// What `POST /api/assets` does with a whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetAnswer {
    /// It stores it.
    Store,
    /// It does not answer.
    Hold,
    /// It answers with this status.
    Refuse(u16),
    /// It breaks the connection off.
    Die,
}

/// `Last-Modified` of every asset.
pub const LAST_MODIFIED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// What a browser gets.
const PAGE: &str = "<!doctype html><html lang=\"en\"><title>Photos</title><h1>Photos</h1></html>";

const MIB: u64 = 1024 * 1024;

type Answer = io::Result<Response<Body>>;

/// Answers and records. An error leaves the peer without an answer.
pub(super) async fn serve(connection: &Connection, request: Request<Incoming>) -> Answer {
    let entry = Entry::new(&connection.shared.log, &request);
    let mut unanswered = Unanswered(Some(entry.clone()));
    let answer = route(connection, request, entry).await;
    unanswered.0 = None;
    let mut answer = answer?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = answer.headers_mut();
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json; charset=utf-8"));
        if let Some(idle) = connection.shared.idle {
            headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.insert("keep-alive", format!("timeout={}", idle.as_secs()).parse().expect("digits are a value"));
        }
    }
    Ok(answer)
}

async fn route(connection: &Connection, request: Request<Incoming>, entry: Entry) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (&request.method().clone(), segments.as_slice()) {
        (&Method::GET, ["page"]) => {
            Ok(answer(200, &[(CONTENT_TYPE.as_str(), "text/html; charset=utf-8")], Body::Whole(PAGE.into())))
        }
        (&Method::GET, ["api", "server", "ping"]) => Ok(json_answer(200, json!({"res": "pong"}))),
        (&Method::POST, ["api", "assets"]) => upload(connection, request, entry).await,
        (&Method::POST, ["api", "assets", "bulk-upload-check"]) => {
            let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
            let asked: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
            let results = asked["assets"].as_array().into_iter().flatten();
            let results: Vec<_> = results.map(|asset| json!({"id": asset["id"], "action": "accept"})).collect();
            Ok(json_answer(200, json!({ "results": results })))
        }
        (&Method::GET, ["api", "server", "media-types"]) => {
            Ok(json_answer(200, json!({"image": [".jpg", ".png", ".heic"], "video": [".mp4", ".mov"], "sidecar": [".xmp"]})))
        }
        (&Method::GET, ["api", "users", "me"]) if connection.shared.is_signed_out.load(Ordering::Relaxed) => {
            Ok(json_answer(401, json!({"message": "Authentication required", "error": "Unauthorized", "statusCode": 401})))
        }
        (&Method::GET, ["api", "users", "me"]) => {
            let quota = *connection.shared.quota.lock().unwrap();
            let (size, used) = (quota.map(|(size, _)| size), quota.map_or(0, |(_, used)| used));
            Ok(json_answer(200, json!({"id": "1", "name": "Ada", "quotaSizeInBytes": size, "quotaUsageInBytes": used})))
        }
        (&Method::POST, ["api", "early-401"]) => early_401(connection, request, entry).await,
        (&Method::GET | &Method::HEAD, ["api", "assets", _, "original"]) => Ok(original(&request)),
        (&Method::GET, ["api", "cookies"]) => Ok(cookies()),
        (&Method::POST, ["api", "sync", "stream"]) => sync_stream(connection, request, entry).await,
        (_, ["api", "download", "archive"]) => {
            let body = Body::Noise { at: 0, end: size_of(&request), sized: false };
            Intake::new(request.into_body(), entry).read_all().await.map_err(io::Error::other)?;
            Ok(answer(200, &[(CONTENT_TYPE.as_str(), "application/zip")], body))
        }
        (_, ["api", "slow"]) => {
            // The sender lives as long as the stand-in.
            let _ = connection.shared.released.subscribe().wait_for(|released| *released).await;
            Ok(json_answer(200, json!({"res": "at last"})))
        }
        (_, ["api", "die-mid-body"]) => Ok(die_mid_body(connection)),
        (_, ["api", "die-before-head"]) => Err(io::Error::other("dies on purpose")),
        (_, ["api", "socket.io", ""]) => Ok(socket_io(connection, request)),
        _ => {
            Intake::new(request.into_body(), entry.clone()).read_all().await.map_err(io::Error::other)?;
            let seen = entry.get();
            Ok(json_answer(200, json!({"method": seen.method, "target": seen.target, "headers": seen.headers})))
        }
    }
}

async fn upload(connection: &Connection, request: Request<Incoming>, entry: Entry) -> Answer {
    let is_known = request.headers().get("x-immich-checksum").is_some_and(|value| value == DUPLICATE);
    if is_known {
        discard(connection, Intake::new(request.into_body(), entry));
        return Ok(json_answer(200, json!({"id": "00000000-0000-4000-8000-000000000000", "status": "duplicate"})));
    }
    let mut asset = Intake::upload(request.into_body(), entry.clone());
    asset.read_all().await.map_err(io::Error::other)?;
    let mut wanted = connection.shared.assets.subscribe();
    // The sender lives as long as the stand-in.
    let answer = wanted.wait_for(|answer| *answer != AssetAnswer::Hold).await.map_or(AssetAnswer::Store, |answer| *answer);
    match answer {
        AssetAnswer::Refuse(status) => {
            return Ok(json_answer(
                status,
                json!({"message": "Quota has been exceeded!", "error": "Bad Request", "statusCode": status}),
            ));
        }
        AssetAnswer::Die => return Err(io::Error::other("dies on purpose")),
        AssetAnswer::Store | AssetAnswer::Hold => {}
    }
    asset.store();
    let id = format!("00000000-0000-4000-8000-{:012}", entry.log().borrow().stored.len());
    Ok(json_answer(201, json!({"id": id, "status": "created"})))
}

async fn early_401(connection: &Connection, request: Request<Incoming>, entry: Entry) -> Answer {
    let mut intake = Intake::new(request.into_body(), entry);
    intake.read(EARLY_401_AFTER).await.map_err(io::Error::other)?;
    discard(connection, intake);
    let message = "Authentication required";
    let error = json!({"message": message, "error": "Unauthorized", "statusCode": 401, "correlationId": "2spgxhd7"});
    Ok(json_answer(401, error))
}

/// Reads the rest after the answer, as Node does, so that the connection can be used again.
fn discard(connection: &Connection, mut intake: Intake) {
    connection.spawn(async move {
        // A peer that stops sending is what usually happens here.
        let _ = intake.read_all().await;
    });
}

fn original(request: &Request<Incoming>) -> Response<Body> {
    let size = size_of(request);
    let etag = format!("W/\"{size:x}-150890b9c80\"");
    let mut builder = Response::builder()
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, &etag)
        .header(LAST_MODIFIED_NAME, LAST_MODIFIED)
        .header(CACHE_CONTROL, "private, max-age=86400, no-transform");
    let field = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());

    let built = if field(IF_NONE_MATCH).is_some_and(|known| known == "*" || known.split(',').any(|tag| tag.trim() == etag)) {
        builder.status(304).body(Body::Whole(Bytes::new()))
    } else {
        builder = builder.header(CONTENT_TYPE, "image/jpeg");
        match field(RANGE).map_or(Range::Whole, |range| Range::parse(range, size)) {
            Range::Whole => builder.header(CONTENT_LENGTH, size).body(Body::Noise { at: 0, end: size, sized: true }),
            Range::Part { first, last } => builder
                .status(206)
                .header(CONTENT_LENGTH, last + 1 - first)
                .header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))
                .body(Body::Noise { at: first, end: last + 1, sized: true }),
            Range::Bad => {
                let error = json!({"message": "Not Found", "error": "Not Found", "statusCode": 404});
                Response::builder().status(404).body(error.into())
            }
        }
    };
    built.expect("every field is well-formed")
}

/// What a `Range` field asks of `size` bytes (RFC 9110, 14.1.2); more than one range counts as none.
enum Range {
    Whole,
    Part { first: u64, last: u64 },
    Bad,
}

impl Range {
    fn parse(field: &str, size: u64) -> Self {
        let Some((first, last)) = field.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) => (first, last),
            (Ok(first), Err(_)) if last.is_empty() => (first, u64::MAX),
            (Err(_), Ok(count)) if first.is_empty() && count > 0 => (size.saturating_sub(count), u64::MAX),
            (Err(_), Ok(0)) if first.is_empty() => return Self::Bad,
            _ => return Self::Whole,
        };
        if first >= size || first > last { Self::Bad } else { Self::Part { first, last: last.min(size - 1) } }
    }
}

fn cookies() -> Response<Body> {
    let cookies = [
        (SET_COOKIE.as_str(), "immich_access_token=s3cret; Max-Age=34560000; Path=/; HttpOnly; SameSite=Lax"),
        (SET_COOKIE.as_str(), "immich_auth_type=password; Max-Age=34560000; Path=/; HttpOnly; SameSite=Lax"),
        (SET_COOKIE.as_str(), "immich_is_authenticated=true; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Path=/; SameSite=Lax"),
    ];
    answer(200, &cookies, json!({"successful": true}).into())
}

async fn sync_stream(connection: &Connection, request: Request<Incoming>, entry: Entry) -> Answer {
    Intake::new(request.into_body(), entry).read_all().await.map_err(io::Error::other)?;
    let mut stream = connection.shared.sync.subscribe();
    let (sender, body) = mpsc::channel(1);
    connection.spawn(async move {
        let mut sent = 0;
        // Ends with the stream, with the stand-in, or with the connection.
        loop {
            let (lines, ended) = match stream.wait_for(|stream| stream.ended || stream.lines.len() > sent).await {
                Ok(stream) => (stream.lines[sent..].to_vec(), stream.ended),
                Err(_) => return,
            };
            sent += lines.len();
            for line in lines {
                if sender.send(Ok(line.into())).await.is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
        }
    });
    Ok(answer(200, &[(CONTENT_TYPE.as_str(), "application/jsonlines+json")], Body::Driven(body)))
}

fn die_mid_body(connection: &Connection) -> Response<Body> {
    let gauge = Arc::clone(&connection.gauge);
    let before = gauge.flushed();
    let (sender, body) = mpsc::channel(1);
    connection.spawn(async move {
        let mut at = 0;
        while at < MIB / 2 {
            let part = noise::bytes(at, at + noise::CHUNK);
            at += noise::CHUNK;
            if sender.send(Ok(part.into())).await.is_err() {
                return;
            }
        }
        gauge.wait_for(before + MIB / 2).await;
        // Nobody listens when the peer was gone first.
        let _ = sender.send(Err(io::Error::other("dies on purpose"))).await;
    });
    answer(200, &[(CONTENT_LENGTH.as_str(), "1048576")], Body::Driven(body))
}

fn socket_io(connection: &Connection, request: Request<Incoming>) -> Response<Body> {
    let Some(accept) = websocket::accept(request.headers()) else {
        return json_answer(400, json!({"code": 0, "message": "Transport unknown"}));
    };
    let upgrade = hyper::upgrade::on(request);
    let log = connection.shared.log.clone();
    connection.spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            websocket::echo_counted(upgraded, &log).await;
        }
    });
    let headers = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", accept.as_str())];
    answer(101, &headers, Body::Whole(Bytes::new()))
}

/// `size` of the query, 1 MiB without.
fn size_of(request: &Request<Incoming>) -> u64 {
    let query = request.uri().query().unwrap_or_default();
    let size = query.split('&').find_map(|pair| pair.strip_prefix("size="));
    size.map_or(MIB, |size| size.parse().expect("the test gives a number of bytes"))
}

fn json_answer(status: u16, value: Value) -> Response<Body> {
    answer(status, &[], value.into())
}

fn answer(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let builder = headers.iter().fold(Response::builder().status(status), |builder, (name, value)| builder.header(*name, *value));
    builder.body(body).expect("every field is well-formed")
}
