//! The table of keys: complete, in order, and each key refuses a value of another type.

use guardctl::lint::yaml::{Dialect, values};
use guardctl::oidc::{check, schema};
use guardctl::severity::Severity::Error;
use serde_json::{Value, json};

use super::{WHOLE, findings};

#[test]
fn the_table_is_in_order_and_has_no_key_twice() {
    let paths: Vec<_> = schema::KEYS.iter().map(|(path, _)| *path).collect();
    assert!(paths.is_sorted_by(|one, next| one < next || one.split('.').next() == next.split('.').next()));
    let mut unique = paths.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), paths.len());
}

/// The leaves of a value, as paths.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(object) => {
            for (key, value) in object {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

#[test]
fn the_whole_file_has_every_key_and_no_fault() {
    assert_eq!(findings(WHOLE), []);
    let mut found = Vec::new();
    leaves(&values(WHOLE, Dialect::Plain).unwrap()[0], "", &mut found);
    found.sort_unstable();
    let mut known: Vec<_> = schema::KEYS.iter().map(|(path, _)| *path).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

/// What the whole file has at a path, replaced: each key refuses a value of another type, and names itself.
#[test]
fn every_key_refuses_what_is_of_another_type() {
    for (path, _) in schema::KEYS {
        let mut config = values(WHOLE, Dialect::Plain).unwrap().remove(0);
        let place = config.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap();
        *place = json!({"of": "another type"});
        let found = check::value(&config);
        let named = |finding: &check::Finding| finding.severity == Error && finding.path == *path;
        assert!(found.iter().any(named), "{path}: {found:?}");
    }
}
