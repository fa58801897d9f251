//! `.sops.yaml`: for whom sops encrypts. What is there is kept; without it, it is the example with the public keys put in.

use anyhow::{Context as _, Result, ensure};

use crate::init::value::Checked;

/// The rules, in the root of the repository.
pub(super) const FILE: &str = ".sops.yaml";
/// What they are made of.
pub(super) const EXAMPLE: &str = "clusters/home.example/sops/sops.yaml";
const PLACEHOLDER: &str = "__AGE_RECIPIENT__";
/// A public key of age: bech32 of 32 bytes with its checksum (age's specification), or longer, as those of plugins are.
const PREFIX: &str = "age1";
const MIN_LENGTH: usize = 62;
const PRIVATE: &str = "age-secret-key-";

/// For whom the Secrets are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The public keys.
    pub recipients: Vec<String>,
    /// The text of the file.
    pub text: String,
    /// Whether the file is to be written.
    pub is_new: bool,
}

impl Rules {
    /// The rules of a file that is there and complete; `by_rules` says for whom sops encrypts by them. `given` must be the same keys.
    pub(super) fn there(
        text: Option<&str>,
        given: Option<&[String]>,
        by_rules: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<Option<Self>> {
        let Some(text) = text.filter(|text| !text.contains(PLACEHOLDER)) else { return Ok(None) };
        let rules = Self { recipients: by_rules().with_context(|| FILE.to_owned())?, text: text.to_owned(), is_new: false };
        if let Some(given) = given {
            let mut given = given.to_vec();
            given.sort();
            ensure!(
                given == rules.sorted(),
                "{FILE} has other keys than sops_recipients, wanted the same: change the file, and run sops updatekeys for each Secret (docs/sops.md)"
            );
        }
        Ok(Some(rules))
    }

    /// New rules, of a text with a placeholder.
    pub(super) fn new(text: &str, recipients: Vec<String>) -> Self {
        Self { text: text.replace(PLACEHOLDER, &recipients.join(",")), recipients, is_new: true }
    }

    /// The keys in the order of their text.
    pub(super) fn sorted(&self) -> Vec<String> {
        let mut recipients = self.recipients.clone();
        recipients.sort();
        recipients
    }
}

/// Public keys of age, comma-separated. sops checks their checksum.
pub(super) fn recipients(text: &str) -> Checked<Vec<String>> {
    if text.to_ascii_lowercase().contains(PRIVATE) {
        return Err("found a private key (not shown), wanted the public one, which age-keygen -y prints. If somebody could see it, make a new pair".to_owned());
    }
    let keys: Vec<_> = text.split(',').map(|key| key.trim().to_owned()).collect();
    for (index, key) in keys.iter().enumerate() {
        let has_form = key.len() >= MIN_LENGTH
            && key.starts_with(PREFIX)
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !has_form {
            // Not shown: it may be anything that was in the clipboard.
            return Err(format!(
                "found {} characters that are no public key, wanted {PREFIX}…, {MIN_LENGTH} characters, as age-keygen prints it",
                key.chars().count()
            ));
        }
        if keys[..index].contains(key) {
            return Err("found a public key twice, wanted each once".to_owned());
        }
    }
    Ok(keys)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../../../../clusters/home.example/sops/sops.yaml");

    fn key(letter: char) -> String {
        format!("age1{}", letter.to_string().repeat(58))
    }

    #[test]
    fn a_public_key_is_taken_and_nothing_else_is_shown() {
        assert_eq!(recipients(&format!("{}, {}", key('q'), key('p'))).unwrap(), [key('q'), key('p')]);
        for text in ["", "planted", &key('q')[1..], &key('q')[..61], &format!("{},", key('q')), &key('q').to_uppercase()] {
            let wanted = recipients(text).unwrap_err();
            assert!(wanted.contains("wanted age1") && !wanted.contains("planted"), "{text}: {wanted}");
        }
        assert!(recipients(&format!("{0},{0}", key('q'))).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_private_key_is_refused_without_being_shown() {
        for text in ["AGE-SECRET-KEY-1PLANTED", "age-secret-key-1planted", " x,AGE-SECRET-KEY-PQ-1PLANTED"] {
            let wanted = recipients(text).unwrap_err();
            assert!(wanted.contains("private key (not shown)") && !wanted.to_lowercase().contains("planted"), "{wanted}");
        }
    }

    #[test]
    fn new_rules_are_the_example_with_the_keys() {
        let rules = Rules::new(TEXT, vec![key('q'), key('p')]);
        assert!(
            rules.is_new
                && rules.text.contains(&format!("age: {},{}\n", key('q'), key('p')))
                && !rules.text.contains(PLACEHOLDER)
        );
        let never = || panic!("there is nothing to try");
        assert!(Rules::there(Some(TEXT), None, never).unwrap().is_none(), "a copy without keys is not complete");
        assert!(Rules::there(None, None, never).unwrap().is_none());
    }

    #[test]
    fn rules_that_are_there_are_kept_and_other_keys_are_told() {
        let by_rules = || Ok(vec![key('q'), key('p')]);
        let rules = Rules::there(Some("mine\n"), Some(&[key('p'), key('q')]), by_rules).unwrap().unwrap();
        assert!(!rules.is_new && rules.text == "mine\n" && rules.recipients == [key('q'), key('p')]);
        let error = Rules::there(Some("mine\n"), Some(&[key('z')]), by_rules).unwrap_err().to_string();
        assert!(error.contains("sops updatekeys"), "{error}");
    }
}
