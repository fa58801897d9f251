//! A request may enter only with a proof, may carry only so much, and is streamed.
//!
//! The way of one request through `guard origin`, and the file that each step lives in:
//!
//! ```text
//!  cloudflared                                                                                             Immich
//!      │                                                                                                      ▲
//!      ▼                                                                                                      │
//!  ┌────────┐  ┌─────────────┐  ┌────────────┐  ┌────────────┐  ┌───────────────┐  ┌──────────────┐  ┌─────────────────┐
//!  │ accept │─▶│    frame    │─▶│  identify  │─▶│   meter    │─▶│     strip     │─▶│     send     │─▶│   stream back   │
//!  │ serve  │  │ origin/     │  │ frontdoor  │  │ origin/    │  │ origin/       │  │ upstream     │  │ origin/answer   │
//!  │        │  │ framing     │  │            │  │ limit      │  │ headers       │  │              │  │ (101: tunnel)   │
//!  └────────┘  └──────┬──────┘  └─────┬──────┘  └─────┬──────┘  └───────────────┘  └──────┬───────┘  └─────────────────┘
//!                     │ 400 405 421   │ 401 403 503   │ 413                               │ 502 504 (408 413 in mid-body)
//!                     └───────────────┴───────────────┴──────────── refusal ──────────────┘
//!
//!   identify   a signed header   ─▶ frontdoor/signed       ─▶ assertion, with a key of jwks, pem_keys or a secret
//!              an auth server    ─▶ frontdoor/forward_auth ─▶ asked over upstream; its way to sign in goes back to a browser
//!              an exact address  ─▶ frontdoor/unsigned
//! ```
//!
//! [`nas`] is the other half of the binary and shares nothing with it but words: the disk is proved before Immich starts.
//!
//! [`idtoken`] is the way out: the same picture turned round, on the same forwarder. A plain request enters, and leaves with an identity
//! token for a backend that lets nobody in without one.
//!
//! [`origin`]'s function `handle` is this picture in code, [`idtoken`]'s the other one. No import runs up: `demo` > `idtoken` > `origin` >
//! `serve`, `frontdoor` > `assertion` > `jwks`, `pem_keys`, `upstream` > `refusal`, `config`, `telemetry` > `fetch`, `tls`, `key`, `identity`,
//! `cookies`.

pub mod allow_list;
pub mod assertion;
pub mod clock;
pub mod config;
pub mod cookies;
pub mod demo;
pub mod fetch;
pub mod frontdoor;
pub mod header_fields;
pub mod html;
pub mod identity;
pub mod idtoken;
pub mod jwks;
pub mod key;
pub mod nas;
pub mod origin;
pub mod pem_keys;
pub mod percent;
pub mod proxy;
pub mod random;
pub mod refusal;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod upstream;
