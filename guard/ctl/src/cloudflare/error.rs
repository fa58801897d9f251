//! What can go wrong with a call of Cloudflare's API, told apart by what a person can do about it.

use super::part::Part;

/// A call that failed. `call` is `METHOD path`, without query and headers.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Cloudflare does not know the token.
    #[error("Cloudflare does not accept the API token ({call}: {said}); make a new one, or check that it was copied whole")]
    Token { call: String, said: String },
    /// The token is good, and may not do this.
    #[error(
        "the API token lacks a permission: {} > {}, for {} ({call}: {said})",
        part.permission(), if *write { "Edit" } else { "Read" }, part.name()
    )]
    Permission { part: Part, write: bool, call: String, said: String },
    /// Zero Trust was never switched on in this account.
    #[error(
        "Zero Trust is not set up in this account ({call}: {said}); open https://one.dash.cloudflare.com once, choose a team name and a plan (Free will do)"
    )]
    NotEnabled { call: String, said: String },
    /// There is no such object.
    #[error("{call}: not found ({said})")]
    Absent { call: String, said: String },
    /// Another object is in the way.
    #[error(
        "Cloudflare refuses, because something is in the way ({call}: {said}); look at it in the dashboard, then run this again"
    )]
    Conflict { call: String, said: String },
    /// Too many calls.
    #[error(
        "Cloudflare asks to wait {seconds} s (1200 calls in five minutes, the dashboard's included); run this again then ({call})"
    )]
    Limited { call: String, seconds: u64 },
    /// Cloudflare has a problem of its own.
    #[error("Cloudflare has a problem ({call}: {said}); run this again later, https://www.cloudflarestatus.com says more")]
    Unavailable { call: String, said: String },
    /// There was no answer.
    #[error("no answer from Cloudflare ({call}: {said}); check the network, then run this again")]
    Unreachable { call: String, said: String },
    /// The answer is not what the API answers.
    #[error("an answer that is not Cloudflare's API ({call}: {said}); a proxy in between, or a change of the API")]
    Unreadable { call: String, said: String },
    /// Anything else.
    #[error("Cloudflare refuses ({call}: {said})")]
    Refused { call: String, said: String },
}

impl ApiError {
    /// Whether a write may have been done although it failed.
    pub(crate) const fn leaves_the_outcome_open(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unreachable { .. } | Self::Unreadable { .. })
    }

    /// Whether nothing could be seen, as opposed to something that is wrong.
    pub(crate) const fn is_blind(&self) -> bool {
        !matches!(self, Self::Conflict { .. } | Self::Refused { .. } | Self::Absent { .. })
    }
}
