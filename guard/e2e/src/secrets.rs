//! Finds the Secrets that rendered manifests need, and has values for them. Secrets are not in Git, so an operator creates them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::flux::text;

/// An AUD tag of the form that Cloudflare gives.
pub(crate) const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
/// A tunnel's token whose secret is planted: base64 of `{"a":"1","s":"cGxhbnRlZC10dW5uZWwtc2VjcmV0","t":"2"}`.
pub(crate) const TUNNEL_TOKEN: &str = "eyJhIjoiMSIsInMiOiJjR3hoYm5SbFpDMTBkVzV1Wld3dGMyVmpjbVYwIiwidCI6IjIifQ==";

/// The namespace and name of a Secret.
pub(crate) type Name = (String, String);

/// Returns each Secret that a container needs to start, with the keys that it needs.
pub(crate) fn wanted(rendered: &[Value]) -> BTreeMap<Name, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for object in rendered {
        walk(object, text(object, "/metadata/namespace"), &mut found);
    }
    found
}

/// Returns a Secret with these keys and example values.
pub(crate) fn example((namespace, name): &Name, keys: &BTreeSet<String>) -> Value {
    let data: BTreeMap<_, _> = keys.iter().map(|key| (key, "example")).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": data})
}

/// Adds the Secrets of environment variables (`secretKeyRef`, `secretRef`) and volumes (`secret`, also projected) to `found`.
fn walk(value: &Value, namespace: &str, found: &mut BTreeMap<Name, BTreeSet<String>>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = text(value, if value.get("secretName").is_some() { "/secretName" } else { "/name" });
                let refers = ["secretKeyRef", "secretRef", "secret"].contains(&field.as_str()) && !name.is_empty();
                if refers && value["optional"] != true {
                    let keys: &mut BTreeSet<_> = found.entry((namespace.to_owned(), name.to_owned())).or_default();
                    let items = value["items"].as_array().into_iter().flatten();
                    keys.extend(
                        items.chain([value]).map(|item| text(item, "/key")).filter(|key| !key.is_empty()).map(str::to_owned),
                    );
                }
                walk(value, namespace, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, namespace, found)),
        _ => {}
    }
}
