//! The list of requests that both proxies get.

use testkit::outpost::Behaviour;

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Its name in the table of differences.
    pub(crate) name: &'static str,
    /// What proof it carries.
    pub(crate) who: Who,
    /// Method and target.
    pub(crate) line: &'static str,
    /// More lines.
    pub(crate) fields: &'static [&'static str],
    /// Its body, framing included.
    pub(crate) body: &'static str,
    /// How the outpost is.
    pub(crate) mood: Mood,
}

/// What proof a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// None.
    Nobody,
    /// The outpost's cookie, and Immich's.
    Session,
    /// An app password.
    Basic,
    /// A wrong one.
    WrongBasic,
    /// A token of authentik's.
    Bearer,
}

/// How the outpost is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nobody listens there.
    Away,
    /// It answers so.
    Is(Behaviour),
}

const fn case(name: &'static str, who: Who, line: &'static str, fields: &'static [&'static str]) -> Case {
    Case { name, who, line, fields, body: "", mood: Mood::Is(Behaviour::Well) }
}

impl Case {
    const fn with(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn while_outpost(self, mood: Mood) -> Self {
        Self { mood, ..self }
    }
}

const PAGE: &[&str] =
    &["Accept: text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode: navigate", "User-Agent: Mozilla/5.0"];
const API: &[&str] = &["Accept: application/json", "User-Agent: Immich_Android_3.2.2"];
const SOCKET: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Origin: http://photos.example.com",
];
const SPOOFED_IDENTITY: &[&str] = &[
    "X-Authentik-Uid: admin",
    "X-authentik-username: admin",
    "X-AUTHENTIK-EMAIL: admin@example.com",
    "X-Authentik-Groups: immich-admins",
    "X-Authentik-Jwt: eyJhbGciOiJub25lIn0.e30.",
    "X-Authentik-Made-Up: 1",
    "X_Authentik_Uid: admin",
    "X-Authentik_Email: admin@example.com",
    "X_authentik-Username: admin",
    "Remote-User: admin",
    "Remote_User: admin",
    "X-Auth-Request-Email: admin@example.com",
    "X-Forwarded-User: admin",
    "X-Forwarded-Email: admin@example.com",
    "X-Forwarded_Email: admin@example.com",
    "Tailscale-User-Login: admin@example.com",
    "Cf-Access-Authenticated-User-Email: admin@example.com",
    "Cf-Access-Jwt-Assertion: e30.e30.e30",
    "X-Goog-Authenticated-User-Email: admin@example.com",
    "X-Amzn-Oidc-Identity: admin",
    "X-Ms-Client-Principal-Name: admin@example.com",
    "X-Pomerium-Jwt-Assertion: e30.e30.e30",
];
const SPOOFED_WAY: &[&str] = &[
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: other.example.com",
    "X-Forwarded-Proto: ftp",
    "X-Forwarded-Uri: /public/",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /public",
    "X-Forwarded-Server: evil",
    "X_Forwarded_Host: other.example.com",
    "X_Forwarded-Uri: /public/",
    "X-Original-URL: http://photos.example.com/public/",
    "X-Original-URI: /public/",
    "X-Original-Method: OPTIONS",
    "X-Rewrite-URL: /public/",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;host=other.example.com",
];
const NOMINATED: &[&str] = &[
    "Connection: keep-alive, Cookie, X-Authentik-Uid, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Uri, X-Hop",
    "X-Hop: dropped",
    "X-Authentik-Uid: admin",
    "Keep-Alive: timeout=5",
    "Proxy-Authorization: Basic eDp5",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
];
const UPLOAD: &[&str] = &["Content-Type: image/jpeg", "Content-Length: 10", "X-Immich-Checksum: abc="];
const CHUNKED: &[&str] = &["Content-Type: image/jpeg", "Transfer-Encoding: chunked"];
const CAREFUL: &[&str] = &["Content-Type: image/jpeg", "Content-Length: 10", "Expect: 100-continue"];
const PART: &[&str] = &["Range: bytes=10-19", "If-Range: W/\"3e8-150890b9c80\"", "Accept-Encoding: gzip", "Accept: image/*"];
const KNOWN: &[&str] =
    &["If-None-Match: W/\"3e8-150890b9c80\"", "If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT", "Accept: image/*"];

use Behaviour as B;
use Who::{Basic, Bearer, Nobody, Session, WrongBasic};

/// All of them.
pub(crate) const CASES: &[Case] = &[
    case("page, nobody", Nobody, "GET /photos?at=1%2F2", PAGE),
    case("page, signed in", Session, "GET /photos?at=1%2F2", PAGE),
    case("api, nobody", Nobody, "GET /api/albums", API),
    case("api, as a page, nobody", Nobody, "GET /api/albums", PAGE),
    case("api, signed in", Session, "GET /api/albums", API),
    case("a script's fetch, nobody", Nobody, "GET /api/albums", &["Accept: */*", "Sec-Fetch-Mode: cors"]),
    case(
        "preflight, nobody",
        Nobody,
        "OPTIONS /api/albums",
        &["Origin: http://evil.example", "Access-Control-Request-Method: PUT"],
    ),
    case("HEAD, nobody", Nobody, "HEAD /photos", PAGE),
    case("HEAD, signed in", Session, "HEAD /api/assets/1/original?size=1000", &[]),
    case("upload, nobody", Nobody, "POST /api/assets", UPLOAD).with("0123456789"),
    case("upload, signed in", Session, "POST /api/assets", UPLOAD).with("0123456789"),
    case("chunked upload, nobody", Nobody, "POST /api/assets", CHUNKED).with("a\r\n0123456789\r\n0\r\n\r\n"),
    case("chunked upload, signed in", Session, "POST /api/assets", CHUNKED).with("a\r\n0123456789\r\n0\r\n\r\n"),
    case("100-continue, nobody", Nobody, "POST /api/assets", CAREFUL).with("0123456789"),
    case("100-continue, signed in", Session, "POST /api/assets", CAREFUL).with("0123456789"),
    case("Range, nobody", Nobody, "GET /api/assets/1/original?size=1000", PART),
    case("Range, signed in", Session, "GET /api/assets/1/original?size=1000", PART),
    case("If-None-Match, nobody", Nobody, "GET /api/assets/1/original?size=1000", KNOWN),
    case("If-None-Match, signed in", Session, "GET /api/assets/1/original?size=1000", KNOWN),
    case("WebSocket, nobody", Nobody, "GET /api/socket.io/?EIO=4&transport=websocket", SOCKET),
    case("WebSocket, signed in", Session, "GET /api/socket.io/?EIO=4&transport=websocket", SOCKET),
    case("Basic", Basic, "GET /api/albums", API),
    case("Basic, wrong", WrongBasic, "GET /api/albums", API),
    case("Basic, wrong, on a page", WrongBasic, "GET /photos", PAGE),
    case("Bearer of authentik", Bearer, "GET /api/albums", API),
    case("Bearer of Immich, nobody", Nobody, "GET /api/albums", &["Authorization: Bearer immich"]),
    case("Bearer of Immich, signed in", Session, "GET /api/albums", &["Authorization: Bearer immich", "X-Api-Key: k3y"]),
    case("two passwords", Basic, "GET /api/albums", &["Authorization: Basic YWRhOndyb25n"]),
    case("two cookies, signed in", Session, "GET /api/albums", &["Cookie: a=1"]),
    case("spoofed identity, nobody", Nobody, "GET /api/albums", SPOOFED_IDENTITY),
    case("spoofed identity, signed in", Session, "GET /api/albums", SPOOFED_IDENTITY),
    case("spoofed identity, no sign-in needed", Nobody, "GET /public/a.jpg", SPOOFED_IDENTITY),
    case("spoofed way, nobody", Nobody, "GET /photos", SPOOFED_WAY),
    case("spoofed way, signed in", Session, "GET /photos", SPOOFED_WAY),
    case("nominated, nobody", Nobody, "GET /photos", NOMINATED),
    case("nominated, signed in", Session, "GET /photos", NOMINATED),
    case("no sign-in needed", Nobody, "GET /public/a.jpg", PAGE),
    case("other host", Session, "GET /photos", &["Host: other.example.com"]),
    case("callback mark, nobody", Nobody, "GET /photos?X-authentik-auth-callback=true&code=c&state=s", PAGE),
    case("logout mark, signed in by password", Basic, "GET /photos?X-authentik-logout=true", PAGE),
    case("broken escape, nobody", Nobody, "GET /a%zz", PAGE),
    case("ping", Nobody, "GET /outpost.goauthentik.io/ping", PAGE),
    case("start", Nobody, "GET /outpost.goauthentik.io/start?rd=http%3A%2F%2Fphotos.example.com%2Fphotos", PAGE),
    case("callback, strange", Nobody, "GET /outpost.goauthentik.io/callback?X-authentik-auth-callback=true&code=c&state=s", PAGE),
    case("sign-out, nobody", Nobody, "GET /outpost.goauthentik.io/sign_out", PAGE),
    case("own path, spoofed way", Nobody, "GET /outpost.goauthentik.io/start", SPOOFED_WAY),
    case("own path, spoofed identity", Nobody, "GET /outpost.goauthentik.io/start", SPOOFED_IDENTITY),
    case("own path, POST", Nobody, "POST /outpost.goauthentik.io/start", &["Content-Length: 3"]).with("a=b"),
    case("own path, asked directly", Session, "GET /outpost.goauthentik.io/auth/caddy", PAGE),
    case("own path left by dots", Nobody, "GET /outpost.goauthentik.io/../api/albums", API),
    case("own path left by escaped dots", Nobody, "GET /outpost.goauthentik.io/%2e%2e/api/albums", API),
    case("own path with two slashes", Nobody, "GET //outpost.goauthentik.io/start", API),
    case("own path in capitals", Nobody, "GET /Outpost.goauthentik.io/start", API),
    case("outpost away, page", Session, "GET /photos", PAGE).while_outpost(Mood::Away),
    case("outpost away, upload", Session, "POST /api/assets", UPLOAD).with("0123456789").while_outpost(Mood::Away),
    case("outpost 500", Session, "GET /photos", PAGE).while_outpost(Mood::Is(B::Fail(500))),
    case("outpost 404", Session, "GET /photos", PAGE).while_outpost(Mood::Is(B::Fail(404))),
    case("outpost 403", Session, "GET /photos", PAGE).while_outpost(Mood::Is(B::Fail(403))),
    case("outpost 304", Session, "GET /photos", PAGE).while_outpost(Mood::Is(B::Fail(304))),
    case("outpost knows no such host", Session, "GET /photos", PAGE).while_outpost(Mood::Is(B::WrongHost)),
    case("outpost says yes to nobody", Nobody, "GET /photos", PAGE).while_outpost(Mood::Is(B::Nobody)),
    case("outpost says yes to a blank", Nobody, "GET /photos", PAGE).while_outpost(Mood::Is(B::Blank)),
    case("outpost breaks in its head", Session, "GET /photos", PAGE).while_outpost(Mood::Is(B::HalfHead)),
    case("outpost breaks in its body", Nobody, "GET /photos", PAGE).while_outpost(Mood::Is(B::HalfBody)),
    case("outpost redirects to a path", Nobody, "GET /photos", PAGE).while_outpost(Mood::Is(B::Relative)),
];
