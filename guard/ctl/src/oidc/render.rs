//! Writes a value as YAML that all parsers read in the same way: each string has double quotes, and escapes for unprintable characters.
//!
//! No serializer is used, because a serializer omits quotes by its own rules, and these may differ from the rules of Immich's parser: a
//! client secret may be `1e5` or `~`. YAML 1.2.2, 5.7 (escapes) and 7.3.1 (double quotes).

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Returns a value as a YAML document.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value.as_object() {
        Some(object) => block(&mut out, object, 0),
        None => out = format!("{}\n", flow(value)),
    }
    out
}

fn block(out: &mut String, object: &Map<String, Value>, depth: usize) {
    for (key, value) in object {
        // Writing into a String cannot fail.
        let _ = write!(out, "{:indent$}{}:", "", name(key), indent = depth * 2);
        match value.as_object().filter(|object| !object.is_empty()) {
            Some(object) => {
                out.push('\n');
                block(out, object, depth + 1);
            }
            None => {
                let _ = writeln!(out, " {}", flow(value));
            }
        }
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => {
            let members: Vec<_> = object.iter().map(|(key, value)| format!("{}: {}", name(key), flow(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns a key. Keys of Immich are plain words; any other key is quoted.
fn name(key: &str) -> String {
    let is_word = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_value = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&key.to_ascii_lowercase().as_str());
    if is_word && !is_value { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let _ = match c {
            '"' => write!(out, "\\\""),
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            ' '..='~' | '\u{a1}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}'
                if !matches!(c, '\u{2028}' | '\u{2029}') =>
            {
                write!(out, "{c}")
            }
            c if u32::from(c) <= 0xffff => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out + "\""
}
