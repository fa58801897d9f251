//! Redirects of a backend. A `Location` at the backend itself is rewritten to the same path through guard, since the client has no token for the
//! backend; any other is forwarded unchanged.

use hyper::header::{HeaderMap, HeaderValue, LOCATION};

use super::config::BackendUrl;

/// Rewrites a `Location` that names the backend into a reference without a host, which works whatever address the client used for guard
/// (RFC 9110, 10.2.2).
pub fn to_ours(headers: &mut HeaderMap, backend: &BackendUrl) {
    if let Some(place) = headers.get(LOCATION).and_then(|place| through(place.to_str().ok()?, backend)) {
        headers.insert(LOCATION, place);
    }
}

/// The rewritten location; none where it stays unchanged.
fn through(place: &str, backend: &BackendUrl) -> Option<HeaderValue> {
    let path = match place.strip_prefix("//") {
        Some(rest) => own(rest, backend)?,
        None if place.starts_with('/') => place,
        None => {
            let (scheme, rest) = place.split_once("://")?;
            if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
                return None;
            }
            own(rest, backend)?
        }
    };
    // Only paths below the base path can be reached through guard.
    let rest = path.strip_prefix(&*backend.base).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))?;
    let rest = match rest {
        // Two slashes at the start would name a host (RFC 3986, 4.2). Browsers treat a backslash like a slash.
        rest if rest.starts_with("//") || rest.starts_with("/\\") => format!("/.{rest}"),
        rest if rest.starts_with('/') => rest.to_owned(),
        rest => format!("/{rest}"),
    };
    HeaderValue::from_str(&rest).ok()
}

/// The path after the authority, if that is the backend's.
fn own<'p>(rest: &'p str, backend: &BackendUrl) -> Option<&'p str> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.to_ascii_lowercase();
    let bare = authority.strip_suffix(if backend.https { ":443" } else { ":80" }).unwrap_or(&authority);
    (bare.as_bytes() == backend.host.as_bytes()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Authority;

    fn rewritten(base: &str, place: &'static str) -> String {
        let backend = BackendUrl {
            authority: Authority { host: "ml.run.example".to_owned(), port: 443 },
            https: true,
            host: HeaderValue::from_static("ml.run.example"),
            base: base.to_owned(),
        };
        let mut headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(place))]);
        to_ours(&mut headers, &backend);
        headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_place_of_the_backend_becomes_one_of_ours_and_no_other_does() {
        for (place, ours) in [
            ("https://ml.run.example/next?x=1", "/next?x=1"),
            ("https://ML.run.example:443/next", "/next"),
            ("http://ml.run.example/next", "/next"),
            ("https://ml.run.example", "/"),
            ("https://ml.run.example?x=1", "/?x=1"),
            ("//ml.run.example/next", "/next"),
            ("/next", "/next"),
            ("next", "next"),
            ("https://accounts.example/login", "https://accounts.example/login"),
            ("https://ml.run.example.evil.example/", "https://ml.run.example.evil.example/"),
            ("https://evil.example/https://ml.run.example/", "https://evil.example/https://ml.run.example/"),
            ("https://ml.run.example:8443/", "https://ml.run.example:8443/"),
            ("//evil.example/", "//evil.example/"),
            ("mailto:ada@example.com", "mailto:ada@example.com"),
        ] {
            assert_eq!(rewritten("", place), ours, "{place}");
        }
        assert_eq!(rewritten("", "https://ml.run.example//evil.example/x"), "/.//evil.example/x", "no host out of a path");
        assert_eq!(rewritten("", "https://ml.run.example/\\evil.example/x"), "/./\\evil.example/x");
    }

    #[test]
    fn the_base_path_is_taken_off_again() {
        assert_eq!(rewritten("/v1", "https://ml.run.example/v1/next"), "/next");
        assert_eq!(rewritten("/v1", "/v1"), "/");
        assert_eq!(rewritten("/v1", "/v1?x"), "/?x");
        assert_eq!(rewritten("/v1", "/v10/next"), "/v10/next");
        assert_eq!(rewritten("/v1", "https://ml.run.example/other"), "https://ml.run.example/other");
    }
}
