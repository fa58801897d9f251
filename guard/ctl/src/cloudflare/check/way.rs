//! Checks of the way to the home: the tunnel, its rules, and the names that lead to it.

use super::{Facts, access, fail, pass, warn};
use crate::cloudflare::part::Part;
use crate::cloudflare::seen::{destinations, items, target, text};
use crate::cloudflare::wanted::GUARD;
use crate::doctor::graph::Outcome;

pub(super) fn tunnel(facts: &Facts<'_>) -> Outcome {
    let name = &facts.wanted.tunnel;
    match facts.seen.tunnel(facts.wanted) {
        None => fail(
            format!("there is no tunnel {name}"),
            "guardctl cloudflare apply   # or name the tunnel that you have: tunnel = \"NAME\"",
        ),
        Some(tunnel) if tunnel["config_src"] == "local" => Outcome::Pass(format!("{name} {}", text(tunnel, "id"))),
        Some(_) => fail(
            format!(
                "the tunnel {name} is managed in the dashboard: whoever can sign in there leads it past guard, and the rules in Git do not count"
            ),
            "choose another name in the settings (tunnel), then: guardctl cloudflare apply",
        ),
    }
}

pub(super) fn ingress(facts: &Facts<'_>) -> Outcome {
    let Some(config) = facts.seen.list(Part::Ingress).first() else {
        return Outcome::Pass("the rules are in Git: apps/networking/cloudflared/config.yaml".to_owned());
    };
    let past = items(&config["config"], "ingress").find(|rule| {
        let service = text(rule, "service");
        service.trim_end_matches('/') != GUARD && !service.starts_with("http_status:")
    });
    match past {
        None => pass(),
        Some(rule) => fail(
            format!("the tunnel leads {} to {}, past guard", name_of(text(rule, "hostname")), text(rule, "service")),
            format!("Zero Trust > Networks > Tunnels: service {GUARD}; better: a locally managed tunnel (CF-TUNNEL-01)"),
        ),
    }
}

fn name_of(hostname: &str) -> &str {
    if hostname.is_empty() { "every name" } else { hostname }
}

pub(super) fn connected(facts: &Facts<'_>) -> Outcome {
    match facts.seen.tunnel(facts.wanted).map(|tunnel| text(tunnel, "status")) {
        None => Outcome::Skip("there is no tunnel".to_owned()),
        Some("healthy") => pass(),
        Some(status) => warn(
            format!("the tunnel is {status}: no cloudflared, or not all of its connections"),
            "kubectl -n immich-edge logs deploy/cloudflared --tail=20",
        ),
    }
}

pub(super) fn record(facts: &Facts<'_>) -> Outcome {
    let host = &facts.wanted.host;
    let leading = ["A", "AAAA", "CNAME", "HTTPS"];
    let here = facts.seen.list(Part::Records).iter();
    let here: Vec<_> = here
        .filter(|record| text(record, "name").eq_ignore_ascii_case(host) && leading.contains(&text(record, "type")))
        .collect();
    if here.is_empty() {
        return fail(format!("{host} has no record: it is not reachable"), "guardctl cloudflare apply");
    }
    if let Some(open) = here.iter().find(|record| record["proxied"] == false) {
        return fail(
            format!(
                "the record {} {} of {host} is not proxied: it shows where it leads, and Access does not stand before it",
                text(open, "type"),
                text(open, "content")
            ),
            "dashboard > DNS > Records: Proxied, or delete it; then: guardctl cloudflare apply",
        );
    }
    let Some(tunnel) = facts.seen.tunnel(facts.wanted) else { return Outcome::Skip("there is no tunnel".to_owned()) };
    let wanted = target(text(tunnel, "id"));
    match here.iter().find(|record| !text(record, "content").eq_ignore_ascii_case(&wanted)) {
        None => Outcome::Pass(wanted),
        Some(other) => fail(
            format!("{host} leads to {} {}, wanted CNAME {wanted}", text(other, "type"), text(other, "content")),
            "dashboard > DNS > Records: delete it; then: guardctl cloudflare apply",
        ),
    }
}

pub(super) fn others(facts: &Facts<'_>) -> Outcome {
    let Some(tunnel) = facts.seen.tunnel(facts.wanted) else { return Outcome::Skip("there is no tunnel".to_owned()) };
    let wanted = target(text(tunnel, "id"));
    let covered = |name: &str| {
        facts.seen.list(Part::Applications).iter().any(|app| {
            destinations(app).any(|uri| uri.eq_ignore_ascii_case(name) || access::is_wildcard_of(uri, name))
                && items(app, "policies").all(|policy| policy["decision"] != "bypass")
        })
    };
    let open = facts.seen.list(Part::Records).iter().find(|record| {
        let name = text(record, "name");
        !name.eq_ignore_ascii_case(&facts.wanted.host) && text(record, "content").eq_ignore_ascii_case(&wanted) && !covered(name)
    });
    match open {
        None => pass(),
        Some(record) => fail(
            format!(
                "{} leads to the same tunnel, and no Access application covers it: only guard refuses there",
                text(record, "name")
            ),
            "dashboard > DNS > Records: delete it, or make an application for it",
        ),
    }
}

pub(super) fn certificate(facts: &Facts<'_>) -> Outcome {
    let host = &facts.wanted.host;
    if !facts.seen.is_deep(host) {
        return Outcome::Pass("the free certificate".to_owned());
    }
    let packs = facts.seen.list(Part::Certificates).iter().filter(|pack| pack["status"] == "active");
    let names = packs.flat_map(|pack| items(pack, "hosts")).filter_map(serde_json::Value::as_str);
    if names.into_iter().any(|name| name.eq_ignore_ascii_case(host) || access::is_wildcard_of(name, host)) {
        return pass();
    }
    fail(
        format!("no certificate covers {host}: it is more than one label below {}", text(&facts.seen.zone, "name")),
        "choose a name one label below the domain, or order an Advanced Certificate (SSL/TLS > Edge Certificates)",
    )
}
