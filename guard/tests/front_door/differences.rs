//! Where guard differs from Caddy, and why that is the stricter of the two. What is not in this table is the same for both.

/// One difference, in one case or in many.
#[derive(Clone, Copy)]
pub(crate) struct Difference {
    /// The names of its cases; none: wherever the facts differ so.
    pub(crate) cases: &'static [&'static str],
    /// The facts; `*` at the end stands for any rest.
    pub(crate) facts: &'static [&'static str],
    /// What Caddy's fact says: a value, [`ANY`] or [`NONE`].
    pub(crate) caddy: &'static str,
    /// What guard's says, likewise.
    pub(crate) guard: &'static str,
    /// Why guard is the stricter one; or, where neither lets more through, why it differs.
    pub(crate) why: &'static str,
}

/// Some value.
pub(crate) const ANY: &str = "*";
/// No such fact.
pub(crate) const NONE: &str = "-";

const fn difference(facts: &'static [&'static str], caddy: &'static str, guard: &'static str, why: &'static str) -> Difference {
    Difference { cases: &[], facts, caddy, guard, why }
}

const fn only_in(cases: &'static [&'static str], difference: Difference) -> Difference {
    Difference { cases, ..difference }
}

/// Nobody sits before these: an app, a script, a WebSocket, or whoever brings a credential.
const NOT_A_PERSON: &[&str] = &[
    "api, nobody",
    "api, as a page, nobody",
    "a script's fetch, nobody",
    "preflight, nobody",
    "upload, nobody",
    "chunked upload, nobody",
    "100-continue, nobody",
    "Range, nobody",
    "If-None-Match, nobody",
    "WebSocket, nobody",
    "Basic, wrong",
    "Basic, wrong, on a page",
    "Bearer of Immich, nobody",
    "two passwords",
    "spoofed identity, nobody",
    "spoofed way, nobody",
    "nominated, nobody",
    "own path left by dots",
    "own path left by escaped dots",
];
/// The outpost says yes, and names nobody.
const YES_TO_NOBODY: &[&str] =
    &["no sign-in needed", "spoofed identity, no sign-in needed", "outpost says yes to nobody", "outpost says yes to a blank"];
/// The outpost says nothing that can be used.
const TROUBLE: &[&str] = &[
    "outpost away, page",
    "outpost away, upload",
    "outpost 500",
    "outpost 404",
    "outpost 304",
    "outpost knows no such host",
    "outpost breaks in its head",
    "outpost breaks in its body",
];
const REFUSAL: &[&str] = &["answer guard-refusal", "answer www-authenticate", "answer content-type"];
const REDIRECT: &[&str] = &["answer location", "answer set-cookie", "answer content-type"];

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    // What the client gets.
    only_in(
        NOT_A_PERSON,
        difference(
            &["answer status"],
            "302",
            "401",
            "a redirect to a page is no answer to who cannot sign in there: apps follow it and read HTML",
        ),
    ),
    only_in(NOT_A_PERSON, difference(REDIRECT, ANY, NONE, "of the redirect that was not passed on")),
    only_in(NOT_A_PERSON, difference(REFUSAL, NONE, ANY, "guard's own refusal says that it is one")),
    only_in(
        NOT_A_PERSON,
        difference(
            &["answer content-type"],
            "text/html; charset=utf-8",
            "application/json; charset=utf-8",
            "Immich's own error shape, which its app reads",
        ),
    ),
    only_in(
        YES_TO_NOBODY,
        difference(
            &["answer status"],
            "200",
            "401",
            "a yes that names nobody lets nobody in: a path left open at the outpost opens nothing here",
        ),
    ),
    only_in(YES_TO_NOBODY, difference(REFUSAL, ANY, ANY, "guard's own refusal")),
    only_in(YES_TO_NOBODY, difference(REFUSAL, NONE, ANY, "guard's own refusal")),
    only_in(YES_TO_NOBODY, difference(&["immich *"], ANY, NONE, "Immich is not asked")),
    only_in(YES_TO_NOBODY, difference(&["immich times"], "1", "0", "Immich is not asked")),
    only_in(
        TROUBLE,
        difference(
            &["answer status"],
            ANY,
            "503",
            "what is neither yes nor no is trouble, said in one way, and the outpost's inner error stays in the log",
        ),
    ),
    only_in(TROUBLE, difference(REFUSAL, ANY, ANY, "guard's own refusal")),
    only_in(TROUBLE, difference(REFUSAL, NONE, ANY, "guard's own refusal")),
    only_in(
        &["outpost breaks in its body"],
        difference(&["answer location", "answer body"], ANY, NONE, "an answer is read whole before a word of it is passed on"),
    ),
    only_in(
        &["outpost breaks in its head"],
        difference(&["asked times"], "1", "2", "a question may be asked again: a connection that broke under it is no answer"),
    ),
    only_in(&["broken escape, nobody"], difference(REFUSAL, NONE, ANY, "guard's own refusal: both answer 400, and ask nobody")),
    only_in(&["broken escape, nobody"], difference(REFUSAL, ANY, ANY, "guard's own refusal: both answer 400, and ask nobody")),
    only_in(
        &["100-continue, nobody"],
        difference(&["answer before the body"], "nothing", "the answer", "who is refused is never made to upload first"),
    ),
    only_in(
        &["other host"],
        difference(&["answer status"], "200", "421", "another host is refused; Caddy answers it with an empty page"),
    ),
    only_in(&["other host"], difference(REFUSAL, NONE, ANY, "guard's own refusal")),
    only_in(
        &["logout mark, signed in by password"],
        difference(REFUSAL, ANY, ANY, "guard's own refusal, where the outpost has a page"),
    ),
    only_in(
        &["logout mark, signed in by password"],
        difference(REFUSAL, NONE, ANY, "guard's own refusal, where the outpost has a page"),
    ),
    only_in(
        &["Basic", "Bearer of authentik"],
        difference(
            &["answer set-cookie"],
            NONE,
            "authentik_proxy_69fe8a4c",
            "neither lets more through; with the cookie of its session an app does not sign in again each minute",
        ),
    ),
    only_in(
        &["If-None-Match, signed in"],
        difference(&["answer content-type"], NONE, ANY, "neither lets more through: guard passes a 304 on as Immich gave it"),
    ),
    // What the outpost is asked.
    difference(
        &["asked line"],
        ANY,
        "GET /outpost.goauthentik.io/auth/caddy HTTP/1.1",
        "the question is always the same: no client writes into its query, which the outpost reads too",
    ),
    difference(
        &["asked cookie"],
        "immich_access_token=s3cret; SESSION",
        "SESSION",
        "Immich's session is nothing for the outpost",
    ),
    difference(
        &["asked cookie"],
        "a=1 | immich_access_token=s3cret; SESSION",
        "SESSION",
        "the outpost sees its own cookies only",
    ),
    difference(&["asked x-api-key", "asked x-immich-checksum"], ANY, NONE, "Immich's keys are nothing for the outpost"),
    only_in(
        &["Bearer of Immich, signed in", "Bearer of Immich, nobody"],
        difference(
            &["asked authorization"],
            "Bearer immich",
            NONE,
            "a token that is no JWT can only be Immich's, and stays at home",
        ),
    ),
    difference(
        &["asked range", "asked if-*", "asked expect", "asked te", "asked connection", "asked upgrade", "asked sec-websocket-*"],
        ANY,
        NONE,
        "the question has no body, no part and no tunnel: an outpost that believed these would answer with half a yes",
    ),
    difference(
        &[
            "asked content-type",
            "asked origin",
            "asked access-control-request-method",
            "asked sec-fetch-mode",
            "asked via",
            "asked accept-encoding",
        ],
        ANY,
        NONE,
        "no decision rests on it",
    ),
    difference(
        &[
            "asked x-authentik-*",
            "asked remote-user",
            "asked x-auth-request-email",
            "asked x-forwarded-user",
            "asked x-forwarded-email",
            "asked tailscale-user-login",
            "asked cf-access-*",
            "asked x-goog-*",
            "asked x-amzn-*",
            "asked x-ms-*",
            "asked x-pomerium-*",
        ],
        ANY,
        NONE,
        "a client's word about who it is reaches no one who might believe it",
    ),
    difference(
        &[
            "asked forwarded",
            "asked x-forwarded-port",
            "asked x-forwarded-prefix",
            "asked x-forwarded-server",
            "asked x-original-uri",
            "asked x-real-ip",
            "asked x-rewrite-url",
        ],
        ANY,
        NONE,
        "a client's word about the way it came reaches no one who might believe it",
    ),
    only_in(
        &["own path, spoofed way"],
        difference(
            &["asked x-forwarded-method", "asked x-forwarded-uri", "asked x-original-*"],
            ANY,
            NONE,
            "a client's word about the way it came reaches no one who might believe it",
        ),
    ),
    difference(&["asked x-original-method", "asked x-original-url"], ANY, ANY, "guard's word in the place of the client's"),
    difference(
        &["asked x-original-method", "asked x-original-url"],
        NONE,
        ANY,
        "neither lets more through: said also in nginx's words",
    ),
    only_in(
        &["two passwords"],
        difference(&["asked *"], ANY, NONE, "two credentials are none: nobody is asked which of them counts"),
    ),
    only_in(
        &["two passwords"],
        difference(&["asked times"], "1", "0", "two credentials are none: nobody is asked which of them counts"),
    ),
    only_in(
        &["own path with two slashes", "own path in capitals"],
        difference(
            &["asked *", "answer *", "outpost's own"],
            ANY,
            ANY,
            "what is not letter by letter the outpost's own path is asked about like any other",
        ),
    ),
    only_in(
        &["own path with two slashes", "own path in capitals"],
        difference(
            &["asked *", "answer *"],
            NONE,
            ANY,
            "what is not letter by letter the outpost's own path is asked about like any other",
        ),
    ),
    // What Immich gets.
    difference(
        &["immich cookie"],
        "immich_access_token=s3cret; SESSION",
        "immich_access_token=s3cret",
        "the outpost's session never reaches Immich",
    ),
    difference(
        &["immich cookie"],
        "a=1 | immich_access_token=s3cret; SESSION",
        "a=1; immich_access_token=s3cret",
        "the outpost's session never reaches Immich, and several lines become one (RFC 9113, 8.2.3)",
    ),
    only_in(
        &["Basic", "Bearer of authentik"],
        difference(&["immich authorization"], ANY, NONE, "a credential that opened the door stays there"),
    ),
    difference(&["immich x-authentik-jwt"], "TOKEN", NONE, "a token that is good at the provider never reaches Immich"),
    difference(&["immich x-authentik-meta-*"], ANY, NONE, "who someone is, and nothing about how that is known"),
    difference(
        &["immich x-authentik-entitlements"],
        NONE,
        "",
        "neither lets more through: Caddy drops a header that the outpost left empty",
    ),
    difference(
        &["immich via", "immich accept-encoding", "immich expect"],
        ANY,
        NONE,
        "neither lets more through: guard adds no word of its own, and waits for 100 itself",
    ),
    difference(&["immich connection"], "Upgrade", "upgrade", "neither lets more through: RFC 9110, 7.6.1, knows no case here"),
    difference(
        &[
            "immich x-authentik-made-up",
            "immich remote-user",
            "immich x-auth-request-email",
            "immich x-forwarded-user",
            "immich x-forwarded-email",
            "immich tailscale-user-login",
            "immich cf-access-*",
            "immich x-goog-*",
            "immich x-amzn-*",
            "immich x-ms-*",
            "immich x-pomerium-*",
        ],
        ANY,
        NONE,
        "identity headers of every front door are deleted, not only those that this one sets",
    ),
    difference(
        &[
            "immich forwarded",
            "immich x-forwarded-method",
            "immich x-forwarded-port",
            "immich x-forwarded-prefix",
            "immich x-forwarded-server",
            "immich x-forwarded-uri",
            "immich x-original-*",
            "immich x-rewrite-url",
        ],
        ANY,
        NONE,
        "a client's word about the way it came never reaches Immich",
    ),
    difference(&["immich x-real-ip"], ANY, "127.0.0.1", "guard's word in the place of the client's"),
    difference(&["immich x-real-ip"], NONE, "127.0.0.1", "neither lets more through: the client's address, as guard knows it"),
];

/// A case in which guard lets more through than Caddy: the fact that shows it, as Caddy's and as guard's, and why it is so. What else
/// differs there follows from it.
pub(crate) struct Laxer {
    pub(crate) case: &'static str,
    pub(crate) fact: (&'static str, &'static str, &'static str),
    pub(crate) why: &'static str,
}

/// All of them. None reaches Immich without a yes.
pub(crate) const LAXER: &[Laxer] = &[Laxer {
    case: "nominated, signed in",
    fact: ("immich times", "0", "1"),
    why: "a cookie that `Connection` nominates is dropped by Caddy before it asks; guard decides by what came and strips afterwards, so \
              that no client chooses what the decision rests on",
}];
