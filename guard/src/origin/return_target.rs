//! The address to which an auth server sends a browser back after the sign-in or the sign-out (`rd`). Values that look like a path and lead to
//! another host are refused here: auth servers differ in whether they notice them. A whole URL is left to the auth server and its list of
//! allowed domains (oauth2-proxy `--whitelist-domain`): a sign-out leads to the identity provider.

use crate::percent::decode;
use crate::refusal::{Reason, Refusal};

/// The parameters of authentik, oauth2-proxy and Authelia (`rd`), and of others.
const NAMES: [&str; 2] = ["rd", "redirect"];

/// Refuses a query whose return target browsers read as another host, although it begins like a path, or that is a script.
pub fn check(query: Option<&str>) -> Result<(), Refusal> {
    for parameter in query.unwrap_or_default().split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (decode(name), decode(value));
        if NAMES.contains(&&*name) && !is_clear(&value) {
            return Err(Refusal::new(Reason::BadRequest, "the return target of the sign-in is neither a path nor an http URL"));
        }
    }
    Ok(())
}

/// Whether a target is a path of this site, or a whole URL. Browsers read a backslash as a slash, and drop control characters and leading spaces
/// (WHATWG URL standard).
fn is_clear(target: &str) -> bool {
    if target.contains(|c: char| c.is_control() || c == '\\') || target.starts_with(' ') {
        return false;
    }
    let is_url =
        ["https://", "http://"].iter().any(|scheme| target.strip_prefix(scheme).is_some_and(|host| !host.starts_with('/')));
    let is_path = target.is_empty() || target.starts_with(['/', '?']) && !target.starts_with("//");
    is_url || is_path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_path_and_leads_to_another_host_is_refused() {
        let check = |query: &str| check(Some(query)).is_ok();
        for good in [
            "",
            "rd=/",
            "rd=%2Fphotos%3Fa%3Db",
            "x=//evil",
            "rd=https://photos.example.com/a",
            "rd=http%3A%2F%2F127.0.0.1%3A33385%2Fend",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "rd=//evil.example",
            "rd=%2F%2Fevil.example",
            "rd=/%5Cevil.example",
            "rd=/%09/evil.example",
            "rd=%20//evil.example",
            "rd=https:///evil.example",
            "rd=https:evil.example",
            "rd=evil.example",
            "rd=javascript:alert(1)",
            "rd=/&rd=//evil.example",
            "%72d=//evil.example",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
