//! Secrets of every kind that `guardctl scan` knows, in every source and every encoding: none gets into a bundle.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::doctor::evidence::{EdgeAnswer, Look};
use crate::scan::detect;
use crate::scan::kind::Kind;
use crate::scan::tests::samples;

/// A line with a secret, and the secret itself.
struct Sample {
    kind: Kind,
    line: String,
    secret: String,
}

fn planted() -> Vec<Sample> {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let mut planted: Vec<_> = samples()
        .into_iter()
        .map(|(kind, line)| {
            let found = detect::line(&line, true).into_iter().find(|(found, _)| *found == kind).expect("a sample").1;
            match kind {
                // These two name the place of the secret. The key itself follows.
                Kind::PrivateKey => Sample {
                    kind,
                    line: format!("{line}\n{body}\nshort\n-----END {} KEY-----", "PRIVATE"),
                    secret: body.to_owned(),
                },
                Kind::TunnelCredentials => Sample { kind, secret: line.rsplit('"').nth(1).expect("a value").to_owned(), line },
                _ => Sample { kind, line, secret: found.trim_start_matches("token:").to_owned() },
            }
        })
        .collect();
    // Beside what scan knows: a password that only its name, or the Secret that holds it, gives away.
    for line in
        ["DB_PASSWORD=correct-horse", "\"authorization\": \"Basic correct-horse\"", "postgres://immich:correct-horse@db/x"]
    {
        planted.push(Sample { kind: Kind::Jwt, line: line.to_owned(), secret: "correct-horse".to_owned() });
    }
    planted
}

type Encoding = (&'static str, fn(&Sample) -> String);

fn percent(text: &str) -> String {
    text.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect()
}

fn wrapped(text: &str, width: usize) -> String {
    text.as_bytes().chunks(width).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n")
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

const ENCODINGS: &[Encoding] = &[
    ("plain", |it| it.line.clone()),
    ("base64", |it| format!("data {} end", STANDARD.encode(&it.line))),
    ("base64 for URLs", |it| format!("x={}", URL_SAFE_NO_PAD.encode(&it.line))),
    ("base64 in lines", |it| wrapped(&STANDARD.encode(&it.line), 76)),
    ("base64 twice", |it| STANDARD.encode(STANDARD.encode(&it.line))),
    ("percent", |it| format!("GET /x/{}", percent(&it.line))),
    ("JSON", |it| json_string(&it.line)),
    ("JSON in JSON", |it| json_string(&json_string(&it.line))),
    ("JSON in base64", |it| STANDARD.encode(json!({"line": it.line}).to_string())),
    ("split at a line's end", |it| split(it, "\n")),
    ("split, and indented", |it| split(it, "\n      ")),
    ("split in a JSON string", |it| json_string(&split(it, "\n"))),
];

/// Where a secret is split.
fn middle(secret: &str) -> usize {
    secret.len() / 2
}

fn split(it: &Sample, end: &str) -> String {
    let at = it.line.find(&it.secret).expect("in its line") + middle(&it.secret);
    format!("{}{end}{}", &it.line[..at], &it.line[at..])
}

/// A home that has this text wherever a text can be.
fn home(text: &str) -> (Evidence, Raw) {
    let mut evidence = Evidence { api: Look::Found("v1.37.2".to_owned()), ..Evidence::default() };
    evidence.logs.insert("immich-server-1/server".to_owned(), format!("first\n{text}\nlast"));
    evidence.edge = Look::Found(EdgeAnswer { status: 302, location: Some(text.to_owned()), refusal: None, mitigated: None });
    evidence.unreadable.insert("Node".to_owned(), text.to_owned());
    let pod = json!({
        "metadata": {"name": "immich-server-1", "namespace": "immich", "annotations": {"note": text, text: "as a name"}},
        "spec": {"containers": [{"name": "server", "args": ["--x", text], "env": [{"name": "NOTE", "value": text}]}]},
        "status": {"containerStatuses": [{"name": "server", "lastState": {"terminated": {"message": text}}}]},
    });
    let event = json!({"type": "Warning", "involvedObject": {"name": "x"}, "message": text});
    let map = json!({"metadata": {"name": "m", "namespace": "immich"}, "data": {"file": text}});
    for (kind, object) in [("Pod", pod), ("Event", event), ("ConfigMap", map)] {
        evidence.objects.insert(kind.to_owned(), vec![object]);
    }
    let mut raw = Raw::default();
    raw.logs.insert("immich/immich-server-1/server".to_owned(), format!("first\n{text}\nlast"));
    raw.objects.insert("Job".to_owned(), vec![json!({"status": {"conditions": [{"message": text}]}})]);
    raw.tools.insert("tool".to_owned(), text.to_owned());
    raw.secrets.push(json!({"metadata": {"name": "s", "namespace": "immich"}, "data": {"k": STANDARD.encode(text)}}));
    (evidence, raw)
}

/// All that can be read out of a text: itself, its lines as one, and what is in it as base64, percent-encoding and JSON.
fn readable(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned(), text.lines().map(str::trim_start).collect()];
    for round in 0..3 {
        let known = all.clone();
        for text in &known[usize::from(round != 0)..] {
            all.extend(view::View::of(text).decoded().map(|view| view.text));
            all.extend(view::View::of(text).unpacked().into_iter().map(|view| view.text));
        }
        all.sort();
        all.dedup();
    }
    all
}

fn bundle(evidence: &Evidence, raw: &Raw) -> String {
    let report = Report::new(Vec::new());
    let files = files(evidence, &report, raw).expect("files");
    files.into_iter().flat_map(|(name, text)| [name, text]).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_secret_of_any_kind_gets_out_of_any_source_in_any_encoding() {
    let mut leaks = Vec::new();
    for sample in planted() {
        for (encoding, encode) in ENCODINGS {
            let (evidence, mut raw) = home(&encode(&sample));
            // What a Secret holds is known by value. Here it has to be found by its form.
            raw.secrets.clear();
            let bundle = bundle(&evidence, &raw);
            let is_split = encoding.starts_with("split");
            // Half a secret is one, too. A half below eight letters is in many a word.
            let (first, second) = sample.secret.split_at(middle(&sample.secret));
            let needles: Vec<&str> = std::iter::once(sample.secret.as_str())
                .chain([first, second].into_iter().filter(|half| is_split && half.len() >= 8))
                .collect();
            for needle in needles {
                if readable(&bundle).iter().any(|text| text.contains(needle)) {
                    leaks.push(format!("{} as {encoding}: {needle}", sample.kind.label()));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[test]
fn what_a_secret_holds_gets_out_of_nowhere() {
    // Nothing in its form tells that it is one.
    let sample = Sample { kind: Kind::Jwt, line: "the cat sat".to_owned(), secret: "cat sat".to_owned() };
    for (encoding, encode) in ENCODINGS.iter().filter(|(name, _)| !name.starts_with("split")) {
        let (evidence, mut raw) = home(&encode(&sample));
        raw.secrets = vec![json!({"metadata": {"name": "s"}, "data": {"k": STANDARD.encode("cat sat\n")}})];
        let bundle = bundle(&evidence, &raw);
        assert!(!readable(&bundle).iter().any(|text| text.contains("cat sat")), "{encoding}: {bundle}");
        assert!(bundle.contains("\"bytes\": 8"), "{bundle}");
    }
}

#[test]
fn a_bundle_still_says_what_is_wrong() {
    let text = "MountVolume.SetUp failed for volume \"library\" : hostPath type check failed: /mnt/nas/immich is not a directory";
    let (evidence, raw) = home(text);
    let bundle = bundle(&evidence, &Raw { secrets: Vec::new(), ..raw });
    assert!(bundle.contains("hostPath type check failed: /mnt/nas/immich is not a directory"), "{bundle}");
    assert!(bundle.contains("\"immich-server-1\""), "{bundle}");
}

#[test]
fn the_same_value_has_the_same_number() {
    let address = |user: &str| format!("{user}@{}", "miller.family");
    let mut redactor = Redactor::default();
    let text = format!("{} {}", address("anna"), address("ben"));
    assert_eq!(redactor.text(&text), "[email-1] [email-2]");
    assert_eq!(redactor.text(&address("ben")), "[email-2]");
}

#[test]
fn a_long_log_loses_its_beginning() {
    let text = "a line of the log\n".repeat(20_000);
    assert!(end(&text).len() <= MOST_BYTES);
    assert!(end(&text).starts_with("a line") && end(&text).ends_with("log\n"));
    assert_eq!(end("short"), "short");
}
