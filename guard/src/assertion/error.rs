//! Why a token was refused: one rule each, told to the log and the metric, never to the client.

use super::MAX_TOKEN_BYTES;

/// The rule that a token broke. The label goes to the metric, the text to the log, and neither to the client.
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
    /// `crit` is present: nothing that it could name is understood here (RFC 7515, 4.1.11).
    #[error("the assertion has critical extensions")]
    Critical,
    /// `iss` is absent or another.
    #[error("the assertion's issuer is absent or another")]
    Issuer,
    /// `aud` is absent or holds none of ours.
    #[error("the assertion's audience is absent or another application's")]
    Audience,
    /// `exp` is absent.
    #[error("the assertion has no exp")]
    NoExpiry,
    /// `exp` is past.
    #[error("the assertion is expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the assertion is not valid yet")]
    NotYet,
    /// Cloudflare's `type` is not `app`: a session token, say.
    #[error("the assertion is not an application token")]
    NotApplication,
    /// It is good for longer than this signer's tokens are.
    #[error("the assertion is good for longer than this front door's are")]
    Lifetime,
    /// Neither a person nor a service token.
    #[error("the assertion names neither a person nor a service token")]
    NoIdentity,
    /// `kid` is not in the key set, also after a refetch where one was due.
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
