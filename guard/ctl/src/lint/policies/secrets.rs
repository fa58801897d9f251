//! Finds values that must not be in Git: secrets, and identifiers of one home.

use serde_json::Value;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::sops::{Encryption, encryption};
use crate::lint::strict::join;
use crate::lint::yaml;

/// Parts of names of credentials.
const CREDENTIALS: [&str; 8] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIALS"];

/// Ends of names that contain such a part but hold the place of a credential, not the credential.
const PLACES: [&str; 6] = ["_FILE", "_PATH", "_DIR", "_DIRECTORY", "_NAME", "_TTL"];

/// Variables whose value identifies one home.
const PRIVATE: [&str; 15] = [
    "GUARD_EXTERNAL_URL",
    "GUARD_LAN_URL",
    "GUARD_ACCESS_TEAM",
    "GUARD_ACCESS_AUD",
    "GUARD_ALLOW_EMAIL",
    "GUARD_ALLOW_SERVICE",
    "GUARD_AUTH_URL",
    "GUARD_ASSERTION_AUDIENCE",
    "GUARD_ASSERTION_ISSUER",
    "GUARD_ALB_ARN",
    "GUARD_ALB_CLIENT_ID",
    "GUARD_TRUSTED_PEERS",
    "AUTHENTIK_HOST",
    "AUTHENTIK_HOST_BROWSER",
    "PUBLIC_BASE_URL",
];

/// `secret-object`
pub fn object(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let others = inventory.objects.iter().any(|object| object.kind != "Secret");
    for secret in inventory.of_kind("Secret") {
        match encryption(&secret.value) {
            Encryption::None => sink.add(
                secret,
                "kind",
                "a Secret",
                "no Secret among the manifests: create it by hand with kubectl create secret, or encrypt it with sops (docs/sops.md)",
            ),
            Encryption::Broken(path) => sink.add(
                secret,
                path,
                "a Secret that is not encrypted as a whole",
                "a Secret as `sops encrypt` writes it; change the values that were committed",
            ),
            Encryption::Whole if others => sink.add(
                secret,
                "kind",
                "an encrypted Secret beside other objects",
                "a folder for encrypted Secrets only, which Flux decrypts (docs/sops.md): kubectl apply -k would write the ciphertext",
            ),
            Encryption::Whole => {}
        }
    }
}

/// `literal-credential`
pub fn literal(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for container in workload.all_containers() {
            for (place, variable) in container.spec.env.iter().flatten().enumerate() {
                if is_credential(&variable.name, variable.value.as_deref().unwrap_or_default()) {
                    let found = format!("{} with a literal value", variable.name);
                    sink.add(
                        workload.object,
                        container.field(&format!("env[{place}].value")),
                        found,
                        "valueFrom.secretKeyRef, or the path of a mounted file in a variable …_FILE",
                    );
                }
            }
        }
    }
    for map in &inventory.config_maps {
        for (key, value) in map.typed.data.iter().flatten() {
            if is_credential(key, value) {
                sink.add(map.object, format!("data.{key}"), "a credential", "a Secret that you create by hand");
            }
            for path in credentials_in(value) {
                sink.add(
                    map.object,
                    format!("data.{key}"),
                    format!("a credential at {path}"),
                    "a Secret that you create by hand",
                );
            }
        }
    }
}

/// Whether a variable with this name and value is a credential: by its name, or because the value is a URL with a password.
fn is_credential(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let named = CREDENTIALS.iter().any(|part| upper.contains(part)) && !PLACES.iter().any(|place| upper.ends_with(place));
    let written = !value.is_empty() && !value.starts_with('/') && !is_reference(value) && !matches!(value, "true" | "false");
    (named && written) || url_password(value).is_some_and(|password| !password.is_empty() && !is_reference(password))
}

/// Returns the paths of credentials in a YAML or JSON file. Other files, such as scripts, are not searched.
fn credentials_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for document in yaml::values(text, yaml::Dialect::Plain).unwrap_or_default() {
        walk(&document, "", &mut found);
    }
    found
}

fn walk(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = join(path, key);
                // Only the end of the name counts: tokenEndpointAuthMethod is not a credential.
                let is_named = CREDENTIALS.iter().any(|part| words(key).ends_with(part));
                let is_found = match value {
                    Value::String(text) => is_credential(if is_named { "SECRET" } else { "" }, text),
                    Value::Number(_) => is_named,
                    _ => false,
                };
                if is_found {
                    found.push(path.clone());
                }
                walk(value, &path, found);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{place}]"), found);
            }
        }
        _ => {}
    }
}

/// Converts `clientSecret` or `client-secret` to the form of a variable: `CLIENT_SECRET`.
fn words(key: &str) -> String {
    let mut text = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() && !text.ends_with('_') {
            text.push('_');
        }
        text.push(if c == '-' || c == '.' { '_' } else { c.to_ascii_uppercase() });
    }
    text
}

/// Whether a value is `$(NAME)`, which Kubernetes replaces with the value of another variable.
fn is_reference(value: &str) -> bool {
    value.starts_with("$(") && value.ends_with(')')
}

fn url_password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

/// `private-identifier`
pub fn private_identifier(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for container in workload.all_containers() {
            for variable in inventory.variables(container) {
                let value = variable.value.unwrap_or_default();
                let private = PRIVATE.contains(&variable.name.as_str()) && !value.is_empty() && !value.contains("$(");
                if private && !is_example(&value) && !is_in_cluster(&value) {
                    let wanted = "valueFrom.secretKeyRef with a key of the Secret immich-edge";
                    sink.add(workload.object, variable.field, format!("{} with a literal value", variable.name), wanted);
                }
            }
        }
    }
    for ingress in inventory.of_kind("Ingress") {
        for (place, rule) in ingress.value.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten().enumerate() {
            if let Some(host) = rule.get("host").and_then(Value::as_str).filter(|host| !is_example(host)) {
                sink.add(
                    ingress,
                    format!("spec.rules[{place}].host"),
                    format!("`{host}`"),
                    "a hostname below example.com, which your overlay replaces",
                );
            }
        }
    }
}

/// Whether a URL names a Service in the cluster. Such a name identifies no home.
fn is_in_cluster(value: &str) -> bool {
    let host = value.split_once("://").map_or("", |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    let domain = host.splitn(3, '.').nth(2);
    domain == Some("svc") || domain == Some("svc.cluster.local")
}

/// Whether a value is a name that nobody owns (RFC 2606 and RFC 6761).
fn is_example(value: &str) -> bool {
    let host = value.split_once("://").map_or(value, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, domain)| domain);
    let is = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    ["example.com", "example.org", "example.net", "example", "test", "invalid"].iter().any(|domain| is(domain))
}

#[cfg(test)]
mod tests {
    use super::{credentials_in, is_credential, is_example, is_in_cluster};

    #[test]
    fn a_credential_is_known_by_its_name_or_its_url() {
        for (name, value) in [("DB_PASSWORD", "x"), ("tunnel_token", "x"), ("DB_URL", "postgres://immich:x@db:5432/immich")] {
            assert!(is_credential(name, value), "{name}");
        }
        for (name, value) in [
            ("DB_PASSWORD_FILE", "x"),
            ("DB_PASSWORD", ""),
            ("DB_PASSWORD", "$(OTHER)"),
            ("GUARD_ASSERTION_SECRET_FILE", "/run/x"),
            ("DB_URL", "postgres://immich:$(PASSWORD)@db:5432/immich"),
            ("DB_URL", "postgres://db:5432/immich"),
        ] {
            assert!(!is_credential(name, value), "{name}={value}");
        }
    }

    #[test]
    fn a_service_of_the_cluster_is_nobodys_in_particular() {
        assert!(is_in_cluster("http://authentik-outpost.immich-edge.svc.cluster.local:9000"));
        assert!(!is_in_cluster("http://nas.lan:9000") && !is_in_cluster("https://x.svc.example.com") && !is_in_cluster("a.svc"));
    }

    #[test]
    fn a_credential_in_a_file_is_found_wherever_it_stands() {
        for (text, paths) in [
            ("oauth:\n  clientSecret: x\n  tokenEndpointAuthMethod: client_secret_post\n", &["oauth.clientSecret"] as &[_]),
            ("notifications: {smtp: {transport: {password: 12345}}}", &["notifications.smtp.transport.password"]),
            (r#"{"a": [{"api-key": "x"}, {"url": "https://me:x@example.com/"}]}"#, &["a[0].api-key", "a[1].url"]),
            ("oauth:\n  clientSecret: ''\n  credentials-file: /run/x\n  tokenFile: x\n  secretName: x\n  password: true\n", &[]),
            ("password: $(OTHER)\nclientSecret: null\n", &[]),
            ("#!/bin/sh\nPASSWORD=x; exit 1\n", &[]),
        ] {
            assert_eq!(credentials_in(text), paths, "{text}");
        }
    }

    #[test]
    fn an_example_is_a_name_that_nobody_owns() {
        assert!(is_example("https://photos.example.com/x"));
        assert!(is_example("family@example.org"));
        assert!(!is_example("https://photos.example.com.evil.io")); // scan:allow a name that must not pass for an example
        assert!(!is_example("notexample.com"));
    }
}
