//! Comparison with Immich's own types and YAML parser. `make test-immich-schema` installs both and runs these tests.

use std::io::Write as _;
use std::process::{Command, Stdio};

use guardctl::lint::yaml::{Dialect, values};
use guardctl::oidc::{render, schema};
use serde_json::{Value, json};

use super::WHOLE;

/// Answers of `tests/oidc/immich-sdk/describe.js`, which `make test-immich-schema` installs.
fn describe(what: &str, input: &Value) -> Value {
    let folder = std::env::var("IMMICH_SDK").expect("IMMICH_SDK: make test-immich-schema sets it");
    let script = std::path::Path::new(&folder).join("describe.js");
    let mut child =
        Command::new("node").arg(script).arg(what).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node is there");
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "make test-immich-schema"]
fn immich_schema_keys_and_words_are_those_of_immichs_own_types() {
    use schema::Kind;
    let types = describe("types", &Value::Null);
    let sorted = |words: &[&str]| {
        let mut words = words.to_vec();
        words.sort_unstable();
        json!(words)
    };
    let ours: Value = schema::KEYS
        .iter()
        .map(|(path, kind)| {
            let kind = match kind {
                Kind::Switch | Kind::Bool => json!({"type": "boolean"}),
                Kind::Text | Kind::Url | Kind::UrlOrEmpty | Kind::Cron | Kind::Time => json!({"type": "string"}),
                Kind::Int(..) | Kind::Digits(..) | Kind::Decimal(..) => json!({"type": "number"}),
                Kind::IntOrNull(..) => json!({"type": "number | null"}),
                Kind::OneOf(words) => json!({"words": sorted(words)}),
                Kind::Texts => json!({"list": {"type": "string"}}),
                Kind::ManyOf(words) => json!({"list": {"words": sorted(words)}}),
                Kind::Heights(numbers) => json!({"list": {"words": numbers}}),
            };
            ((*path).to_owned(), kind)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut theirs = types;
    for kind in theirs.as_object_mut().unwrap().values_mut() {
        for place in ["/words", "/list/words"] {
            if let Some(words) = kind.pointer_mut(place).and_then(Value::as_array_mut) {
                words.sort_by_key(|word| (word.as_u64(), word.as_str().map(str::to_owned)));
            }
        }
    }
    assert_eq!(ours, theirs);
}

/// What `check` reads is what Immich's own reader reads, wherever the one could take for a number what the other takes for text.
#[test]
#[ignore = "make test-immich-schema"]
fn immich_schema_yaml_is_read_as_immich_reads_it() {
    let scalars = [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "True",
        "TRUE",
        "true",
        "false",
        "~",
        "null",
        "Null",
        "NULL",
        "",
        "1",
        "010",
        "09",
        "0o17",
        "0x1F",
        "+5",
        "-5",
        "1e5",
        "1.5",
        "30.0",
        "1.",
        ".5",
        "1_0",
        "0b11",
        "12:30:00",
        "12:30",
        "'1'",
        "\"a\\u00e9\"",
        "a#b",
        "a # b",
        "x: y",
        "!!str 5",
        "nan",
        "inf",
        "3h",
        "2024",
        "=",
        "<<",
    ];
    let texts: Vec<_> = scalars.iter().map(|scalar| format!("a: {scalar}\n")).chain([WHOLE.to_owned()]).collect();
    let theirs = describe("yaml", &json!(texts));
    let mut differ = Vec::new();
    for (text, theirs) in texts.iter().zip(theirs.as_array().unwrap()) {
        let ours = values(text, Dialect::Plain).ok().map(|mut values| values.remove(0));
        let number = |value: &Value| value.pointer("/a").and_then(Value::as_f64);
        let same = ours.as_ref() == theirs.get("value")
            || (ours.as_ref().and_then(number).is_some()
                && ours.as_ref().and_then(number) == theirs.get("value").and_then(number));
        if !same {
            differ.push((text, ours, theirs));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// The writer's own promise, before the reader that counts.
#[test]
#[ignore = "make test-immich-schema"]
fn immich_schema_hostile_secrets_arrive_at_immich_as_they_were() {
    let secrets = [
        "\"", "'", "\\", "\n", "a\r\nb", "\t", "#", "a #b", ": ", "a: b", "${x}", "{{ x }}", "1e5", "~", "null", "yes", "- a",
        "[a", "{a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "---", "...", "\0", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}",
        "\u{feff}", "\u{fffe}", "é", "字", "😀", " a ",
    ];
    let wanted: Vec<_> = secrets.iter().map(|secret| json!({"oauth": {"clientSecret": secret}, "list": [secret]})).collect();
    let texts: Vec<_> = wanted.iter().map(render::yaml).collect();
    let read: Vec<_> = describe("yaml", &json!(texts)).as_array().unwrap().iter().map(|it| it["value"].clone()).collect();
    assert_eq!(read, wanted);
}
