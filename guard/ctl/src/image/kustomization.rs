//! Writes the image of guard into a kustomization: a text and a reference enter, the text with one entry of `images` changed leaves. Comments, order and
//! everything else stay; the result is read back, and refused if more than that entry differs.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::lint::yaml;

/// The name of the image in the manifests.
const GUARD: &str = "guard";

/// Sets name and tag, and says whether the file changed.
pub(super) fn set_image(path: &Path, new_name: &str, new_tag: &str) -> Result<bool> {
    let place = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{place}: cannot be read"))?;
    let name = name_in(path, &text)?;
    let changed = with_image(&text, &name, new_name, new_tag).with_context(|| {
        format!("{place}: write it yourself, under images:, as - name: {name}, newName: {new_name}, newTag: {new_tag}")
    })?;
    if changed == text {
        return Ok(false);
    }
    std::fs::write(path, changed).with_context(|| format!("{place}: cannot be written"))?;
    Ok(true)
}

/// The name by which this kustomization sees guard's image: its own, or what a kustomization below has made of it.
fn name_in(path: &Path, text: &str) -> Result<String> {
    let own = read(text).with_context(|| path.display().to_string())?;
    if entry(&own, GUARD).is_some() {
        return Ok(GUARD.to_owned());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    for resource in own["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let below = folder.join(resource).join("kustomization.yaml");
        let Ok(text) = std::fs::read_to_string(&below) else { continue };
        let below = read(&text).with_context(|| below.display().to_string())?;
        if let Some(found) = entry(&below, GUARD) {
            return Ok(found["newName"].as_str().unwrap_or(GUARD).to_owned());
        }
    }
    // The manifests themselves say `guard`.
    Ok(GUARD.to_owned())
}

fn read(text: &str) -> Result<Value> {
    let documents = yaml::values(text, yaml::Dialect::Kubectl)?;
    ensure!(documents.len() == 1 && documents[0].is_object(), "found {} documents, wanted one kustomization", documents.len());
    Ok(documents.into_iter().next().unwrap_or_default())
}

fn entry<'v>(kustomization: &'v Value, name: &str) -> Option<&'v Value> {
    kustomization["images"].as_array()?.iter().find(|image| image["name"] == name)
}

/// The text with this entry.
fn with_image(text: &str, name: &str, new_name: &str, new_tag: &str) -> Result<String> {
    let before = read(text)?;
    let wanted = json!({"name": name, "newName": new_name, "newTag": new_tag});
    if entry(&before, name) == Some(&wanted) {
        return Ok(text.to_owned());
    }
    let block = |indent: &str| {
        vec![format!("{indent}- name: {name}"), format!("{indent}  newName: {new_name}"), format!("{indent}  newTag: {new_tag}")]
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines.iter().position(|line| line.split('#').next().is_some_and(|line| line.trim_end() == "images:")) {
        None => {
            let empty = lines.iter().position(|line| line.trim_end() == "images: []");
            let at = empty.unwrap_or(lines.len());
            lines.splice(at..at + usize::from(empty.is_some()), std::iter::once("images:".to_owned()).chain(block("  ")));
        }
        Some(head) => {
            let is_item = |line: &str| line.trim_start().starts_with("- ");
            let is_end = |line: &String| !line.is_empty() && !line.starts_with([' ', '#']) && !is_item(line);
            let end = lines[head + 1..].iter().position(is_end).map_or(lines.len(), |length| head + 1 + length);
            let starts: Vec<_> = (head + 1..end).filter(|&at| is_item(&lines[at])).collect();
            let indent =
                starts.first().map_or("  ", |&at| &lines[at][..lines[at].len() - lines[at].trim_start().len()]).to_owned();
            // An entry ends with its last line that is neither empty nor a comment.
            let end_of = |index: usize| {
                let limit = starts.get(index + 1).copied().unwrap_or(end);
                let is_content = |&at: &usize| !lines[at].trim().is_empty() && !lines[at].trim_start().starts_with('#');
                (starts[index]..limit).rev().find(is_content).map_or(limit, |at| at + 1)
            };
            let is_ours = |line: &String| {
                let line = line.trim_start().trim_start_matches("- ").split(" #").next().unwrap_or_default();
                line.trim_end().strip_prefix("name:").is_some_and(|value| value.trim().trim_matches(['"', '\'']) == name)
            };
            let found = (0..starts.len()).find(|&index| lines[starts[index]..end_of(index)].iter().any(is_ours));
            let range = match (found, starts.len()) {
                (Some(index), _) => starts[index]..end_of(index),
                (None, 0) => head + 1..head + 1,
                (None, count) => end_of(count - 1)..end_of(count - 1),
            };
            lines.splice(range, block(&indent));
        }
    }
    let changed = lines.join("\n") + "\n";
    let mut after = read(&changed)?;
    ensure!(entry(&after, name) == Some(&wanted), "the entry of {name} cannot be changed in this text");
    let mut before = before;
    for kustomization in [&mut before, &mut after] {
        let others = kustomization["images"].as_array().into_iter().flatten().filter(|image| image["name"] != name).cloned();
        kustomization["images"] = others.collect();
    }
    ensure!(before == after, "more than the entry of {name} would change");
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "  - name: guard\n    newName: localhost/guard\n    newTag: 1@sha256:ab\n";

    fn changed(text: &str) -> String {
        with_image(text, "guard", "localhost/guard", "1@sha256:ab").unwrap()
    }

    #[test]
    fn only_the_entry_of_guard_changes() {
        let text = "# head\nresources:\n  - ../home\nimages:\n  # zeros\n  - name: guard\n    newName: ghcr.io/example/guard\n    newTag: 0\n\n  # another\n  - name: b\n    newTag: x\npatches: []\n";
        let wanted = format!(
            "# head\nresources:\n  - ../home\nimages:\n  # zeros\n{NEW}\n  # another\n  - name: b\n    newTag: x\npatches: []\n"
        );
        assert_eq!(changed(text), wanted);
        assert_eq!(changed(&wanted), wanted, "and the second time nothing does");
    }

    #[test]
    fn an_entry_is_added_where_none_is() {
        let base = "kind: Kustomization\nresources: [../home]\n";
        assert_eq!(changed(base), format!("{base}images:\n{NEW}"));
        assert_eq!(changed(&format!("{base}images: []\n")), format!("{base}images:\n{NEW}"));
        assert_eq!(
            changed(&format!("{base}images:\n  - name: b\n    newTag: x\n")),
            format!("{base}images:\n  - name: b\n    newTag: x\n{NEW}")
        );
        assert_eq!(
            changed("images:\n- newTag: x\n  name: \"guard\"\n  digest: sha256:00\nkind: x\n"),
            "images:\n- name: guard\n  newName: localhost/guard\n  newTag: 1@sha256:ab\nkind: x\n"
        );
    }

    #[test]
    fn a_text_that_cannot_be_changed_safely_is_refused() {
        for text in ["images: [{name: guard, newTag: x}]\n", "a: 1\n---\nb: 2\n", "- a\n", "images: &a\n  - name: guard\n"] {
            assert!(with_image(text, "guard", "localhost/guard", "1@sha256:ab").is_err(), "{text}");
        }
    }
}
