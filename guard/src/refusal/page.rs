//! The page of a refusal, for a browser: what happened in words for people, what to do next, and nothing that is loaded.
//!
//! Where waiting helps, a script looks every ten seconds whether the server is back, and loads the page again only then: who reads slowly is not
//! interrupted (WCAG 2.2, 2.2.1). Without scripts the page loads itself again.

use std::sync::LazyLock;

use hyper::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};

use super::language::Language;
use super::texts::{Texts, Words};
use super::{Direction, Reason, RefusalContext, RequestId};
use crate::html::{escape, fill, policy};

const PAGE: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// For browsers without scripts.
const REFRESH: &str = "\n<noscript><meta http-equiv=refresh content=15></noscript>";
/// The longest address that is shown, in characters (RFC 5321, 4.5.3.1: 254).
const MAX_ADDRESS_CHARS: usize = 254;

/// The `Content-Security-Policy` of the page.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(CSS, SCRIPT));

/// What the page of a refusal depends on beside its reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageContext<'r> {
    /// The language of the visitor.
    pub language: Language,
    /// The visitor's own address, if it is verified.
    pub address: Option<&'r str>,
}

impl PageContext<'_> {
    /// Inserts the headers that a page has and the JSON has not.
    pub(super) fn insert_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_LANGUAGE, self.language.tag()),
            // RFC 9110, 12.5.5: what the choice of this page depended on.
            (VARY, "accept, accept-language"),
            // no-transform: Cloudflare would put scripts of its own into the page, and hide the address.
            (CACHE_CONTROL, "no-store, no-transform"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    }
}

/// The whole document. `message` is the text for programs, which clients of [`Direction::Outbound`] are.
pub(super) fn html(reason: Reason, message: &str, id: RequestId, page: PageContext<'_>, context: &RefusalContext) -> String {
    let texts = Texts::of(page.language);
    let (heading, paragraphs, waits) = match context.direction {
        Direction::Inbound => inbound(reason, texts, page.address, context),
        Direction::Outbound => ("This request was refused", paragraph(&escape(message)), false),
    };
    let script = if waits { format!("\n<script>{SCRIPT}</script>") } else { String::new() };
    fill(
        PAGE,
        &[
            ("language", page.language.tag()),
            ("heading", heading),
            ("css", CSS),
            ("refresh", if waits { REFRESH } else { "" }),
            ("message", &paragraphs),
            ("number", texts.number),
            ("status", reason.status().as_str()),
            ("id", &id.to_string()),
            ("script", &script),
        ],
    )
}

/// The heading, the paragraphs as HTML, and whether the page tries again.
fn inbound(
    reason: Reason,
    texts: &'static Texts,
    address: Option<&str>,
    context: &RefusalContext,
) -> (&'static str, String, bool) {
    let Words { heading, message } = words(reason, texts);
    let mut html = match (reason, address) {
        (Reason::Forbidden, Some(address)) => {
            let address: String = address.chars().take(MAX_ADDRESS_CHARS).collect();
            paragraph(&texts.forbidden_as.replace("{address}", &format!("<b><bdi>{}</bdi></b>", escape(&address))))
        }
        _ => paragraph(&message.replace("{limit}", &escape(&context.limit).replace(' ', "\u{a0}"))),
    };
    let mut waits = false;
    match reason {
        // The front door asks for the sign-in before guard is reached again.
        Reason::Unauthorized => html.push_str(&button("/", texts.sign_in)),
        Reason::Forbidden => {
            html.push_str(&paragraph(texts.ask));
            html.extend(context.sign_out.map(|path| paragraph(&format!("<a href=\"{path}\">{}</a>", texts.other_account))));
        }
        Reason::BodyTooLarge => {
            if let Some(url) = &context.upload_url {
                html.push_str(&button(url, texts.upload_in_parts));
            }
            match &context.lan_url {
                Some(url) => {
                    let url = escape(url);
                    html.push_str(&paragraph(&format!("{} <a href=\"{url}\">{url}</a>", texts.at_home)));
                }
                None if context.upload_url.is_none() => html.push_str(&paragraph(texts.upload_at_home)),
                None => {}
            }
        }
        _ if reason.status().is_server_error() => {
            waits = true;
            html.push_str(&paragraph(texts.tries_again));
            html.push_str(&button("", texts.try_now));
        }
        _ => {}
    }
    (heading, html, waits)
}

fn words(reason: Reason, texts: &'static Texts) -> &'static Words {
    match reason {
        Reason::Unauthorized => &texts.unauthorized,
        Reason::Forbidden => &texts.forbidden,
        Reason::BodyTooLarge => &texts.too_large,
        Reason::Misdirected => &texts.misdirected,
        Reason::UpstreamUnreachable | Reason::UpstreamTimeout => &texts.unreachable,
        Reason::NotReady | Reason::Overloaded | Reason::NoToken => &texts.busy,
        Reason::AuthUnreachable => &texts.sign_in_unreachable,
        Reason::RequestTimeout => &texts.stopped,
        Reason::BadRequest | Reason::MethodNotAllowed | Reason::HeadersTooLarge => &texts.not_understood,
    }
}

fn paragraph(html: &str) -> String {
    format!("<p>{html}</p>\n")
}

fn button(url: &str, text: &str) -> String {
    format!("<p><a class=go href=\"{}\">{text}</a></p>\n", escape(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> RefusalContext {
        RefusalContext {
            lan_url: Some("http://nas.lan:30283".to_owned()),
            upload_url: Some("https://photos.example.com/.guard/upload".to_owned()),
            limit: "100 MiB".to_owned(),
            ..RefusalContext::default()
        }
    }

    #[test]
    fn each_page_is_whole_in_each_language_and_loads_nothing() {
        for language in Language::ALL {
            for reason in Reason::ALL {
                let page = PageContext { language, address: Some("ada@example.com") };
                let html = html(reason, "", RequestId::next(), page, &context());
                assert!(!html.contains("{{") && !html.contains("{address}") && !html.contains("{limit}"), "{html}");
                assert!(html.contains(&format!("<html lang={}>", language.tag())), "{html}");
                assert!(html.contains(&format!("<h1>{}</h1>", words(reason, Texts::of(language)).heading)), "{html}");
                for loads in ["src=", "url(", "@import", "style=", "rel=stylesheet"] {
                    assert!(!html.contains(loads), "{loads} in {html}");
                }
                let waits = reason.status().is_server_error();
                assert_eq!((html.contains("<script>"), html.contains("http-equiv=refresh")), (waits, waits), "{reason:?}");
                assert_eq!(html.contains("ada@example.com"), reason == Reason::Forbidden, "{reason:?}");
            }
        }
    }

    #[test]
    fn a_page_says_what_to_do_next() {
        let page = |reason, context: &RefusalContext| html(reason, "", RequestId::next(), PageContext::default(), context);
        assert!(page(Reason::Unauthorized, &context()).contains("<a class=go href=\"/\">Sign in</a>"));
        let forbidden = page(Reason::Forbidden, &context());
        assert!(forbidden.contains("ask the person who looks after these photos") && !forbidden.contains("<a "), "{forbidden}");
        let context_of_access = RefusalContext { sign_out: Some("/cdn-cgi/access/logout"), ..context() };
        let forbidden = page(Reason::Forbidden, &context_of_access);
        assert!(forbidden.contains("<a href=\"/cdn-cgi/access/logout\">Use another account</a>"), "{forbidden}");
        let large = page(Reason::BodyTooLarge, &context());
        assert!(large.contains("<a class=go href=\"https://photos.example.com/.guard/upload\">"), "{large}");
        assert!(large.contains("<a href=\"http://nas.lan:30283\">") && large.contains("100\u{a0}MiB"), "{large}");
        let plain = page(Reason::BodyTooLarge, &RefusalContext { limit: "1 MiB".to_owned(), ..RefusalContext::default() });
        assert!(plain.contains("Please upload it at home.") && !plain.contains("<a "), "{plain}");
    }

    #[test]
    fn an_address_cannot_become_markup_and_is_bounded() {
        let address = format!("<b>\"{}", "x".repeat(4000));
        let page = PageContext { language: Language::English, address: Some(&address) };
        let html = html(Reason::Forbidden, "", RequestId::next(), page, &context());
        assert!(html.contains("<bdi>&lt;b&gt;&quot;xxx") && !html.contains(&"x".repeat(MAX_ADDRESS_CHARS)), "{html}");
    }
}
