//! Checks of names: what public resolvers say, beside what this computer's says, by A and by AAAA.

use std::net::IpAddr;

use crate::doctor::dns::{is_cloudflare, is_private};
use crate::doctor::evidence::{Evidence, Look};
use crate::doctor::graph::{Outcome, Problem};

fn host(evidence: &Evidence) -> &str {
    evidence.host.as_deref().unwrap_or("your host name")
}

fn parsed(addresses: &[String]) -> Vec<IpAddr> {
    addresses.iter().filter_map(|address| address.parse().ok()).collect()
}

const fn record(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

pub(super) fn public(evidence: &Evidence) -> Outcome {
    let has_secret = evidence.secrets.contains_key("immich-edge/immich-edge");
    if has_secret && evidence.edge_value("ACCESS_TEAM").is_none() {
        return Outcome::Skip("the front door is not Cloudflare's".to_owned());
    }
    let seen: Vec<_> = evidence.public_addresses.iter().filter_map(|(name, found)| Some((name, found.found()?))).collect();
    if seen.is_empty() {
        let failed = evidence.public_addresses.iter().find_map(|(name, found)| Some(format!("{name}: {}", found.failure()?)));
        return Outcome::Skip(failed.unwrap_or_else(|| "not looked at from outside".to_owned()));
    }
    for (resolver, addresses) in &seen {
        if let Some(address) = parsed(addresses).into_iter().find(|address| !is_cloudflare(*address)) {
            let (record, host) = (record(address), host(evidence));
            let what = if is_private(address) { "an address at home is public" } else { "it leads past Cloudflare" };
            return Outcome::Fail(Problem::new(
                format!("{resolver} gives the {record} record {address} for {host}, which is not Cloudflare's: {what}"),
                format!(
                    "dashboard > your domain > DNS > Records: delete the {record} record of {host}; only the tunnel's CNAME stays, proxied"
                ),
            ));
        }
    }
    if seen.iter().all(|(_, addresses)| addresses.is_empty()) {
        return Outcome::Fail(Problem::new(
            format!("no public resolver has an address for {}", host(evidence)),
            format!("cloudflared tunnel route dns photos {}", host(evidence)),
        ));
    }
    Outcome::Pass(seen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
}

pub(super) fn same(evidence: &Evidence) -> Outcome {
    let Some(addresses) = evidence.addresses.found() else { return Outcome::Skip("not looked at from outside".to_owned()) };
    let addresses = parsed(addresses);
    let at_home = addresses.iter().find(|address| is_private(**address));
    let outside = addresses.iter().find(|address| !is_private(**address));
    match (at_home, outside) {
        (Some(at_home), Some(outside)) => Outcome::Warn(Problem::new(
            format!(
                "here {} leads home by {} ({at_home}), and to the internet by {} ({outside}): a phone takes one or the other",
                host(evidence),
                record(*at_home),
                record(*outside)
            ),
            format!(
                "give the resolver at home a record {} too, or delete both (clusters/home/networking/dns/README.md)",
                record(*outside)
            ),
        )),
        _ => Outcome::Pass(String::new()),
    }
}

pub(super) fn at_home(evidence: &Evidence) -> Outcome {
    let name = evidence.edge_value("LAN_URL").unwrap_or("LAN_URL");
    match &evidence.lan_addresses {
        Look::Skipped => Outcome::Skip("the address at home is no name".to_owned()),
        // This computer may be elsewhere, where nobody knows the name.
        Look::Failed(reason) => Outcome::Skip(format!("{name}: {reason}")),
        Look::Found(addresses) => match parsed(addresses).into_iter().find(|address| !is_private(*address)) {
            None => Outcome::Pass(addresses.join(", ")),
            Some(address) => Outcome::Warn(Problem::new(
                format!("{name}, the address for use at home, leads to {address}, which is not at home"),
                "make its record at home lead to the node (clusters/home/networking/dns/README.md)",
            )),
        },
    }
}
