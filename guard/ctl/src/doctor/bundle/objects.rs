//! Takes secrets out of Kubernetes objects by their structure: enters an object, leaves one whose values under a secret's name are gone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::find::is_secret_name;

/// Fields that are long, tell nothing, and repeat what stands elsewhere.
const LONG: [&str; 2] = ["managedFields", "kubectl.kubernetes.io/last-applied-configuration"];

/// Names and lengths of the keys of a Secret.
pub(super) fn lengths(secret: &Value) -> Value {
    let data = secret["data"].as_object().into_iter().flatten();
    let keys: Map<_, _> = data.map(|(key, value)| (key.clone(), json!({"bytes": decoded(value).map(|it| it.len())}))).collect();
    json!({"namespace": secret["metadata"]["namespace"], "name": secret["metadata"]["name"], "type": secret["type"], "keys": keys})
}

/// The values of a Secret, as text and as base64: both can stand in a log.
pub(super) fn values(secret: &Value) -> Vec<String> {
    let data = secret["data"].as_object().into_iter().flatten();
    let mut values = Vec::new();
    for (_, value) in data {
        let bytes = decoded(value).unwrap_or_default();
        values.extend(String::from_utf8(bytes));
        values.extend(value.as_str().map(str::to_owned));
    }
    values
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

/// An object without the values that stand under a secret's name.
pub(super) fn without_secrets(mut object: Value) -> Value {
    clean(&mut object);
    object
}

fn removed(value: &Value) -> Value {
    Value::String(format!("[removed: {} characters]", value.as_str().map_or(0, |text| text.chars().count())))
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !LONG.contains(&name.as_str()));
            let is_secret = fields.get("name").and_then(Value::as_str).is_some_and(is_secret_name);
            for (name, field) in fields.iter_mut() {
                if field.is_string() && (is_secret_name(name) || is_secret && name == "value") {
                    *field = removed(field);
                } else {
                    clean(field);
                }
            }
        }
        Value::Array(items) => {
            // `--token VALUE` as two arguments.
            for index in 1..items.len() {
                let is_flag = items[index - 1]
                    .as_str()
                    .is_some_and(|flag| flag.starts_with('-') && !flag.contains('=') && is_secret_name(flag));
                if is_flag && items[index].as_str().is_some_and(|word| !word.starts_with('-')) {
                    items[index] = removed(&items[index]);
                }
            }
            items.iter_mut().for_each(clean);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_under_a_secrets_name_are_gone() {
        let clean = without_secrets(json!({
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x", "a": "b"}, "managedFields": [1]},
            "env": [{"name": "DB_PASSWORD", "value": "short"}, {"name": "TZ", "value": "Etc/UTC"},
                {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "immich-postgres", "key": "POSTGRES_PASSWORD"}}}],
            "args": ["tunnel", "--token", "short", "--token-file", "/etc/token", "run"],
            "data": {"password": "short"},
        }));
        assert!(!clean.to_string().contains("short"), "{clean}");
        for kept in ["Etc/UTC", "secretKeyRef", "POSTGRES_PASSWORD", "run"] {
            assert!(clean.to_string().contains(kept), "{kept}: {clean}");
        }
    }
}
