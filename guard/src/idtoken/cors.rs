//! CORS: the browser origins that may use a backend. Exact origins, never a wildcard. guard answers preflight requests itself, as the Fetch
//! standard describes, so that the backend does not have to.
//!
//! With a list, requests of every other origin are refused, simple requests too: browsers send those without a preflight, and nothing else
//! protects a port at home from a page on the internet. Programs that are no browsers send no `Origin` and are not affected.

use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::uri::Authority;
use hyper::{Method, Response, StatusCode, Uri};

use crate::header_fields;
use crate::refusal::{Reason, Refusal};

/// How long a browser may cache a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const EXPOSED: HeaderValue = HeaderValue::from_static("guard-refusal, guard-request-id");
const VARIES: HeaderValue = HeaderValue::from_static("origin");

/// The allowed origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors(Vec<String>);

impl Cors {
    /// Reads `GUARD_CORS_ORIGINS`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wanted = || "exact origins, comma-separated, such as https://app.example.com; never *".to_owned();
        let origins: Vec<_> = text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
        let exact = |origin: &String| {
            // As browsers write it: lower case, no path, no default port.
            let uri = origin.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("https" | "http")));
            uri.is_some_and(|uri| {
                let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
                let own_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
                *origin == format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
                    && *origin == origin.to_ascii_lowercase()
                    && !authority.contains(['@', '*'])
                    && uri.port_u16() != Some(own_port)
            })
        };
        if !origins.is_empty() && origins.iter().all(exact) { Ok(Self(origins)) } else { Err(wanted()) }
    }

    /// The origin of the request, if it is allowed; none where there is no `Origin`, or where it is guard's own.
    ///
    /// # Errors
    /// A refusal for any other origin, and for more than one.
    pub fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        match header_fields::single(headers, &ORIGIN) {
            Ok(None) => Ok(None),
            Ok(Some(origin)) if self.0.iter().any(|known| known.as_bytes() == origin.as_bytes()) => Ok(Some(origin.clone())),
            Ok(Some(origin)) if is_ours(origin, headers) => Ok(None),
            _ => Err(Refusal::new(Reason::Forbidden, "a page of an origin that GUARD_CORS_ORIGINS does not name")),
        }
    }
}

/// Refuses a request that a page of another site sends from a browser, where no list of origins is set: the browser stands in the home network,
/// and the page's author does not (W3C, "Fetch Metadata Request Headers"; RFC 6454).
///
/// # Errors
/// A refusal for a foreign `Origin`, and for a cross-site or same-site fetch.
pub fn refuse_foreign_page(headers: &HeaderMap) -> Result<(), Refusal> {
    let origin_is_ours = match header_fields::single(headers, &ORIGIN) {
        Ok(None) => true,
        Ok(Some(origin)) => is_ours(origin, headers),
        Err(_) => false,
    };
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if origin_is_ours && !matches!(site, Some(b"cross-site" | b"same-site")) {
        return Ok(());
    }
    Err(Refusal::new(Reason::Forbidden, "a page of another site: name its origin in GUARD_CORS_ORIGINS if it is yours"))
}

/// Whether a request is a CORS preflight. It carries no credentials.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The response to a preflight of an allowed origin. The backend is not involved: it would start an instance for it.
pub fn preflight(headers: &HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = response.headers_mut();
    allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    allowed.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(names) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        // All headers are allowed here: those that must not reach the backend are removed from the request itself.
        allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

/// Allows a page of that origin to read the response. The CORS headers of the backend are removed in any case.
pub fn admit(answer: &mut HeaderMap, origin: Option<&HeaderValue>) {
    for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS] {
        answer.remove(name);
    }
    answer.append(VARY, VARIES);
    if let Some(origin) = origin {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// Whether the origin is guard's own address: browsers send `Origin` with the POST requests of such pages too.
fn is_ours(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = origin.as_bytes();
    let host = host.strip_prefix(b"https://").or_else(|| host.strip_prefix(b"http://"));
    host.is_some() && host == headers.get(HOST).map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_origins_are_a_list() {
        for good in ["https://app.example.com", "https://app.example.com,http://localhost:5173", "https://[::1]:8443"] {
            assert!(Cors::read(good).is_ok(), "{good}");
        }
        for bad in [
            "*",
            "https://*",
            "https://*.example.com",
            "app.example.com",
            "https://app.example.com/",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://a:80",
            "https://a@b",
            "null",
            ",",
            "ftp://a",
            "https://a/b",
        ] {
            assert!(Cors::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_origin_is_refused_and_a_program_is_not_meant() {
        let cors = Cors::read("https://app.example.com").unwrap();
        let ask = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("ml-proxy:8080"));
            for line in lines {
                headers.append(ORIGIN, HeaderValue::from_static(line));
            }
            cors.check(&headers).map(|origin| origin.is_some()).map_err(|refusal| refusal.reason)
        };
        assert_eq!(ask(&[]), Ok(false));
        assert_eq!(ask(&["https://app.example.com"]), Ok(true));
        assert_eq!(ask(&["http://ml-proxy:8080"]), Ok(false));
        for bad in [
            "https://evil.example",
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "null",
            "https://APP.example.com",
        ] {
            assert_eq!(ask(&[bad]), Err(Reason::Forbidden), "{bad}");
        }
        assert_eq!(ask(&["https://app.example.com", "https://evil.example"]), Err(Reason::Forbidden));
    }
}
