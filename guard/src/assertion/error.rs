//! The reasons why a token is refused, one for each rule. They go to the log and the metric, never to the client.

use super::limits::MAX_TOKEN_BYTES;

/// The rule that a token broke. The label goes to the metric, the text to the log; the client gets neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// No assertion header.
    #[error("no assertion header")]
    Missing,
    /// More than one assertion header line.
    #[error("more than one assertion header line")]
    Repeated,
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the assertion is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three base64url parts of JSON, or a member has the wrong type or appears twice.
    #[error("malformed assertion: {0}")]
    Malformed(&'static str),
    /// `alg` is not the configured one.
    #[error("the assertion names an algorithm that is not the configured one")]
    Algorithm,
    /// `typ` is neither absent nor JWT.
    #[error("the assertion's typ is not JWT")]
    Type,
    /// `crit` is present; guard supports no critical extension (RFC 7515, 4.1.11).
    #[error("the assertion has critical extensions")]
    Critical,
    /// `iss` is absent or not an accepted issuer.
    #[error("the assertion's issuer is absent or not an accepted one")]
    Issuer,
    /// `aud` is absent or contains no accepted audience.
    #[error("the assertion's audience is absent or of another application")]
    Audience,
    /// `exp` is absent.
    #[error("the assertion has no exp")]
    NoExpiry,
    /// `exp` is past.
    #[error("the assertion is expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the assertion is not valid yet")]
    NotYet,
    /// Cloudflare's `type` is not `app`, for example for a session token.
    #[error("the assertion is not an application token")]
    NotApplication,
    /// The time between `iat` and `exp` is longer than this signer's tokens have, or `iat` is absent.
    #[error("the assertion's lifetime is longer than this front door issues, or iat is absent")]
    Lifetime,
    /// Neither a person nor a service token.
    #[error("the assertion names neither a person nor a service token")]
    NoIdentity,
    /// `kid` is not in the key set, even after a refetch if one was allowed.
    #[error("the assertion's key is not in the key set")]
    UnknownKey,
    /// The signature does not fit the key that `kid` names.
    #[error("the assertion's signature is wrong")]
    Signature,
}

impl AssertionError {
    /// Every label.
    pub const LABELS: [&'static str; 17] = [
        "missing",
        "repeated",
        "too-long",
        "malformed",
        "algorithm",
        "type",
        "critical",
        "issuer",
        "audience",
        "no-expiry",
        "expired",
        "not-yet",
        "not-application",
        "lifetime",
        "no-identity",
        "unknown-key",
        "signature",
    ];

    /// The value of the metric label `cause`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::TooLong => "too-long",
            Self::Malformed(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Critical => "critical",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoExpiry => "no-expiry",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::NotApplication => "not-application",
            Self::Lifetime => "lifetime",
            Self::NoIdentity => "no-identity",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
        }
    }
}
