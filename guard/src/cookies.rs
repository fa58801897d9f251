//! Reads and removes cookies in `Cookie` header lines. The remaining cookies are not changed.
//!
//! RFC 6265, 5.4 defines the line. There may be several lines: RFC 9113, 8.2.3 allows a client to split them.

use hyper::header::{COOKIE, HeaderMap, HeaderValue};

/// Removes the cookies whose name satisfies `unwanted`, and joins several lines to one (RFC 9113, 8.2.3): HTTP/1.1 servers read one.
pub fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&[u8]) -> bool) {
    let several = headers.get_all(COOKIE).iter().nth(1).is_some();
    let touched = several || all(headers).any(|cookie| unwanted(name_of(cookie)));
    if !touched {
        return;
    }
    let kept = all(headers).filter(|cookie| !unwanted(name_of(cookie))).map(<[u8]>::trim_ascii);
    let line = kept.filter(|cookie| !cookie.is_empty()).collect::<Vec<_>>().join(&b"; "[..]);
    headers.remove(COOKIE);
    if !line.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&line)
    {
        headers.insert(COOKIE, value);
    }
}

/// Returns every cookie as `name=value`, with any spaces around it.
pub fn all(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
}

/// Returns the name of a cookie.
pub fn name_of(cookie: &[u8]) -> &[u8] {
    cookie.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

/// Whether a cookie's name matches a pattern: a whole name, or a prefix and `*`.
pub fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}
