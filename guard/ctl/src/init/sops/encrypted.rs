//! A Secret and its file: what the cluster has, whether the file says the same, and whether what sops wrote may be written.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use super::program;
use super::rules::Rules;
use crate::init::cluster::Cluster;
use crate::lint::sops::{Encryption, encryption};
use crate::lint::yaml;

/// A Secret as the cluster has it. It has no `Debug`, so that nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Plain {
    namespace: String,
    name: String,
    kind: String,
    data: BTreeMap<String, Vec<u8>>,
}

impl Plain {
    /// Reads it, if it is there.
    pub(super) fn of(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Self>> {
        let found = cluster.run(async |client| {
            let secrets: Api<Secret> = Api::namespaced(client, namespace);
            secrets.get_opt(name).await.with_context(|| format!("the Secret {namespace}/{name} cannot be read"))
        })?;
        Ok(found.map(|secret| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kind: secret.type_.unwrap_or_else(|| "Opaque".to_owned()),
            data: secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(),
        }))
    }

    /// The object, without what the cluster has added.
    pub(super) fn json(&self) -> Value {
        let data: BTreeMap<_, _> = self.data.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
        json!({"apiVersion": "v1", "kind": "Secret", "type": self.kind, "metadata": {"name": self.name, "namespace": self.namespace}, "data": data})
    }
}

/// For whom sops encrypts by the rules that are there, by a Secret in which nothing is secret. Fails if it does not encrypt it as a whole.
pub(super) fn by_rules(path: &Path) -> Result<Vec<String>> {
    let trial = Plain {
        namespace: "immich".to_owned(),
        name: "trial".to_owned(),
        kind: "Opaque".to_owned(),
        data: BTreeMap::from([("trial".to_owned(), b"a trial".to_vec())]),
    };
    let text = program::encrypt(path, &trial.json())?;
    let found = document(&text).map_or(Encryption::None, |it| encryption(&it));
    let recipients = recipients(&text);
    ensure!(
        found == Encryption::Whole && !recipients.is_empty(),
        "found rules by which sops does not encrypt {} as a whole for keys of age, wanted those of clusters/home.example/sops/sops.yaml",
        path.display()
    );
    Ok(recipients)
}

/// What a file that is there says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same as the cluster.
    Equal,
    /// Something else.
    Differs,
    /// Why it cannot be told.
    Unknown(String),
}

/// Compares a file with the cluster. A file that is not encrypted is never equal.
pub(super) fn compare(stored: &str, plain: &Plain, decrypted: Result<Value, String>) -> Verdict {
    if document(stored).is_none_or(|it| encryption(&it) != Encryption::Whole) {
        return Verdict::Differs;
    }
    let decrypted = match decrypted {
        Ok(decrypted) => decrypted,
        Err(why) => return Verdict::Unknown(why),
    };
    let mut data = BTreeMap::new();
    for (key, value) in decrypted["data"].as_object().into_iter().flatten() {
        let Some(bytes) = value.as_str().and_then(|text| STANDARD.decode(text).ok()) else { return Verdict::Differs };
        data.insert(key.clone(), bytes);
    }
    // What is in both, is that of stringData.
    for (key, value) in decrypted["stringData"].as_object().into_iter().flatten() {
        data.insert(key.clone(), value.as_str().unwrap_or_default().as_bytes().to_vec());
    }
    let meta = &decrypted["metadata"];
    let is_same = meta["name"] == plain.name.as_str() && meta["namespace"] == plain.namespace.as_str();
    let kind = decrypted["type"].as_str().unwrap_or("Opaque");
    if is_same && kind == plain.kind && data == plain.data { Verdict::Equal } else { Verdict::Differs }
}

/// The keys for which a file is encrypted, in the order of their text.
pub(super) fn recipients(stored: &str) -> Vec<String> {
    let document = document(stored).unwrap_or_default();
    let items = document["sops"]["age"].as_array().into_iter().flatten();
    let mut found: Vec<_> = items.filter_map(|it| it["recipient"].as_str().map(str::to_owned)).collect();
    found.sort();
    found
}

fn document(text: &str) -> Option<Value> {
    yaml::values(text, yaml::Dialect::Kubectl).ok()?.into_iter().next()
}

/// Fails if what sops wrote must not be in Git: rules of another form leave values plain, or encrypt for others.
pub(super) fn check(text: &str, plain: &Plain, rules: &Rules) -> Result<()> {
    let document = document(text).context("found no YAML, wanted what sops encrypt writes")?;
    let found = encryption(&document);
    ensure!(
        found == Encryption::Whole,
        "found a Secret that sops did not encrypt as a whole ({found:?}), wanted the rules of clusters/home.example/sops/sops.yaml"
    );
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    ensure!(
        keys(&document["data"]) == plain.data.keys().cloned().collect::<Vec<_>>()
            && document["metadata"]["name"] == plain.name.as_str(),
        "found another Secret than the one that was to be encrypted"
    );
    ensure!(recipients(text) == rules.sorted(), "found it encrypted for other keys than .sops.yaml names, wanted the same");
    for value in plain.data.values().filter(|value| !value.is_empty()) {
        let is_in = |plain: &str| text.contains(plain);
        let words = String::from_utf8_lossy(value);
        // A short text may be anywhere.
        ensure!(value.len() < 8 || !is_in(&words) && !is_in(&STANDARD.encode(value)), "found a value in plain text");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    const ENC: &str = "ENC[AES256_GCM,data:AHP3Q80waj,iv:UhFYzzHa,tag:kScYUc8o,type:str]";

    fn plain() -> Plain {
        Plain {
            namespace: "immich".to_owned(),
            name: "immich-postgres".to_owned(),
            kind: "Opaque".to_owned(),
            data: BTreeMap::from([("POSTGRES_PASSWORD".to_owned(), b"planted-password".to_vec())]),
        }
    }

    fn rules() -> Rules {
        Rules { recipients: vec!["age1b".to_owned(), "age1a".to_owned()], text: String::new(), is_new: false }
    }

    fn file(value: &str, recipients: &[&str]) -> String {
        let age: Vec<_> = recipients.iter().map(|it| json!({"recipient": it, "enc": "x"})).collect();
        let mut secret = plain().json();
        secret["data"]["POSTGRES_PASSWORD"] = json!(value);
        secret["sops"] = json!({"age": age, "mac": ENC});
        secret.to_string()
    }

    #[test]
    fn only_what_is_encrypted_as_a_whole_for_these_keys_is_written() {
        check(&file(ENC, &["age1a", "age1b"]), &plain(), &rules()).unwrap();
        let encoded = STANDARD.encode("planted-password");
        for (text, wanted) in [
            (file(&encoded, &["age1a", "age1b"]), "did not encrypt as a whole"),
            (file(ENC, &["age1a"]), "for other keys"),
            (file(ENC, &["age1a", "age1b"]).replace("\"type\"", "\"planted-password\""), "in plain text"),
            (file(ENC, &["age1a", "age1b"]).replace("POSTGRES_PASSWORD", "OTHER"), "another Secret"),
            (String::new(), "no YAML"),
        ] {
            let error = format!("{:#}", check(&text, &plain(), &rules()).unwrap_err());
            assert!(error.contains(wanted) && !error.contains("planted") && !error.contains(&encoded), "{wanted}: {error}");
        }
    }

    #[test]
    fn a_file_is_equal_by_its_values_whatever_holds_them() {
        let stored = file(ENC, &["age1a"]);
        assert_eq!(compare(&stored, &plain(), Ok(plain().json())), Verdict::Equal);
        let mut other = plain().json();
        other["stringData"] = other["data"].take();
        other["stringData"]["POSTGRES_PASSWORD"] = json!("planted-password");
        assert_eq!(compare(&stored, &plain(), Ok(other.clone())), Verdict::Equal);
        other["stringData"]["POSTGRES_PASSWORD"] = json!("other");
        assert_eq!(compare(&stored, &plain(), Ok(other)), Verdict::Differs);
        let mut elsewhere = plain().json();
        elsewhere["metadata"]["namespace"] = json!("default");
        assert_eq!(compare(&stored, &plain(), Ok(elsewhere)), Verdict::Differs);
    }

    #[test]
    fn without_a_key_nothing_is_known_and_a_plain_file_is_never_equal() {
        let stored = file(ENC, &["age1a"]);
        assert_eq!(compare(&stored, &plain(), Err("no key".to_owned())), Verdict::Unknown("no key".to_owned()));
        assert_eq!(compare(&plain().json().to_string(), &plain(), Ok(plain().json())), Verdict::Differs);
    }
}
