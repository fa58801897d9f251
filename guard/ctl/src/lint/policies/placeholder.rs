//! Finds placeholders and values of the example that no overlay replaced.

use serde_json::Value;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::strict::join;

/// The id of the policy. `--allow-placeholders` switches the policy off.
pub const ID: &str = "placeholder-left";

/// The NAS id in `clusters/home.example`. guard refuses it too.
const EXAMPLE_ID: &str = "00000000-0000-4000-8000-000000000000";

/// `placeholder-left`
pub fn left(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for object in inventory.objects {
        visit(&object.value, "", &mut |path, text| {
            if let Some(found) = placeholder(text).or_else(|| example(text)) {
                sink.add(object, path, found, "your own value, set in an overlay");
            }
        });
    }
}

/// Returns the first `__NAME__` in a text.
pub fn placeholder(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    text.match_indices("__").find_map(|(start, _)| {
        let rest = &text[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        (word.len() > 4 && word.ends_with("__") && word.contains(|c: char| c.is_ascii_uppercase())).then_some(word)
    })
}

/// Returns the part of a text that only the example has: a name below example.com, which belongs to nobody (RFC 2606), or the NAS id of
/// `clusters/home.example`.
fn example(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    // A text of several lines is a file in a ConfigMap, which has examples of its own.
    if text.contains('\n') {
        return None;
    }
    let mut names = text.split(|c| !is_name(c)).map(|name| name.trim_matches('.'));
    names.find(|name| *name == EXAMPLE_ID || *name == "example.com" || name.ends_with(".example.com"))
}

/// Visits every string and every key in a value, with its JSON path.
fn visit(value: &Value, path: &str, seen: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => seen(path, text),
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                visit(item, &format!("{path}[{place}]"), seen);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let path = join(path, key);
                seen(&path, key);
                visit(item, &path, seen);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{example, placeholder};

    #[test]
    fn a_value_of_the_example_is_found_wherever_it_stands() {
        for (text, wanted) in [
            ("node.example.com", Some("node.example.com")),
            ("https://git.example.com/family/photos", Some("git.example.com")),
            ("ssh://git@example.com:22/x", Some("example.com")),
            ("00000000-0000-4000-8000-000000000000", Some("00000000-0000-4000-8000-000000000000")),
            ("https://notexample.com", None), // scan:allow it is not below example.com
            ("example.community", None),
            ("node.example.org", None),
        ] {
            assert_eq!(example(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_placeholder_is_found_wherever_it_stands() {
        assert_eq!(placeholder("/__NAS_LIBRARY_PATH__/x"), Some("__NAS_LIBRARY_PATH__"));
        assert_eq!(placeholder("____A__"), Some("____A__"));
        for text in ["__init__", "MACHINE_LEARNING_PRELOAD__CLIP__TEXTUAL", "____", "__A", "a__b__"] {
            assert_eq!(placeholder(text), None, "{text}");
        }
    }
}
