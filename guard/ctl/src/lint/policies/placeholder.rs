//! Finds placeholders that no overlay replaced.

use serde_json::Value;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::strict::join;

/// The id of the policy. `--allow-placeholders` switches the policy off.
pub const ID: &str = "placeholder-left";

/// `placeholder-left`
pub fn left(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for object in inventory.objects {
        visit(&object.value, "", &mut |path, text| {
            if let Some(name) = placeholder(text) {
                sink.add(object, path, name, "your own value, set in an overlay");
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
    use super::placeholder;

    #[test]
    fn a_placeholder_is_found_wherever_it_stands() {
        assert_eq!(placeholder("/__NAS_LIBRARY_PATH__/x"), Some("__NAS_LIBRARY_PATH__"));
        assert_eq!(placeholder("____A__"), Some("____A__"));
        for text in ["__init__", "MACHINE_LEARNING_PRELOAD__CLIP__TEXTUAL", "____", "__A", "a__b__"] {
            assert_eq!(placeholder(text), None, "{text}");
        }
    }
}
