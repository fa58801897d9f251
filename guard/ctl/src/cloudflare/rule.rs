//! Rules of Access (`{"email":{"email":"ada@example.com"}}`): compared without regard to order and case, named for people, and judged by how
//! many they let in.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::part::Part;
use super::seen::{Seen, items, text};
use super::wanted::PUBLIC_MAIL;

/// How far the groups in groups are followed.
const MAX_DEPTH: usize = 8;

/// A rule with an address.
pub(crate) fn email(address: &str) -> Value {
    json!({"email": {"email": address}})
}

/// A rule with a domain.
pub(crate) fn domain(domain: &str) -> Value {
    json!({"email_domain": {"domain": domain}})
}

/// A rule with a rule group.
pub(crate) fn group(id: &str) -> Value {
    json!({"group": {"id": id}})
}

/// A rule with a service token.
pub(crate) fn service_token(id: &str) -> Value {
    json!({"service_token": {"token_id": id}})
}

/// The kind of a rule and what belongs to it.
pub(crate) fn kind(rule: &Value) -> (&str, &Value) {
    rule.as_object().and_then(|rule| rule.iter().next()).map_or(("", &Value::Null), |(kind, inner)| (kind.as_str(), inner))
}

/// Rules in a form in which the same rules are equal: order, case of addresses and empty rules do not count.
pub(crate) fn canonical<'v>(rules: impl Iterator<Item = &'v Value>) -> BTreeSet<String> {
    let one = |rule: &Value| {
        let (kind, inner) = kind(rule);
        match kind {
            "" => None,
            "email" | "email_domain" => Some(format!("{kind} {}", inner.to_string().to_ascii_lowercase())),
            _ => Some(format!("{kind} {inner}")),
        }
    };
    rules.filter_map(one).collect()
}

/// A rule for people: `email ada@example.com`, `service token immich-guard … ada`.
pub(crate) fn named(rule: &Value, seen: &Seen) -> String {
    let (kind, inner) = kind(rule);
    let name = |part: Part, id: &str| {
        let found = seen.list(part).iter().find(|object| object["id"] == id);
        found.map_or_else(|| id.to_owned(), |object| text(object, "name").to_owned())
    };
    match kind {
        "email" => format!("e-mail {}", text(inner, "email")),
        "email_domain" => format!("every address @{}", text(inner, "domain")),
        "group" => format!("rule group {}", name(Part::Groups, text(inner, "id"))),
        "service_token" => format!("service token {}", name(Part::ServiceTokens, text(inner, "token_id"))),
        "login_method" => format!("login method {}", name(Part::LoginMethods, text(inner, "id"))),
        "everyone" => "everyone".to_owned(),
        "any_valid_service_token" => "any valid service token".to_owned(),
        kind => kind.replace('_', " "),
    }
}

/// How many a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Named people, or a service token by name.
    Named,
    /// All addresses of a domain, or all members of something.
    Broad,
    /// A kind that guardctl does not know.
    Unknown(String),
    /// Anybody with a mailbox or without anything; the text says by what.
    Everybody(String),
}

/// The reach of one rule; rule groups are looked into.
fn reach_below(rule: &Value, seen: &Seen, depth: usize) -> Reach {
    let (kind, inner) = kind(rule);
    match kind {
        "everyone" => Reach::Everybody("everyone".to_owned()),
        "email_domain" if PUBLIC_MAIL.contains(&text(inner, "domain").to_ascii_lowercase().as_str()) => {
            Reach::Everybody(format!("every address @{}", text(inner, "domain")))
        }
        "login_method" => {
            let id = text(inner, "id");
            let method = seen.list(Part::LoginMethods).iter().find(|method| method["id"] == id);
            Reach::Everybody(format!("login method {}", method.map_or(id, |method| text(method, "name"))))
        }
        "ip" | "geo" | "ip_list" => Reach::Everybody(format!("an address or country ({kind})")),
        "group" => {
            let group = seen.list(Part::Groups).iter().find(|group| group["id"] == inner["id"]);
            match group {
                Some(group) if depth < MAX_DEPTH => match reach_of(group, seen, depth + 1) {
                    Reach::Everybody(how) => Reach::Everybody(format!("rule group {}: {how}", text(group, "name"))),
                    reach => reach,
                },
                _ => Reach::Unknown("a rule group that could not be read".to_owned()),
            }
        }
        "email" | "service_token" => Reach::Named,
        "any_valid_service_token"
        | "email_domain"
        | "email_list"
        | "gsuite"
        | "github-organization"
        | "azureAD"
        | "okta"
        | "saml"
        | "oidc"
        | "common_name"
        | "certificate"
        | "cloudflare_account_member" => Reach::Broad,
        kind => Reach::Unknown(kind.to_owned()),
    }
}

/// The widest reach of a policy's or group's `include`, unless a `require` with a narrower reach is there: all of them must hold.
pub(crate) fn reach_of(holder: &Value, seen: &Seen, depth: usize) -> Reach {
    let widest = items(holder, "include").map(|rule| reach_below(rule, seen, depth)).max().unwrap_or(Reach::Named);
    let narrowest = items(holder, "require")
        .map(|rule| reach_below(rule, seen, depth))
        .filter(|reach| !matches!(reach, Reach::Unknown(_)))
        .min();
    match (widest, narrowest) {
        (widest @ Reach::Everybody(_), Some(narrow)) if narrow < widest => narrow,
        (widest, _) => widest,
    }
}
