//! The table of front doors: one row for each name that `GUARD_FRONT_DOOR` may have.
//!
//! `--help`, the error for an unknown name and the policy `front-door` of `guardctl lint` are derived from it, and `tests/docs.rs` holds
//! the table in `docs/origin.md` to it. A new signed front door is one row here, one profile in `frontdoor/profile.rs`, and its docs.

use hyper::Uri;

use super::AuthServerArgs;
use super::FrontDoorArgs;
use super::FrontDoorConfig;
use super::signed;
use crate::config::problems::{Reader, given};

/// The front door that is used if `GUARD_FRONT_DOOR` is not set.
pub const DEFAULT: &str = "cloudflare-access";

/// The variable that every signed front door takes.
const UNVERIFIED_EMAIL: &str = "GUARD_ASSERTION_UNVERIFIED_EMAIL";

/// One kind of front door.
pub struct FrontDoorKind {
    /// The name, as in `GUARD_FRONT_DOOR`.
    pub name: &'static str,
    /// The header or the server that identifies the sender of a request.
    pub evidence: &'static str,
    /// The required variables.
    pub required: &'static [&'static str],
    /// The optional variables. A name that ends in `_` stands for all variables with this prefix.
    pub optional: &'static [&'static str],
    /// Reads the variables of this front door.
    pub(super) check: fn(&FrontDoorArgs, &mut Reader, Parts<'_>) -> Option<FrontDoorConfig>,
}

/// Further inputs of [`FrontDoorKind::check`].
pub(super) struct Parts<'a> {
    /// The value of `GUARD_JWKS_URL`.
    pub(super) jwks: Option<Uri>,
    /// The auth server's arguments; none for outbound requests, where nobody can sign in.
    pub(super) auth_server: Option<AuthServerArgs<'a>>,
}

/// Every front door.
pub const FRONT_DOORS: [FrontDoorKind; 8] = [
    FrontDoorKind {
        name: DEFAULT,
        evidence: "Cf-Access-Jwt-Assertion",
        required: &["GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"],
        optional: &["GUARD_JWKS_URL", UNVERIFIED_EMAIL],
        check: |args, r, Parts { jwks, .. }| {
            let (team, aud) = (given(args.access_team.as_deref()), given(args.access_aud.as_deref()));
            signed::cloudflare_access(r, team, aud, jwks).map(FrontDoorConfig::Signed)
        },
    },
    FrontDoorKind {
        name: "google-iap",
        evidence: "x-goog-iap-jwt-assertion",
        required: &["GUARD_ASSERTION_AUDIENCE"],
        optional: &["GUARD_JWKS_URL", UNVERIFIED_EMAIL],
        check: |args, r, Parts { jwks, .. }| args.assertion.google_iap(r, jwks).map(FrontDoorConfig::Signed),
    },
    FrontDoorKind {
        name: "pomerium",
        evidence: "X-Pomerium-Jwt-Assertion",
        required: &["GUARD_ASSERTION_AUDIENCE", "GUARD_JWKS_URL"],
        optional: &["GUARD_ASSERTION_ISSUER", UNVERIFIED_EMAIL],
        check: |args, r, Parts { jwks, .. }| args.assertion.pomerium(r, jwks).map(FrontDoorConfig::Signed),
    },
    FrontDoorKind {
        name: "aws-alb",
        evidence: "x-amzn-oidc-data",
        required: &["GUARD_ALB_ARN", "GUARD_ALB_CLIENT_ID"],
        optional: &["GUARD_ASSERTION_ISSUER", "GUARD_JWKS_URL", UNVERIFIED_EMAIL],
        check: |args, r, Parts { jwks, .. }| args.assertion.aws_alb(r, jwks).map(FrontDoorConfig::Signed),
    },
    FrontDoorKind {
        name: "authentik-proxy",
        evidence: "X-authentik-jwt",
        required: &["GUARD_ASSERTION_SECRET_FILE", "GUARD_ASSERTION_ISSUER", "GUARD_ASSERTION_AUDIENCE"],
        optional: &[UNVERIFIED_EMAIL],
        check: |args, r, _| args.assertion.authentik_proxy(r).map(FrontDoorConfig::Signed),
    },
    FrontDoorKind {
        name: "signed-header",
        evidence: "GUARD_ASSERTION_HEADER",
        required: &[
            "GUARD_ASSERTION_HEADER",
            "GUARD_ASSERTION_ALGORITHMS",
            "GUARD_ASSERTION_ISSUER",
            "GUARD_ASSERTION_AUDIENCE",
            "GUARD_JWKS_URL",
        ],
        optional: &["GUARD_ASSERTION_EMAIL_CLAIM", UNVERIFIED_EMAIL],
        check: |args, r, Parts { jwks, .. }| args.assertion.signed_header(r, jwks).map(FrontDoorConfig::Signed),
    },
    FrontDoorKind {
        name: FORWARD_AUTH,
        evidence: "GUARD_AUTH_URL",
        required: &["GUARD_AUTH_URL", "GUARD_EXTERNAL_URL"],
        optional: &["GUARD_AUTH_"],
        check: forward_auth,
    },
    FrontDoorKind {
        name: "unsigned-header",
        evidence: "GUARD_ASSERTION_HEADER",
        required: &["GUARD_ASSERTION_HEADER", "GUARD_TRUSTED_PEERS"],
        optional: &[],
        check: |args, r, _| args.unsigned_header(r),
    },
];

const FORWARD_AUTH: &str = "forward-auth";

fn forward_auth(args: &FrontDoorArgs, r: &mut Reader, Parts { auth_server, .. }: Parts<'_>) -> Option<FrontDoorConfig> {
    let Some(AuthServerArgs { server, external }) = auth_server else {
        r.problem("GUARD_FRONT_DOOR", Some(FORWARD_AUTH), "a front door that signs: nobody can sign in on an outbound request");
        return None;
    };
    let needs_address = given(args.allow_email.as_deref()).is_some();
    server.check(r, external, needs_address).map(FrontDoorConfig::ForwardAuth)
}

/// Lists all names, as `a, b or c`.
pub(super) fn names() -> String {
    let [first @ .., last] = FRONT_DOORS.each_ref().map(|kind| kind.name);
    format!("{} or {last}", first.join(", "))
}

/// Returns the text of `--front-door` in `--help`.
pub(super) fn help() -> String {
    format!("The front door that authenticates requests: {} [default: {DEFAULT}; idtoken: none]", names())
}

/// The names of the front doors that need this variable, for its text in `--help`.
#[cfg(test)]
fn that_need(variable: &str) -> Vec<&'static str> {
    FRONT_DOORS.iter().filter(|kind| kind.required.contains(&variable)).map(|kind| kind.name).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;
    use crate::config::OriginArgs;

    #[test]
    fn a_front_door_without_its_variables_names_exactly_those_that_the_table_requires() {
        for kind in &FRONT_DOORS {
            let mut args = OriginArgs { upstream: Some("http://immich:2283".to_owned()), ..OriginArgs::default() };
            args.door.front_door = Some(kind.name.to_owned());
            let problems = args.check().expect_err(kind.name).0;
            let mut named: Vec<_> = problems.iter().map(|problem| problem.variable).collect();
            let mut required = kind.required.to_vec();
            named.sort_unstable();
            required.sort_unstable();
            assert_eq!(named, required, "{}: the table and the check differ", kind.name);
        }
    }

    #[test]
    fn the_help_of_a_variable_names_the_front_doors_that_require_it() {
        let command = OriginArgs::augment_args(Command::new("origin"));
        let help_of = |variable: &str| {
            let argument = command.get_arguments().find(|argument| argument.get_env().is_some_and(|env| env == variable));
            argument.and_then(|argument| argument.get_help()).unwrap_or_else(|| panic!("no flag for {variable}")).to_string()
        };
        assert!(FRONT_DOORS.iter().all(|kind| help_of("GUARD_FRONT_DOOR").contains(kind.name)));
        for kind in &FRONT_DOORS {
            for variable in kind.required {
                let help = help_of(variable);
                let all = that_need(variable);
                if help.contains("required for") {
                    assert!(all.iter().all(|name| help.contains(name)), "{variable}: {help:?} has to name {all:?}");
                }
            }
        }
    }
}
