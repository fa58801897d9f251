//! The page at `/.guard/upload`: choose files, see them go up, stop and go on. Its own script instead of tus-js-client (87 kB): it has to do what that
//! client does not, such as to wait where a session has ended, and to choose the size of parts by the speed of the network.

use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use crate::html::fill;

const HTML: &str = include_str!("page/upload.html");
const CSS: &str = include_str!("page/upload.css");
const SCRIPT: &str = include_str!("page/upload.js");

/// Nothing from elsewhere, nothing inline, nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The largest part that the page sends, in bytes. Cloudflare's limit is 100 MB, in either meaning.
const MAX_PART: u64 = 64 * 1024 * 1024;

/// The page or one of its files; none for another path.
pub fn answer(method: &Method, path: &str, max: u64, max_part: Option<u64>) -> Option<Response<Bytes>> {
    let (content_type, body) = match path {
        "upload" => {
            let part = max_part.map_or(MAX_PART, |limit| limit.min(MAX_PART)).to_string();
            ("text/html; charset=utf-8", fill(HTML, &[("max", &max.to_string()), ("part", &part)]))
        }
        "upload/page.css" => ("text/css; charset=utf-8", CSS.to_owned()),
        "upload/page.js" => ("text/javascript; charset=utf-8", SCRIPT.to_owned()),
        _ => return None,
    };
    let mut response = Response::new(Bytes::from(body));
    if !matches!(*method, Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        // no-transform: Cloudflare would put scripts of its own into the page.
        (CACHE_CONTROL, "no-store, no-transform"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}
