//! Makes the changes of a plan, one at a time: plan, make the first change, read its part again, plan anew. What is not there after a while is a
//! failure. Before the change that makes the host name reachable, the gate is read back and judged by the checks of `check`.

use std::collections::BTreeSet;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::api::{Api, Call};
use super::check::{self, Facts};
use super::error::ApiError;
use super::part::Part;
use super::plan::{Change, Effect, Input, Plan};
use super::seen::{OF_THE_GATE, Seen, text};
use super::wanted::Who;

/// The waits for a change to be seen, in seconds: 31 in all.
const WAITS: [u64; 5] = [1, 2, 4, 8, 16];

/// Why `apply` stopped. Everything that was done stays; the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// A call failed.
    #[error("{what}: {error}{}", if error.leaves_the_outcome_open() { "; whether it was done is not known, the next run looks first" } else { "" })]
    Call {
        /// The change.
        what: String,
        /// The failure.
        error: ApiError,
    },
    /// Something cannot be read, or a foreign object is in the way.
    #[error("{0}")]
    Refused(String),
    /// The gate has a hole, so the host name was not made reachable.
    #[error("the DNS record was not written, because the gate before it is not closed:\n{0}")]
    Open(String),
    /// A change was accepted, and is not there.
    #[error(
        "{0} was written, and {WAITS:?} seconds later it still does not read back; look at it in the dashboard, then run this again"
    )]
    Lost(String),
    /// A file could not be written.
    #[error("{0:#}")]
    File(#[from] anyhow::Error),
}

/// Makes every change. `seen` was read for the plan that the person agreed to.
pub(crate) async fn apply(api: &Api, seen: &mut Seen, input: &Input<'_>) -> Result<usize, Stop> {
    let mut made = BTreeSet::new();
    let mut waits = WAITS.iter();
    loop {
        let plan = Plan::new(&Input { seen, ..*input });
        if let Some(refusal) = plan.refusals.first() {
            return Err(Stop::Refused(refusal.clone()));
        }
        let Some(change) = plan.changes.into_iter().next() else { return Ok(made.len()) };
        if made.contains(&change.what) {
            let Some(wait) = waits.next() else { return Err(Stop::Lost(change.what)) };
            api.pause(*wait).await;
            read(api, seen, input, &[change.part]).await?;
            continue;
        }
        waits = WAITS.iter();
        if change.opens {
            read(api, seen, input, &OF_THE_GATE).await?;
            gate(seen, input)?;
            // What was read may differ from what was planned with: then that comes first.
            let next = Plan::new(&Input { seen, ..*input }).changes.into_iter().next();
            if next.is_some_and(|next| next.what != change.what) {
                continue;
            }
        }
        make(api, input, &change).await?;
        println!("✓ {}", change.what);
        read(api, seen, input, &[change.part]).await?;
        made.insert(change.what);
    }
}

/// An error unless the gate before the host name is closed.
pub(crate) fn gate(seen: &Seen, input: &Input<'_>) -> Result<(), Stop> {
    let home = Err("not looked at".to_owned());
    let facts = Facts { wanted: input.wanted, seen, home, now: SystemTime::now() };
    let open = check::open_gates(&facts);
    if open.is_empty() {
        return Ok(());
    }
    let line = |finding: check::Finding| {
        format!("  {} {}\n    fix: {}", finding.id, finding.detail, finding.fix.unwrap_or_else(|| finding.title.to_owned()))
    };
    Err(Stop::Open(open.into_iter().map(line).collect::<Vec<_>>().join("\n")))
}

async fn read(api: &Api, seen: &mut Seen, input: &Input<'_>, parts: &[Part]) -> Result<(), Stop> {
    seen.read(api, input.wanted, parts, false).await;
    match parts.iter().find_map(|part| Some((part, seen.failure(*part)?.clone()))) {
        None => Ok(()),
        Some((part, error)) => Err(Stop::Call { what: format!("reading the {}", part.name()), error }),
    }
}

async fn make(api: &Api, input: &Input<'_>, change: &Change) -> Result<(), Stop> {
    let failed = |error| Stop::Call { what: change.what.clone(), error };
    match &change.effect {
        Effect::Write(call) => drop(api.send(call).await.map_err(failed)?),
        Effect::Secret(phone, call) => {
            input.files.start(phone)?;
            let answer = api.send(call).await.map_err(failed)?;
            let (id, secret) = (text(&answer, "client_id"), text(&answer, "client_secret"));
            if id.is_empty() || secret.is_empty() {
                return Err(Stop::Refused(format!(
                    "{}: the answer holds no secret; the next run asks for a new one",
                    change.what
                )));
            }
            input.files.finish(phone, id, secret)?;
        }
        Effect::TunnelToken(id) => {
            let path = format!("{}/cfd_tunnel/{id}/token", input.seen.account());
            let answer = api.send(&Call::get(Part::Tunnels, path)).await.map_err(|error| match error {
                // Cloudflare shows the token only to those who may change the tunnel.
                ApiError::Permission { part, call, said, .. } => failed(ApiError::Permission { part, write: true, call, said }),
                error => failed(error),
            })?;
            let token = answer.as_str().filter(|token| is_token_of(token, id));
            let Some(token) = token else {
                return Err(Stop::Refused(format!(
                    "{}: the answer is no token of this tunnel (base64 of JSON with a, s and t)",
                    change.what
                )));
            };
            input.files.keep_tunnel_token(token)?;
        }
    }
    Ok(())
}

/// Whether a text is the token of this tunnel.
fn is_token_of(token: &str, id: &str) -> bool {
    let json = STANDARD.decode(token).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    json.is_some_and(|json| json["t"] == id && json["a"].is_string() && json["s"].is_string())
}

/// The values of the Secret immich-edge.
pub(crate) fn values(seen: &Seen, input: &Input<'_>) -> Option<Vec<(&'static str, String)>> {
    let wanted = input.wanted;
    let applications = seen.applications(&wanted.host);
    let [app] = applications.as_slice() else { return None };
    let domain = text(seen.one(Part::Organization), "auth_domain");
    let mut values = vec![
        ("ACCESS_TEAM", domain.strip_suffix(".cloudflareaccess.com").unwrap_or(domain).to_owned()),
        ("ACCESS_AUD", text(app, "aud").to_owned()),
        ("EXTERNAL_HOST", wanted.host.clone()),
    ];
    let one = |who: &Who| match who {
        Who::Email(address) => Some(address.clone()),
        Who::Domain(domain) => Some(format!("@{domain}")),
        // guard cannot know who is in it.
        Who::Group(_) => None,
    };
    if let Some(family) = wanted.family.iter().map(one).collect::<Option<Vec<_>>>() {
        values.push(("ALLOW_EMAIL", family.join(",")));
    }
    let names: Vec<_> = wanted.phones.iter().map(|phone| wanted.named(phone)).collect();
    let tokens = seen.list(Part::ServiceTokens).iter().filter(|token| names.iter().any(|name| token["name"] == name.as_str()));
    let ids: Vec<_> = tokens.map(|token| text(token, "client_id")).collect();
    if !ids.is_empty() {
        values.push(("ALLOW_SERVICE", ids.join(",")));
    }
    Some(values)
}
