//! HTML that guard writes: text is escaped before it becomes part of a page, and a page may use nothing but its own style and script.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

/// Escapes text for an HTML element or a quoted attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Fills the places of a page, written as `{{name}}`, with HTML. A place that is not in `values` stays as it is, so that a test sees it.
pub fn fill(page: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(page.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = page;
    // One pass: a value that itself holds `{{name}}` is not filled again.
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((name, following)) = after.split_once("}}") else {
            filled.push_str("{{");
            rest = after;
            continue;
        };
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(value),
            None => filled.extend(["{{", name, "}}"]),
        }
        rest = following;
    }
    filled.push_str(rest);
    filled
}

/// The `Content-Security-Policy` of a page with this inline style and script, and nothing else (CSP Level 3, 2.3.1). The script may send requests to
/// the page's own server.
pub fn policy(style: &str, script: &str) -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(style),
        hash(script)
    );
    // Names, quotes and base64 are always a header value; without one, nothing is allowed at all.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn a_value_is_never_filled_itself() {
        assert_eq!(fill("<p>{{a}} {{b}}", &[("a", "{{b}}"), ("b", "2")]), "<p>{{b}} 2");
        assert_eq!(fill("{{a", &[("a", "1")]), "{{a");
        assert_eq!(fill("{{unknown}}", &[]), "{{unknown}}");
    }
}
