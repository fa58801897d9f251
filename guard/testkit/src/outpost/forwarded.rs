//! What a proxy says about the original request becomes a URL, or an error, as Go's `net/url` decides: RFC 3986, read leniently.

/// The URL that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// All of it.
    pub(super) text: String,
    /// From the first slash up to the query.
    pub(super) path: String,
    /// What follows the question mark.
    pub(super) query: String,
}

impl Forwarded {
    /// `X-Forwarded-Proto`, `-Host` and `-Uri`, put together. None where `net/url` finds no URL.
    pub(super) fn of(scheme: &str, host: &str, target: &str) -> Option<Self> {
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let is_host = port.bytes().all(|byte| byte.is_ascii_digit())
            && !name.bytes().any(|byte| byte.is_ascii_control() || b" \"<>\\^`{|}/".contains(&byte));
        Self::relative(target)
            .filter(|_| is_scheme && is_host && (target.is_empty() || target.starts_with(['/', '?'])))
            .map(|this| Self { text: format!("{scheme}://{host}{target}"), ..this })
    }

    /// A path with its query. None where its escapes are broken.
    pub(super) fn relative(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let sound = !target.bytes().any(|byte| byte.is_ascii_control()) && decoded(path).is_some();
        sound.then(|| Self { text: target.to_owned(), path: path.to_owned(), query: query.to_owned() })
    }

    /// The first value of a member of the query.
    pub(super) fn member(&self, name: &str) -> Option<String> {
        member(&self.query, name)
    }

    /// Whether a member of the query says `true`.
    pub(super) fn is_marked(&self, name: &str) -> bool {
        self.member(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// The first value of that name in a query; members that do not decode do not count.
pub(super) fn member(query: &str, name: &str) -> Option<String> {
    let plain = |text: &str| decoded(&text.replace('+', " "));
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(key)? == name).then(|| plain(value)).flatten()
    })
}

/// Without its percent-escapes; none where one is broken.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&pair).ok().filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()?
        } else {
            byte
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_would_not_parse_is_no_url() {
        let good = Forwarded::of("https", "photos.example.com:8443", "/a%20b?X-authentik-auth-callback=True&code=x%2By").unwrap();
        assert_eq!((good.path.as_str(), good.member("code").as_deref()), ("/a%20b", Some("x+y")));
        assert!(good.is_marked("X-authentik-auth-callback") && !good.is_marked("x-authentik-auth-callback"));
        assert!(Forwarded::of("https", "", "").is_some(), "Go takes an absent host");
        for (scheme, host, target) in [
            ("", "photos.example.com", "/"),
            ("1http", "photos.example.com", "/"),
            ("https", "photos example", "/"),
            ("https", "photos.example.com:80a", "/"),
            ("https", "photos.example.com", "/%zz"),
            ("https", "photos.example.com", "/%a"),
        ] {
            assert_eq!(Forwarded::of(scheme, host, target), None, "{scheme} {host} {target}");
        }
    }
}
