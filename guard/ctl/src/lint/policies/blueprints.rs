//! Checks that Authentik blueprints are complete, contain no secret, and let in only the intended users.
//!
//! Authentik reports few of these mistakes, and only when it applies a blueprint. It accepts several of them.

use std::collections::BTreeMap;

use crate::lint::blueprint::models::{
    APPLICATION, BINDING, FINDABLE, FLOWS, MODELS, Model, OAUTH2_PROVIDER, OUTPOST, PROXY_PROVIDER, TOKEN, USER,
};
use crate::lint::blueprint::{Blueprint, Content, Entry, Node, TAGS};
use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;

/// Attributes that are secrets.
const SECRETS: [&str; 3] = ["client_secret", "key", "password"];
const QUOTA: &str = "immich_quota";
const APP_REDIRECT: &str = "app.immich:///oauth-callback";
const PAGES: [&str; 2] = ["/auth/login", "/user-settings"];

fn each<'i, 'o>(inventory: &'i Inventory<'o>) -> impl Iterator<Item = (&'i Blueprint<'o>, Entry<'i>)> {
    inventory.blueprints.iter().flat_map(|blueprint| blueprint.entries().map(move |entry| (blueprint, entry)))
}

fn of_model<'i, 'o>(inventory: &'i Inventory<'o>, model: &'i str) -> impl Iterator<Item = (&'i Blueprint<'o>, Entry<'i>)> {
    inventory.blueprints.iter().flat_map(move |blueprint| blueprint.of_model(model).map(move |entry| (blueprint, entry)))
}

/// `blueprint-shape`
pub fn shape(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for blueprint in &inventory.blueprints {
        let mut say = |path: &str, found: String, wanted: &str| sink.add(blueprint.object, blueprint.field(path), found, wanted);
        if let Some(fault) = &blueprint.fault {
            say("", fault.clone(), "valid YAML: Authentik skips any other file, and reports that only in the log of its worker");
            continue;
        }
        if !matches!(blueprint.root.get("version").map(|node| &node.content), Some(Content::Number(version)) if (version - 1.0).abs() < f64::EPSILON)
        {
            say("version", "missing, or another version".to_owned(), "version: 1");
        }
        if blueprint.root.get("metadata").and_then(|node| node.get("name")).and_then(Node::scalar).is_none() {
            say("metadata.name", "missing".to_owned(), "a name: the admin interface lists the blueprint under it");
        }
        for (key, _) in blueprint.root.pairs() {
            if !["version", "metadata", "context", "entries"].contains(&key.as_str()) {
                say(key, "a key that Authentik does not know".to_owned(), "one of version, metadata, context, entries");
            }
        }
        for entry in blueprint.entries() {
            for key in ["model", "identifiers"] {
                if entry.node.get(key).is_none() {
                    say(
                        &entry.path(key),
                        "missing".to_owned(),
                        "model and identifiers in each entry: Authentik finds the object by them",
                    );
                }
            }
            for (key, _) in entry.node.pairs() {
                if !["model", "id", "state", "conditions", "identifiers", "attrs"].contains(&key.as_str()) {
                    say(
                        &entry.path(key),
                        "a key that guardctl does not allow in an entry".to_owned(),
                        "one of model, id, state, conditions, identifiers, attrs",
                    );
                }
            }
        }
        blueprint.root.walk("", &mut |path, node| {
            if let Some(tag) = node.tag.as_deref().filter(|tag| tag.starts_with('!') && !TAGS.contains(tag)) {
                say(path, format!("the tag `{tag}`"), &format!("one of {}", TAGS.join(", ")));
            }
        });
    }
}

/// `blueprint-model`
pub fn model(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in each(inventory) {
        if entry.node.get("model").is_some() && Model::find(entry.model()).is_none() {
            let wanted = format!("one of {}", MODELS.map(|model| model.name).join(", "));
            sink.add(blueprint.object, blueprint.field(&entry.path("model")), format!("`{}`", entry.model()), wanted);
        }
    }
}

/// `blueprint-field`
pub fn field(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in each(inventory) {
        let Some(model) = Model::find(entry.model()) else { continue };
        for part in ["identifiers", "attrs"] {
            for (name, _) in entry.node.get(part).map(Node::pairs).unwrap_or_default() {
                let known = if part == "identifiers" { model.identifiers.contains(&name.as_str()) } else { model.knows(name) };
                if !known {
                    let wanted = if part == "identifiers" { model.identifiers } else { model.attributes };
                    let path = blueprint.field(&entry.path(&format!("{part}.{name}")));
                    let found = format!("`{name}`, which {} does not have here", model.name);
                    sink.add(blueprint.object, path, found, format!("one of {}", wanted.join(", ")));
                }
            }
        }
        for name in model.required.iter().filter(|_| !entry.is_absent()).filter(|name| entry.value(name).is_none()) {
            sink.add(
                blueprint.object,
                blueprint.field(&entry.path("attrs")),
                format!("no {name}"),
                format!("{name}: {} requires it", model.name),
            );
        }
    }
}

/// `blueprint-flows`
pub fn flows(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for model in [OAUTH2_PROVIDER, PROXY_PROVIDER] {
        for (blueprint, entry) in of_model(inventory, model) {
            for flow in FLOWS.iter().filter(|flow| entry.value(flow).is_none()) {
                let path = blueprint.field(&entry.path(&format!("attrs.{flow}")));
                sink.add(
                    blueprint.object,
                    path,
                    "missing",
                    "both flows: if one is missing, Authentik applies nothing of the blueprint",
                );
            }
        }
    }
}

/// `blueprint-redirects`
pub fn redirects(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in of_model(inventory, OAUTH2_PROVIDER) {
        let Some((path, list)) = entry.value("redirect_uris") else { continue };
        for outcome in blueprint.outcomes(list) {
            let mut urls = Vec::new();
            for (place, uri) in outcome.items().iter().enumerate() {
                let path = blueprint.field(&format!("{path}[{place}]"));
                let strict = uri.get("matching_mode").and_then(Node::scalar) == Some("strict");
                let url = uri.get("url").map(|url| url_of(blueprint, url)).unwrap_or_default();
                if !strict {
                    sink.add(blueprint.object, &path, "a matching_mode that is not strict", "matching_mode: strict");
                }
                if !is_immichs(&url) {
                    let wanted = format!("{APP_REDIRECT}, or a URL of Immich that ends with {}", PAGES.join(" or "));
                    sink.add(blueprint.object, &path, format!("`{url}`"), wanted);
                }
                urls.push(url);
            }
            let host =
                |page: &str| urls.iter().filter_map(|url| url.strip_suffix(page)).find(|host| host.starts_with("https://"));
            let missing = [
                (!urls.iter().any(|url| url == APP_REDIRECT)).then(|| APP_REDIRECT.to_owned()),
                host(PAGES[0]).is_none().then(|| format!("https://…{}", PAGES[0])),
                host(PAGES[1]).is_none().then(|| format!("https://…{}", PAGES[1])),
            ];
            let missing: Vec<_> = missing.into_iter().flatten().collect();
            if !missing.is_empty() {
                let found = format!("{} of the 3 redirect URIs: {} missing", 3 - missing.len(), missing.join(" and "));
                sink.add(blueprint.object, blueprint.field(&path), found, "all three redirect URIs");
            }
        }
    }
}

/// Returns a URL. If only its path is known, the host is a substitute for the host of the operator.
fn url_of(blueprint: &Blueprint<'_>, node: &Node) -> String {
    let pattern = || Some(node.items().first().filter(|_| node.is("!Format"))?.scalar()?.replacen("%s", "http://…", 1));
    blueprint.text(node).or_else(pattern).unwrap_or_default()
}

fn is_immichs(url: &str) -> bool {
    let web = url.starts_with("https://") || url.starts_with("http://");
    let page = PAGES.iter().copied().chain(["/api/oauth/mobile-redirect"]).find_map(|page| url.strip_suffix(page));
    url == APP_REDIRECT || (web && page.is_some_and(|host| host.matches('/').count() == 2 && !host.contains(['*', '?', '#'])))
}

/// `blueprint-signing`
pub fn signing(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in of_model(inventory, OAUTH2_PROVIDER) {
        let mut say = |name: &str, found: &str, wanted: &str| {
            sink.add(blueprint.object, blueprint.field(&entry.path(&format!("attrs.{name}"))), found, wanted);
        };
        if entry.value("signing_key").is_none() {
            say(
                "signing_key",
                "missing: Authentik then signs with the client secret (HS256)",
                "a signing key: Immich expects RS256",
            );
        }
        if entry.value("include_claims_in_id_token").and_then(|(_, node)| node.bool()) != Some(true) {
            say(
                "include_claims_in_id_token",
                "missing, or not true",
                "true: Immich reads the role and the quota from the ID token",
            );
        }
        if entry.value("client_type").and_then(|(_, node)| node.scalar()) != Some("confidential") {
            say("client_type", "missing, or not confidential", "client_type: confidential");
        }
    }
}

/// `blueprint-quota`
pub fn quota(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in each(inventory) {
        entry.node.walk(&format!("entries[{}]", entry.place), &mut |path, node| {
            let wanted = "no quota unless it is above 0: with a quota of 0, Immich refuses every upload";
            let zero = matches!(node.content, Content::Number(number) if number <= 0.0) && path.ends_with(QUOTA);
            let unasked = node.scalar().is_some_and(|text| text.contains(QUOTA) && !text.contains("> 0"));
            if zero || (unasked && path.ends_with("expression")) {
                let found = if zero { "0 or less" } else { "an expression that may return 0" };
                sink.add(blueprint.object, blueprint.field(path), found, wanted);
            }
        });
    }
}

/// `blueprint-secret`
pub fn secret(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in each(inventory) {
        for name in SECRETS {
            let Some((path, node)) = entry.value(name) else { continue };
            // A tag with a default is a list of two items, and the default would be a secret in Git.
            if !(node.is("!File") || node.is("!Env")) || node.scalar().is_none() {
                let found = if node.is("!File") || node.is("!Env") { "a default for the secret" } else { "the secret itself" };
                sink.add(blueprint.object, blueprint.field(&path), found, "!File /run/secrets/… or !Env NAME, without a default");
            }
        }
    }
}

/// `blueprint-reference`
pub fn reference(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for blueprint in &inventory.blueprints {
        let mut known: Vec<&str> = Vec::new();
        for entry in blueprint.entries() {
            entry.node.walk(&format!("entries[{}]", entry.place), &mut |path, node| {
                if let Some(id) = node.scalar().filter(|id| node.is("!KeyOf") && !known.contains(id)) {
                    let wanted = "the id of an entry above it whose state is not absent";
                    sink.add(blueprint.object, blueprint.field(path), format!("`{id}`, which is not an id above it"), wanted);
                }
                if node.is("!Find") && !is_findable(node) {
                    let wanted = "a default flow by slug, a key pair by name, or a default scope by managed; !KeyOf for entries of this file";
                    sink.add(blueprint.object, blueprint.field(path), describe(node), wanted);
                }
            });
            known.extend(entry.id().filter(|_| !entry.is_absent()));
        }
    }
}

fn is_findable(node: &Node) -> bool {
    let [model, condition] = node.items() else { return false };
    let ([field, value], Some(model)) = (condition.items(), model.scalar()) else { return false };
    FINDABLE.iter().any(|(name, by, values)| {
        *name == model
            && field.scalar() == Some(by)
            && value.scalar().is_some_and(|value| values.is_empty() || (value_is_plain(condition) && values.contains(&value)))
    })
}

fn value_is_plain(condition: &Node) -> bool {
    condition.items().iter().all(|item| item.tag.is_none())
}

fn describe(node: &Node) -> String {
    let words = |node: &Node| node.scalar().unwrap_or("…").to_owned();
    let conditions = node.items().iter().skip(1).flat_map(Node::items).map(words);
    format!("!Find {}", node.items().first().map(words).into_iter().chain(conditions).collect::<Vec<_>>().join(" "))
}

/// `blueprint-outpost`
pub fn outpost(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in of_model(inventory, OUTPOST) {
        let text = |name: &str| entry.value(name).and_then(|(_, node)| blueprint.text(node)).unwrap_or_default();
        let (name, managed) = (text("name"), text("managed"));
        if name.eq_ignore_ascii_case("authentik Embedded Outpost") || managed.contains("embedded") {
            let found = "the embedded outpost: this entry would replace the providers of all other applications";
            sink.add(
                blueprint.object,
                blueprint.field(&entry.path("identifiers")),
                found,
                "a separate outpost with its own name",
            );
        }
        if text("type") != "proxy" {
            sink.add(blueprint.object, blueprint.field(&entry.path("attrs.type")), format!("`{}`", text("type")), "type: proxy");
        }
        if let Some((path, providers)) = entry.value("providers")
            && providers.items().iter().any(|provider| !provider.is("!KeyOf"))
        {
            sink.add(
                blueprint.object,
                blueprint.field(&path),
                "a provider that is not in this file",
                "!KeyOf of a provider in this file",
            );
        }
    }
}

/// `blueprint-token`
pub fn token(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for blueprint in &inventory.blueprints {
        let mut owners = BTreeMap::new();
        for entry in blueprint.of_model(TOKEN) {
            let mut say = |name: &str, found: String, wanted: &str| {
                sink.add(blueprint.object, blueprint.field(&entry.path(&format!("attrs.{name}"))), found, wanted);
            };
            if entry.value("intent").and_then(|(_, node)| node.scalar()) != Some("app_password") {
                say("intent", "missing, or not app_password".to_owned(), "app_password: a phone can sign in with no other kind");
            }
            if entry.value("expiring").and_then(|(_, node)| node.bool()) != Some(false) {
                say("expiring", "missing, or not false: the phone cannot sign in after the token expires".to_owned(), "false");
            }
            let Some(owner) = entry.value("user").and_then(|(_, node)| node.scalar()) else { continue };
            if let Some(first) = owners.insert(owner, entry.place) {
                say(
                    "user",
                    format!("`{owner}`, who also has the token of entries[{first}]"),
                    "a separate account for each phone",
                );
            }
            let account = blueprint.of_model(USER).find(|user| user.id() == Some(owner));
            if account.is_some_and(|user| user.value("type").and_then(|(_, node)| node.scalar()) != Some("service_account")) {
                say(
                    "user",
                    format!("`{owner}`, whose type is not service_account"),
                    "type: service_account, which can sign in to nothing else",
                );
            }
        }
    }
}

/// `blueprint-binding`
pub fn binding(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for blueprint in &inventory.blueprints {
        for entry in blueprint.of_model(BINDING) {
            let set = ["policy", "group", "user"].iter().filter(|name| entry.value(name).is_some()).count();
            if set != 1 {
                let found = format!("{set} of the fields policy, group and user");
                sink.add(blueprint.object, blueprint.field(&entry.path("attrs")), found, "exactly one of them");
            }
            for name in ["enabled", "negate"] {
                if let Some((path, _)) = entry.value(name) {
                    sink.add(
                        blueprint.object,
                        blueprint.field(&path),
                        "set",
                        "unset: a binding must be enabled, and must name who is allowed",
                    );
                }
            }
        }
        for entry in blueprint.of_model(APPLICATION) {
            let bound = blueprint.of_model(BINDING).any(|binding| {
                let target = binding.value("target");
                target.is_some_and(|(_, node)| node.is("!KeyOf") && node.scalar().is_some() && node.scalar() == entry.id())
            });
            if !bound {
                let found = "an application without a binding: every user of Authentik can use it";
                sink.add(
                    blueprint.object,
                    blueprint.field(&entry.path("identifiers")),
                    found,
                    "a policybinding whose target is this application",
                );
            }
        }
    }
}

/// `blueprint-gate`
pub fn gate(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (blueprint, entry) in of_model(inventory, PROXY_PROVIDER) {
        let text = |name: &str| entry.value(name).and_then(|(_, node)| blueprint.text(node)).unwrap_or_default();
        let mut say = |name: &str, found: String, wanted: &str| {
            sink.add(blueprint.object, blueprint.field(&entry.path(&format!("attrs.{name}"))), found, wanted);
        };
        if !["forward_single", "proxy"].contains(&text("mode").as_str()) {
            say("mode", format!("`{}`", text("mode")), "forward_single; or proxy, if Authentik itself is the front door");
        }
        if !text("skip_path_regex").is_empty() {
            say(
                "skip_path_regex",
                format!("`{}`", text("skip_path_regex")),
                "unset: its patterns are not anchored, so they allow more paths than intended",
            );
        }
        let host = text("external_host");
        let bare = host.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
        if !host.is_empty() && !bare {
            say("external_host", format!("`{host}`"), "https://HOST without a path, exactly as in guard's GUARD_EXTERNAL_URL");
        }
        if entry.value("basic_auth_enabled").is_some_and(|(_, node)| node.bool() != Some(false)) {
            say("basic_auth_enabled", "set: Authentik would send a password to Immich in each request".to_owned(), "unset");
        }
    }
}
