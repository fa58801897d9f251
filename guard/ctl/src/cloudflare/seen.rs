//! What an account looks like: every part that was read, or why it could not be read. Only reads.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::api::{Api, Call};
use super::error::ApiError;
use super::part::Part;
use super::wanted::Wanted;

/// The parts that `plan` and `apply` need.
pub(crate) const FOR_APPLY: [Part; 11] = [
    Part::Token,
    Part::Organization,
    Part::LoginMethods,
    Part::Groups,
    Part::ServiceTokens,
    Part::Policies,
    Part::Applications,
    Part::Tunnels,
    Part::Records,
    Part::CacheRules,
    Part::Settings,
];
/// The parts that only `check` reads besides.
pub(crate) const FOR_CHECK: [Part; 3] = [Part::Ingress, Part::Bots, Part::Certificates];
/// The parts that say whether the gate is closed.
pub(crate) const OF_THE_GATE: [Part; 5] =
    [Part::Organization, Part::LoginMethods, Part::Groups, Part::Policies, Part::Applications];
/// The switches of a zone that matter to the app.
const SETTINGS: [&str; 6] =
    ["websockets", "rocket_loader", "security_level", "browser_check", "always_use_https", "development_mode"];

/// An account, as far as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The zone of the host name.
    pub(crate) zone: Value,
    parts: BTreeMap<Part, Result<Vec<Value>, ApiError>>,
}

impl Seen {
    /// The zone of this host: the longest suffix that is one.
    pub(crate) async fn of(api: &Api, host: &str) -> Result<Self> {
        let labels: Vec<_> = host.split('.').collect();
        for first in 0..labels.len() - 1 {
            let name = labels[first..].join(".");
            let found = api.send(&Call::get(Part::Zone, format!("/zones?name={name}"))).await?;
            let zones: Vec<_> = found.as_array().into_iter().flatten().filter(|zone| zone["name"] == name.as_str()).collect();
            ensure!(
                zones.len() < 2,
                "{name}: found {} zones of this name, wanted one; narrow the API token to one account",
                zones.len()
            );
            let Some(zone) = zones.first() else { continue };
            for id in [&zone["id"], &zone["account"]["id"]] {
                let is_id = id.as_str().is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                ensure!(is_id, "{name}: found a zone without ids, wanted what GET /zones of Cloudflare's API answers");
            }
            return Ok(Self { zone: (*zone).clone(), parts: BTreeMap::new() });
        }
        bail!(
            "{host}: the API token sees no zone for this name; wanted a domain in this Cloudflare account, and the token's permission {} > Read for it",
            Part::Zone.permission()
        )
    }

    /// Reads these parts anew, in this order.
    pub(crate) async fn read(&mut self, api: &Api, wanted: &Wanted, parts: &[Part], everything: bool) {
        for part in parts {
            let found = self.part(api, wanted, *part, everything).await;
            self.parts.insert(*part, found);
        }
    }

    /// The objects of a part; none where it could not be read.
    pub(crate) fn list(&self, part: Part) -> &[Value] {
        self.parts.get(&part).and_then(|found| found.as_deref().ok()).unwrap_or_default()
    }

    /// The only object of a part.
    pub(crate) fn one(&self, part: Part) -> &Value {
        self.list(part).first().unwrap_or(&Value::Null)
    }

    /// Why a part could not be read.
    pub(crate) fn failure(&self, part: Part) -> Option<&ApiError> {
        self.parts.get(&part)?.as_ref().err()
    }

    /// Every part that could not be read.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (Part, &ApiError)> {
        self.parts.iter().filter_map(|(part, found)| Some((*part, found.as_ref().err()?)))
    }

    /// `/accounts/ID`.
    pub(crate) fn account(&self) -> String {
        format!("/accounts/{}", self.zone["account"]["id"].as_str().unwrap_or_default())
    }

    /// `/zones/ID`.
    pub(crate) fn zone_path(&self) -> String {
        format!("/zones/{}", text(&self.zone, "id"))
    }

    /// The tunnel of this name that is not deleted.
    pub(crate) fn tunnel(&self, wanted: &Wanted) -> Option<&Value> {
        self.list(Part::Tunnels).iter().find(|tunnel| tunnel["name"] == wanted.tunnel.as_str() && tunnel["deleted_at"].is_null())
    }

    /// The applications whose own hostname, without a path, is the host.
    pub(crate) fn applications(&self, host: &str) -> Vec<&Value> {
        self.list(Part::Applications).iter().filter(|app| destinations(app).any(|uri| uri.eq_ignore_ascii_case(host))).collect()
    }

    async fn part(&self, api: &Api, wanted: &Wanted, part: Part, everything: bool) -> Result<Vec<Value>, ApiError> {
        let (account, zone) = (self.account(), self.zone_path());
        let one = async |path: String| Ok(vec![api.send(&Call::get(part, path)).await?]);
        match part {
            Part::Token => self.verify(api).await,
            Part::Zone => Ok(vec![self.zone.clone()]),
            Part::Organization => one(format!("{account}/access/organizations")).await,
            Part::LoginMethods => api.list(part, &format!("{account}/access/identity_providers")).await,
            Part::Groups => api.list(part, &format!("{account}/access/groups")).await,
            Part::ServiceTokens => api.list(part, &format!("{account}/access/service_tokens")).await,
            Part::Policies => api.list(part, &format!("{account}/access/policies")).await,
            Part::Applications => api.list(part, &format!("{account}/access/apps")).await,
            Part::Tunnels => {
                let name = escaped(&wanted.tunnel);
                api.list(part, &format!("{account}/cfd_tunnel?name={name}&is_deleted=false")).await
            }
            Part::Ingress => match self.tunnel(wanted).filter(|tunnel| tunnel["config_src"] == "cloudflare") {
                Some(tunnel) => one(format!("{account}/cfd_tunnel/{}/configurations", text(tunnel, "id"))).await,
                None => Ok(Vec::new()),
            },
            Part::Records => self.records(api, wanted, everything).await,
            Part::CacheRules => {
                match one(format!("{zone}/rulesets/phases/http_request_cache_settings/entrypoint")).await {
                    // No rule was ever made.
                    Err(ApiError::Absent { .. }) => Ok(Vec::new()),
                    found => found,
                }
            }
            Part::Settings => {
                let mut found = Vec::new();
                for setting in SETTINGS.iter().take(if everything { SETTINGS.len() } else { 1 }) {
                    found.push(api.send(&Call::get(part, format!("{zone}/settings/{setting}"))).await?);
                }
                Ok(found)
            }
            Part::Bots => one(format!("{zone}/bot_management")).await,
            Part::Certificates if self.is_deep(&wanted.host) => {
                api.list(part, &format!("{zone}/ssl/certificate_packs?status=all")).await
            }
            Part::Certificates => Ok(Vec::new()),
        }
    }

    /// Whether the host is more than one label below its zone: the free certificate does not cover it.
    pub(crate) fn is_deep(&self, host: &str) -> bool {
        let zone = text(&self.zone, "name");
        host.strip_suffix(zone).is_some_and(|rest| rest.trim_end_matches('.').contains('.'))
    }

    /// The state of the token: a user's and an account's are asked for at different addresses, and an older token does not say which it is.
    async fn verify(&self, api: &Api) -> Result<Vec<Value>, ApiError> {
        let of_account = Call::get(Part::Token, format!("{}/tokens/verify", self.account()));
        if api.token().is_of_account() {
            return Ok(vec![api.send(&of_account).await?]);
        }
        match api.send(&Call::get(Part::Token, "/user/tokens/verify")).await {
            Ok(found) => Ok(vec![found]),
            Err(ApiError::Token { .. } | ApiError::Permission { .. }) => Ok(vec![api.send(&of_account).await?]),
            Err(error) => Err(error),
        }
    }

    /// The records at the host name, wildcards beside it, and every record that leads to the tunnel; `everything`: in all zones that the token sees.
    async fn records(&self, api: &Api, wanted: &Wanted, everything: bool) -> Result<Vec<Value>, ApiError> {
        let (zone, host) = (self.zone_path(), &wanted.host);
        let mut found = api.list(Part::Records, &format!("{zone}/dns_records?name.exact={host}")).await?;
        let Some(tunnel) = self.tunnel(wanted) else { return Ok(found) };
        let mut zones = vec![zone];
        if everything {
            let all = api.list(Part::Zone, "/zones?status=active").await?;
            zones.extend(
                all.iter().filter(|other| other["id"] != self.zone["id"]).map(|other| format!("/zones/{}", text(other, "id"))),
            );
        }
        for zone in zones {
            let content = target(text(tunnel, "id"));
            for record in api.list(Part::Records, &format!("{zone}/dns_records?content.exact={content}")).await? {
                if !found.iter().any(|known| known["id"] == record["id"]) {
                    found.push(record);
                }
            }
        }
        Ok(found)
    }
}

/// The content of a record that leads to a tunnel.
pub(crate) fn target(tunnel: &str) -> String {
    format!("{tunnel}.cfargotunnel.com")
}

/// A text member; empty where it is none.
pub(crate) fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

/// The items of a list member.
pub(crate) fn items<'v>(value: &'v Value, member: &str) -> impl Iterator<Item = &'v Value> {
    value[member].as_array().into_iter().flatten()
}

/// Every public address that an application covers: `host`, or `host/path`.
pub(crate) fn destinations(app: &Value) -> impl Iterator<Item = &str> {
    let public = items(app, "destinations").filter(|it| it["type"].is_null() || it["type"] == "public").map(|it| text(it, "uri"));
    let older = items(app, "self_hosted_domains").filter_map(Value::as_str);
    std::iter::once(text(app, "domain"))
        .chain(public)
        .chain(older)
        .map(|uri| uri.trim_end_matches('/'))
        .filter(|uri| !uri.is_empty())
}

/// Percent-encodes what a query may not hold.
fn escaped(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
