//! The kustomization of the encrypted Secrets: it lists each file. What else it says stays.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::lint::yaml;

const NEW: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n";

/// The text with these files in it.
pub(super) fn with(there: Option<&str>, files: &[String]) -> Result<String> {
    let mut text = there.unwrap_or(NEW).trim_end().to_owned() + "\n";
    let listed = if there.is_some() { resources(&text) } else { Vec::new() };
    let missing: Vec<_> = files.iter().filter(|file| !listed.contains(file)).collect();
    if missing.is_empty() {
        return Ok(there.unwrap_or(&text).to_owned());
    }
    if let Some(at) = text.find("resources:\n").filter(|at| *at == 0 || text[..*at].ends_with('\n')) {
        let at = at + "resources:\n".len();
        // As deep as the items that are there.
        let depth = if text[at..].starts_with("- ") { "" } else { "  " };
        let items: String = missing.iter().flat_map(|file| [depth, "- ", file.as_str(), "\n"]).collect();
        text.insert_str(at, &items);
    }
    let listed = resources(&text);
    ensure!(
        files.iter().all(|file| listed.contains(file)),
        "found no list below resources: to which the files can be added, wanted {} in it",
        files.join(", ")
    );
    Ok(text)
}

fn resources(text: &str) -> Vec<String> {
    let documents = yaml::values(text, yaml::Dialect::Kubectl).unwrap_or_default();
    let items = documents.first().and_then(|it| it["resources"].as_array()).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_listed_once_and_the_rest_stays() {
        let files = ["a.sops.yaml".to_owned(), "b.sops.yaml".to_owned()];
        let new = with(None, &files).unwrap();
        assert_eq!(new, format!("{NEW}  - a.sops.yaml\n  - b.sops.yaml\n"));
        assert_eq!(with(Some(&new), &files).unwrap(), new, "the second time nothing changes");
        let own = "# mine\nkind: Kustomization\nresources:\n- other.yaml\nlabels: []\n";
        let found = with(Some(own), &files[..1]).unwrap();
        assert_eq!(found, "# mine\nkind: Kustomization\nresources:\n- a.sops.yaml\n- other.yaml\nlabels: []\n");
        for text in ["kind: Kustomization\n", "resources: [x.yaml]\n"] {
            let error = with(Some(text), &files).unwrap_err().to_string();
            assert!(error.contains("wanted a.sops.yaml, b.sops.yaml"), "{error}");
        }
    }
}
