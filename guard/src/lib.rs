//! Authenticates every request, limits its size, and streams it.
//!
//! The path of a request through `guard origin`, and the file of each step:
//!
//! ```text
//!  cloudflared                                                                                              Immich
//!      │                                                                                                       ▲
//!      ▼                                                                                                       │
//!  ┌────────┐  ┌───────────────┐  ┌──────────────┐  ┌───────────────┐  ┌─────────┐  ┌──────────┐  ┌─────────────────┐
//!  │ accept │─▶│ check framing │─▶│ authenticate │─▶│  check size   │─▶│ headers │─▶│ forward  │─▶│   stream back   │
//!  │ serve  │  │ proxy/framing │  │  frontdoor   │  │ proxy/        │  │ proxy/  │  │ upstream │  │ proxy/response  │
//!  │        │  │               │  │              │  │ request_body  │  │ headers │  │          │  │ (101: tunnel)   │
//!  └────────┘  └───────┬───────┘  └──────┬───────┘  └───────┬───────┘  └─────────┘  └────┬─────┘  └─────────────────┘
//!                      │ 400 405 421     │ 401 403 503      │ 413                        │ 502 504 (408 413 inside a body)
//!                      └─────────────────┴──────────────────┴────────── refusal ─────────┘
//!
//!   authenticate   by a signed header   ─▶ frontdoor/signed       ─▶ assertion, with a key of jwks or pem_keys, or a secret
//!                  by an auth server    ─▶ frontdoor/forward_auth ─▶ one auth request over upstream; a browser gets its sign-in redirect
//!                  by an exact address  ─▶ frontdoor/unsigned
//! ```
//!
//! The function `handle` in [`origin`] is this picture in code (inbound requests). [`idtoken`] is the same for outbound requests: they leave
//! with an identity token for a backend that requires one. Both are built on [`proxy`] and do not know each other.
//!
//! [`nas`] is independent of both: it checks that the NAS is mounted before Immich starts.
//!
//! Imports run down only, `tests/imports.rs` checks it: `origin`, `idtoken` > `proxy` > `frontdoor` > `assertion`, `jwks`, `pem_keys`,
//! `upstream` > `serve` > `telemetry` > `refusal`, `config` > the leaves (`fetch`, `tls`, `key`, `identity`, `allow_list`, `cookies`,
//! `header_fields`, `percent`, `html`, `clock`, `random`).

pub mod allow_list;
pub mod assertion;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cookies;
pub mod fetch;
pub mod frontdoor;
pub mod header_fields;
pub mod html;
pub mod identity;
pub mod idtoken;
pub mod jwks;
pub mod key;
pub mod memory;
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
pub mod uploads;
pub mod upstream;
