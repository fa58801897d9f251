//! Whether a Secret is encrypted by sops: as it is in Git, before Flux decrypts it.
//!
//! Source: sops 3.13, which writes its metadata as the member `sops` of the document, and each value as `ENC[AES256_GCM,data:…,type:…]`.

use serde_json::Value;

/// How far a Secret is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// Except for the value at this path, or without what sops needs to decrypt it.
    Broken(String),
    /// Every value of `data` and `stringData`.
    Whole,
}

/// Returns how far a Secret is encrypted.
pub fn encryption(secret: &Value) -> Encryption {
    let Some(metadata) = secret.get("sops") else { return Encryption::None };
    if !metadata["mac"].as_str().is_some_and(is_encrypted) {
        return Encryption::Broken("sops.mac".to_owned());
    }
    let keys = ["age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "key_groups"];
    if !keys.iter().any(|key| metadata[key].as_array().is_some_and(|list| !list.is_empty())) {
        return Encryption::Broken("sops.age".to_owned());
    }
    for map in ["data", "stringData"] {
        for (key, value) in secret[map].as_object().into_iter().flatten() {
            // sops leaves an empty text as it is.
            if !value.as_str().is_some_and(|text| text.is_empty() || is_encrypted(text)) {
                return Encryption::Broken(format!("{map}.{key}"));
            }
        }
    }
    Encryption::Whole
}

fn is_encrypted(text: &str) -> bool {
    text.starts_with("ENC[AES256_GCM,data:") && text.ends_with(']')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ENC: &str = "ENC[AES256_GCM,data:AHP3Q80waj,iv:UhFYzzHa,tag:kScYUc8o,type:str]";

    #[test]
    fn a_secret_is_encrypted_only_as_a_whole() {
        let sops = json!({"age": [{"recipient": "age1x", "enc": "…"}], "mac": ENC});
        let secret = |data: Value, sops: &Value| json!({"kind": "Secret", "stringData": data, "sops": sops});
        assert_eq!(encryption(&json!({"kind": "Secret", "stringData": {"a": "b"}})), Encryption::None);
        assert_eq!(encryption(&secret(json!({"a": ENC, "b": ""}), &sops)), Encryption::Whole);
        assert_eq!(encryption(&secret(json!({"a": ENC, "b": "c"}), &sops)), Encryption::Broken("stringData.b".to_owned()));
        assert_eq!(encryption(&secret(json!({"a": ENC}), &json!({"mac": ENC}))), Encryption::Broken("sops.age".to_owned()));
        assert_eq!(encryption(&secret(json!({"a": ENC}), &json!({}))), Encryption::Broken("sops.mac".to_owned()));
    }
}
