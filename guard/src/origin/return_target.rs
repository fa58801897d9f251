//! The address to which an auth server sends a browser back after the sign-in (`rd`): only this site's own. Anything else would be an open
//! redirect, with which a stranger's link that begins with the family's host name leads elsewhere.

use crate::config::External;
use crate::percent::decode;
use crate::refusal::{Reason, Refusal};

/// The parameters of oauth2-proxy and authentik (`rd`), of Tinyauth (`redirect_uri` is the provider's own) and of Authelia (`rd`).
const NAMES: [&str; 2] = ["rd", "redirect"];

/// Refuses a query whose return target is not a path of this site or a URL of it.
pub fn check(query: Option<&str>, external: Option<&External>) -> Result<(), Refusal> {
    for parameter in query.unwrap_or_default().split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (decode(name), decode(value));
        if NAMES.contains(&&*name) && !is_own(&value, external) {
            return Err(Refusal::new(Reason::BadRequest, "the return target of the sign-in is not on this site"));
        }
    }
    Ok(())
}

/// Whether browsers read a target as one of this site. They read a backslash as a slash, and drop control characters.
fn is_own(target: &str, external: Option<&External>) -> bool {
    if target.contains(|c: char| c.is_control() || c == '\\') {
        return false;
    }
    let own = external.map(|External { scheme, host }| format!("{scheme}://{host}"));
    let rest = own.and_then(|own| target.strip_prefix(&own).map(str::to_owned));
    match rest {
        Some(rest) => rest.is_empty() || rest.starts_with(['/', '?', '#']),
        None => target.is_empty() || (target.starts_with('/') && !target.starts_with("//")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_returns_to_this_site_only() {
        let external = External { scheme: "https", host: "photos.example.com".to_owned() };
        let check = |query: &str| check(Some(query), Some(&external)).is_ok();
        for good in [
            "",
            "rd=/",
            "rd=%2Fphotos%3Fa%3Db",
            "x=//evil",
            "rd=https://photos.example.com/a",
            "rd=https%3A%2F%2Fphotos.example.com",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "rd=//evil.example",
            "rd=%2F%2Fevil.example",
            "rd=/%5Cevil.example",
            "rd=/%09/evil.example",
            "rd=https://evil.example",
            "rd=https://photos.example.com.evil.example",
            "rd=https://photos.example.com@evil.example",
            "rd=javascript:alert(1)",
            "rd=/&rd=//evil.example",
            "%72d=//evil.example",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
