//! Which permission a call needs, by the names of Cloudflare's API, and what is answered without it. The answer never names the permission.

use super::Asked;
use super::reply::Reply;

/// Every permission that a home needs.
pub(super) const ALL: &[&str] = &[
    "Zone Read",
    "DNS Write",
    "Cache Settings Write",
    "Zone Settings Write",
    "Bot Management Write",
    "SSL and Certificates Read",
    "Cloudflare Tunnel Write",
    "Access: Apps and Policies Write",
    "Access: Service Tokens Write",
    "Access: Organizations, Identity Providers, and Groups Read",
];

/// The group of a path, and the code with which its product refuses.
fn group(path: &str) -> Option<(&'static str, i64)> {
    let table = [
        ("/access/organizations", "Access: Organizations, Identity Providers, and Groups", 10000),
        ("/access/identity_providers", "Access: Organizations, Identity Providers, and Groups", 10000),
        ("/access/groups", "Access: Organizations, Identity Providers, and Groups", 10000),
        ("/access/service_tokens", "Access: Service Tokens", 10000),
        ("/access/apps", "Access: Apps and Policies", 10000),
        ("/access/policies", "Access: Apps and Policies", 10000),
        ("/cfd_tunnel", "Cloudflare Tunnel", 10000),
        ("/dns_records", "DNS", 10000),
        ("/rulesets", "Cache Settings", 10000),
        ("/settings/", "Zone Settings", 9109),
        ("/bot_management", "Bot Management", 10000),
        ("/ssl/certificate_packs", "SSL and Certificates", 9109),
    ];
    let known = table.into_iter().find(|(part, ..)| path.contains(part));
    known.map(|(_, name, code)| (name, code)).or_else(|| path.starts_with("/zones").then_some(("Zone", 9109)))
}

/// The refusal, if these permissions do not suffice.
pub(super) fn refusal(asked: &Asked, granted: &[String]) -> Option<Reply> {
    let (group, code) = group(&asked.path)?;
    let has = |right: &str| granted.iter().any(|name| *name == format!("{group} {right}"));
    // The token of a tunnel is for those who may change it.
    let is_write = asked.method != "GET" || (asked.path.contains("/cfd_tunnel/") && asked.path.ends_with("/token"));
    if has("Write") || (!is_write && has("Read")) {
        return None;
    }
    let message = if code == 9109 { "Unauthorized to access requested resource" } else { "Authentication error" };
    Some(Reply::error(403, code, message))
}
