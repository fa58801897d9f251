//! Tests of `guardctl oidc`: the configuration file that it writes, the mistakes that it finds, and that it never shows a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

mod check;
mod immich_schema;
mod keys;
mod render;
mod yaml;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use guardctl::lint::yaml::{Dialect, values};
use guardctl::severity::Severity;
use serde_json::Value;

const SECRET: &str = "s3cr3t: \"#~${x}\" 1e5";

/// A configuration file with every key.
const WHOLE: &str = include_str!("whole.yaml");

/// Runs guardctl with the client secret on standard input.
fn guardctl(arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_guardctl"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command may end before it reads its standard input.
    let _ = child.stdin.take().unwrap().write_all(format!("{SECRET}\n").as_bytes());
    child.wait_with_output().unwrap()
}

const GOOD: [&str; 10] = [
    "oidc",
    "render",
    "--external-url",
    "https://photos.example.com/",
    "--issuer",
    "https://auth.example.com/application/o/immich/",
    "--client-id",
    "immich-client",
    "--client-secret-file",
    "-",
];

fn rendered(more: &[&str]) -> (Value, String) {
    let output = guardctl(&[&GOOD[..], more].concat());
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    (values(&stdout, Dialect::Plain).unwrap().remove(0), stderr)
}

/// Returns the findings for the text of a file.
fn findings(yaml: &str) -> Vec<(Severity, String)> {
    guardctl::oidc::check::text(yaml).unwrap().into_iter().map(|finding| (finding.severity, finding.to_string())).collect()
}
