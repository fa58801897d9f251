//! docs/sops.md with the real programs: age makes a key, sops encrypts, kustomize builds, lint and scan judge, and sops decrypts what it was. [`init`] does
//! the same by `guardctl init --sops`.
//!
//! `make test-sops` builds them and runs this; without them it is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod api;
mod init;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use guardctl::lint::yaml;
use serde_json::Value;
use testkit::google::Folder;

/// The rules that an operator copies.
const RULES: &str = include_str!("../../../../clusters/home.example/sops/sops.yaml");
const PLACEHOLDER: &str = "__AGE_RECIPIENT__";
/// As `kubectl create secret … --dry-run=client -o yaml` prints it.
const SECRET: &str = "apiVersion: v1\ndata:\n  POSTGRES_PASSWORD: bm90LWEtcmVhbC1vbmU=\nkind: Secret\nmetadata:\n  name: immich-postgres\n  namespace: immich\n";
const FILE: &str = "clusters/home/secrets/immich-postgres.sops.yaml";

fn are_here() -> bool {
    let is_here = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let are_here = is_here("sops") && is_here("age-keygen");
    if !are_here {
        eprintln!("skipped: no sops and age-keygen (make test-sops)");
    }
    are_here
}

fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn said(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A repository with two keys, the cluster's and a spare one.
fn repository() -> Folder {
    let folder = Folder::new();
    let mut recipients = Vec::new();
    for name in ["cluster.agekey", "spare.agekey"] {
        said(Command::new("age-keygen").arg("-o").arg(folder.path().join(name)), "");
        recipients.push(said(Command::new("age-keygen").arg("-y").arg(folder.path().join(name)), "").trim().to_owned());
    }
    folder.write(".sops.yaml", &RULES.replace(PLACEHOLDER, &recipients.join(",")));
    std::fs::create_dir_all(folder.path().join("clusters/home/secrets")).unwrap();
    let list = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - immich-postgres.sops.yaml\n";
    std::fs::write(folder.path().join("clusters/home/secrets/kustomization.yaml"), list).unwrap();
    folder
}

fn sops(folder: &Folder, key: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sops");
    command.current_dir(folder.path()).env("SOPS_AGE_KEY_FILE", folder.path().join(key)).args(arguments);
    command
}

/// Encrypts as the page says: nothing plain is on the disk.
fn encrypt(folder: &Folder, secret: &str) {
    let encrypted = said(&mut sops(folder, "none", &["encrypt", "--filename-override", FILE, "/dev/stdin"]), secret);
    std::fs::write(folder.path().join(FILE), encrypted).unwrap();
}

fn lint(folder: &Folder, path: &str) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_guardctl")).current_dir(folder.path()).args(["lint", path]), "")
}

fn document(text: &str) -> Value {
    yaml::documents(text, "a test").unwrap().remove(0)
}

fn kustomize(folder: &Path) -> Option<String> {
    let line = std::env::var("KUSTOMIZE").unwrap_or_else(|_| "kustomize build".to_owned());
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    // A relative one is seen from the root of the repository.
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let program = if program.contains('/') { root.join(program) } else { program.into() };
    Command::new(&program).arg("version").output().ok()?;
    Some(said(Command::new(program).args(words).arg(folder.join("clusters/home/secrets")), ""))
}

#[test]
fn what_is_encrypted_builds_and_decrypts_to_the_same_secret() {
    if !are_here() {
        return;
    }
    let folder = repository();
    encrypt(&folder, SECRET);
    let stored = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(!stored.contains("bm90LWEt") && stored.contains("name: immich-postgres"), "{stored}");
    let built = kustomize(folder.path());
    if built.is_none() {
        eprintln!("skipped: no kustomize");
    }
    // Flux decrypts each object after the build, with either key.
    for text in [Some(stored), built].into_iter().flatten() {
        for key in ["cluster.agekey", "spare.agekey"] {
            let decrypt = &["decrypt", "--input-type", "yaml", "--output-type", "yaml", "/dev/stdin"];
            assert_eq!(document(&said(&mut sops(&folder, key, decrypt), &text)), document(SECRET), "{key}");
        }
    }
    let strange = run(&mut sops(&folder, "none", &["decrypt", FILE]), "");
    assert!(!strange.status.success() && strange.stdout.is_empty(), "without a key");
}

#[test]
fn lint_takes_what_sops_encrypted_and_refuses_what_it_did_not() {
    if !are_here() {
        return;
    }
    let folder = repository();
    encrypt(&folder, SECRET);
    let found = lint(&folder, FILE);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));

    // A value that was added by hand, and a Secret that sops has not seen.
    let stored = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    let sneaked = stored.replacen("data:\n", "data:\n    ANOTHER: bm90LWEtcmVhbC1vbmU=\n", 1);
    for (text, wanted) in [(sneaked.as_str(), "data.ANOTHER"), (SECRET, "a Secret")] {
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let found = lint(&folder, FILE);
        let printed = String::from_utf8(found.stdout).unwrap();
        assert_eq!(found.status.code(), Some(1), "{printed}");
        assert!(printed.contains("secret-object") && printed.contains(wanted), "{printed}");
    }

    // Beside other objects, `kubectl apply -k` would write the ciphertext.
    let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\n  namespace: immich\n";
    folder.write("both.yaml", &format!("{stored}{map}"));
    let printed = String::from_utf8(lint(&folder, "both.yaml").stdout).unwrap();
    assert!(printed.contains("an encrypted Secret beside other objects"), "{printed}");
}

#[test]
fn the_scan_before_a_commit_refuses_a_plain_file_and_the_key() {
    if !are_here() {
        return;
    }
    let folder = repository();
    encrypt(&folder, SECRET);
    said(Command::new("git").current_dir(folder.path()).args(["init", "-q"]), "");
    folder.write(".gitignore", "*.agekey\n");
    let scan = || run(Command::new(env!("CARGO_BIN_EXE_guardctl")).current_dir(folder.path()).arg("scan"), "");
    let found = scan();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
    std::fs::write(folder.path().join(FILE), SECRET).unwrap();
    folder.write(".gitignore", "");
    let printed = String::from_utf8(scan().stdout).unwrap();
    assert!(printed.contains(&format!("{FILE}:1: unencrypted")), "{printed}");
    assert!(printed.contains("cluster.agekey:3: age-key") && printed.contains("spare.agekey:3: age-key"), "{printed}");
}
