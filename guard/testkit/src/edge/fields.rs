//! Fields of a client's request enter, those of the edge leave; and back from cloudflared's envelope to the fields of the origin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue};

use super::CLIENT;

/// The envelope of the origin's fields.
const ORIGIN_FIELDS: &str = "cf-cloudflared-response-headers";
/// Who made the answer: `{"src":"origin"}` or `{"src":"cloudflared"}`. The real edge keeps it to itself; a test wants to know.
const META: &str = "cf-cloudflared-response-meta";

/// What belongs to one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"];

/// What goes down the tunnel.
///
/// Sources: developers.cloudflare.com/fundamentals/reference/http-headers. The assertion is the client's: whether somebody is signed
/// in is for the test to say.
pub(super) fn towards_origin(client: &HeaderMap, serial: u64) -> HeaderMap {
    let mut fields = client.clone();
    for name in HOP_BY_HOP.iter().copied().chain([HOST.as_str(), EXPECT.as_str()]) {
        fields.remove(name);
    }
    let forwarded = match client.get("x-forwarded-for").and_then(|already| already.to_str().ok()) {
        Some(already) => format!("{already},{CLIENT}"),
        None => CLIENT.to_owned(),
    };
    let ray = format!("{serial:016x}-TST");
    for (name, value) in [
        ("cf-connecting-ip", CLIENT),
        ("x-forwarded-for", &forwarded),
        ("x-forwarded-proto", "https"),
        ("cf-visitor", r#"{"scheme":"https"}"#),
        ("cf-ipcountry", "XX"),
        ("cf-ray", &ray),
        ("cdn-loop", "cloudflare; loops=1"),
        (ACCEPT_ENCODING.as_str(), "gzip, br"),
    ] {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value of ours"));
    }
    fields
}

/// What the client gets. Without `switching`, nothing that belongs to the origin's connection.
pub(super) fn towards_client(tunnel: &HeaderMap, switching: bool) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if let Some(envelope) = tunnel.get(ORIGIN_FIELDS) {
        for pair in envelope.to_str().expect("base64 is ASCII").split(';').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once(':').expect("name and value");
            let decode = |text| STANDARD_NO_PAD.decode(text).expect("base64 without padding");
            let name = HeaderName::from_bytes(&decode(name)).expect("a field's name");
            fields.append(name, HeaderValue::from_bytes(&decode(value)).expect("a field's value"));
        }
    } else if let Some(length) = tunnel.get(CONTENT_LENGTH) {
        fields.insert(CONTENT_LENGTH, length.clone());
    }
    if !switching {
        for name in HOP_BY_HOP {
            fields.remove(name);
        }
    }
    if let Some(meta) = tunnel.get(META) {
        fields.insert(META, meta.clone());
    }
    fields
}
