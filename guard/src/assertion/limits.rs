//! The limits of a token.

/// The longest token that is accepted, in bytes. Cloudflare's edge allows at most 16 KB for one header; Access tokens are below 2 KB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The clock skew that is allowed for `exp`, `nbf` and `iat`, in seconds.
pub const LEEWAY_SECONDS: u64 = 10;
