//! The program `sops`: plain text enters by a pipe, ciphertext leaves. No value is in an argument, in the environment or in a file.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Fails if there is no sops, and says how to get it.
pub(super) fn check() -> Result<()> {
    // Older ones ask the internet for a newer version otherwise.
    let asked = Command::new("sops").args(["--disable-version-check", "--version"]).stdin(Stdio::null()).output();
    ensure!(
        asked.is_ok_and(|output| output.status.success()),
        "found no sops in PATH, wanted 3.9 or newer: https://github.com/getsops/sops/releases (Homebrew and nixpkgs: sops)"
    );
    Ok(())
}

/// Runs it with this text on standard input.
fn run(arguments: &[&str], input: &[u8]) -> Result<Output> {
    run_as(Command::new("sops"), arguments, input)
}

fn run_as(mut command: Command, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let mut child =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("sops")?;
    let mut stdin = child.stdin.take().context("sops has no input")?;
    std::thread::scope(|scope| {
        // A sops that ends early says why itself.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().context("sops")
    })
}

/// What it said, as one line.
fn errors(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { output.status.to_string() } else { lines.join(" ") }
}

/// Fails if sops does not take these public keys: it knows their checksum.
pub(super) fn try_keys(keys: &[String]) -> Result<(), String> {
    let mut command = Command::new("sops");
    // Where no rules are.
    command.current_dir("/");
    let arguments = ["encrypt", "--age", &keys.join(","), "--input-type", "json", "--output-type", "json", "/dev/stdin"];
    let output = run_as(command, &arguments, br#"{"data": "a trial"}"#).map_err(|error| format!("{error:#}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("sops does not take them: {}", errors(&output))) }
}

/// Encrypts a Secret by the rules for this path, as YAML.
pub(super) fn encrypt(path: &Path, secret: &Value) -> Result<String> {
    let path = path.to_str().context("the path is no text")?;
    let arguments = ["encrypt", "--filename-override", path, "--input-type", "json", "--output-type", "yaml", "/dev/stdin"];
    let output = run(&arguments, secret.to_string().as_bytes())?;
    ensure!(output.status.success(), "{path}: sops cannot encrypt it: {}", errors(&output));
    String::from_utf8(output.stdout).context("what sops wrote is no text")
}

/// Decrypts a file, if a private key is here; an error says why not.
pub(super) fn decrypt(path: &Path) -> Result<Value, String> {
    let path = path.to_str().ok_or("the path is no text")?;
    let output = run(&["decrypt", "--output-type", "json", path], b"").map_err(|error| format!("{error:#}"))?;
    if !output.status.success() {
        let said = errors(&output);
        // What sops says then is a page.
        let is_key = said.contains("no identity") || said.contains("data key") || said.contains("identities");
        return Err(if is_key { "no private key for it is here".to_owned() } else { said });
    }
    serde_json::from_slice(&output.stdout).map_err(|_| "what sops decrypted is no JSON".to_owned())
}
