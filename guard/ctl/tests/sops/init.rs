//! `guardctl init --sops`: what the cluster has is in Git, encrypted, and nothing plain is anywhere else. The cluster is a stand-in ([`api`](super::api)),
//! behind which `doctor --pre` finds no home: each run ends after the Secrets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::google::Folder;

use super::api::Api;
use super::{are_here, document, kustomize, lint, run, said};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const EDGE: &[(&str, &str)] = &[("ACCESS_TEAM", "planted-team"), ("EXTERNAL_HOST", "planted.family.test")];
const SECRETS: [(&str, &str); 3] =
    [("immich", "immich-postgres"), ("immich-edge", "cloudflared-tunnel"), ("immich-edge", "immich-edge")];

/// A clone, a cluster, and two keys outside of the clone.
struct Home {
    clone: Folder,
    outside: Folder,
    api: Api,
    recipients: Vec<String>,
}

impl Home {
    fn new() -> Self {
        let (clone, outside, api) = (Folder::new(), Folder::new(), Api::start());
        said(Command::new("cp").arg("-r").arg(Path::new(ROOT).join("clusters")).arg(clone.path()), "");
        let _ = std::fs::remove_dir_all(clone.path().join("clusters/home.local"));
        outside.write("kubeconfig", &api.kubeconfig());
        api.put("immich-edge", "immich-edge", EDGE);
        api.put("immich-edge", "cloudflared-tunnel", &[("token", "planted-token")]);
        let home = Self { clone, outside, api, recipients: Vec::new() };
        home.program("kubectl", "#!/bin/sh\nexit 0\n");
        home
    }

    /// The same, with two keys of age.
    fn with_keys() -> Self {
        let mut home = Self::new();
        for name in ["keys.txt", "spare.txt"] {
            let file = home.outside.path().join(name);
            said(Command::new("age-keygen").arg("-o").arg(&file), "");
            home.recipients.push(said(Command::new("age-keygen").arg("-y").arg(&file), "").trim().to_owned());
        }
        home.answers(&format!("{:?}", home.recipients));
        home
    }

    fn answers(&self, recipients: &str) {
        self.outside.write(
            "answers.toml",
            &format!(
                "node = \"home\"\nphotos = \"/mnt/nas/immich\"\ndatabase = \"/srv/immich/postgres\"\nnas_id = \"3a55ae57-1cab-4631-8cb4-44d1159e8f48\"\ntime_zone = \"Etc/UTC\"\n\
                 repository = \"https://git.family.test/photos\"\nsops_recipients = {recipients}\n[internet]\nhost = \"none\"\n"
            ),
        );
    }

    /// A program that comes first in PATH.
    fn program(&self, name: &str, script: &str) {
        let path = self.outside.path().join("bin").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn init(&self, flags: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guardctl"));
        command.args(["init", "--sops", "--yes", "--answers"]).arg(self.outside.path().join("answers.toml")).args(flags);
        self.at_clone(&mut command).envs(environment.iter().copied()).output().unwrap()
    }

    /// Lets a command run in the clone, with this cluster and these keys.
    fn at_clone<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let at = |name: &str| self.outside.path().join(name);
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
        command.current_dir(self.clone.path()).env("PATH", path).env("KUBECONFIG", at("kubeconfig"));
        command.env("HOME", self.outside.path()).env("SOPS_AGE_KEY_FILE", at("keys.txt"))
    }

    /// A run that comes as far as the Secrets.
    #[track_caller]
    fn encrypts(&self, flags: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.init(flags, environment);
        let said = text(&output);
        assert!(said.contains("sync-secrets.yaml") && said.contains("Not applied:"), "{:?} {said}", output.status);
        said
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.clone.path().join(format!("clusters/home/secrets/{name}.sops.yaml"))).unwrap()
    }

    fn decrypted(&self, name: &str, key: &str) -> Value {
        let mut command = Command::new("sops");
        command.arg("decrypt").arg(self.clone.path().join(format!("clusters/home/secrets/{name}.sops.yaml")));
        document(&said(command.env("SOPS_AGE_KEY_FILE", self.outside.path().join(key)), ""))
    }

    /// Every value of the Secrets, plain and as base64.
    fn values(&self) -> Vec<String> {
        use base64::Engine as _;
        let data = SECRETS.map(|(namespace, name)| self.api.data(namespace, name));
        let encoded =
            data.iter().flat_map(|data| data.as_object().unwrap().values()).map(|value| value.as_str().unwrap().to_owned());
        let plain = |text: &String| String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap();
        encoded.flat_map(|text| [plain(&text), text]).collect()
    }

    /// Fails if a file below the folder has one of the values.
    #[track_caller]
    fn has_no_value(&self, folder: &Path) {
        let values = self.values();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.has_no_value(&path);
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(values.iter().all(|value| !text.contains(value)), "{} has a plain value", path.display());
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_init_encrypts_is_what_the_cluster_has_and_nothing_plain_is_anywhere() {
    if !are_here() {
        return;
    }
    let home = Home::with_keys();
    home.api.put("immich", "immich-oidc", &[("client", "planted-client")]);
    let real = said(Command::new("sh").args(["-c", "command -v sops"]), "");
    // What others on this computer can see of a process.
    let log = home.outside.path().join("seen");
    home.program(
        "sops",
        &format!("#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; }} >>{}\nexec {} \"$@\"\n", log.display(), real.trim()),
    );
    let plan = text(&home.init(&["--dry-run"], &[]));
    assert!(plan.contains("+ .sops.yaml: encrypts for age1") && plan.contains("nothing was changed"), "{plan}");
    assert!(!home.clone.path().join(".sops.yaml").exists() && !home.clone.path().join("clusters/home/secrets").exists());
    let said = home.encrypts(&[], &[]);
    for (namespace, name) in SECRETS.into_iter().chain([("immich", "immich-oidc")]) {
        for key in ["keys.txt", "spare.txt"] {
            let found = home.decrypted(name, key);
            assert_eq!(found["data"], home.api.data(namespace, name), "{name} {key}");
            assert_eq!((&found["metadata"]["name"], &found["metadata"]["namespace"]), (&name.into(), &namespace.into()));
            assert!(found["metadata"].as_object().unwrap().len() == 2, "what the cluster adds is left out: {found}");
        }
        let found = lint(&home.clone, &format!("clusters/home/secrets/{name}.sops.yaml"));
        assert!(found.status.success(), "{}", text(&found));
    }
    home.has_no_value(home.clone.path());
    let seen = std::fs::read_to_string(&log).unwrap();
    assert!(seen.contains("--filename-override") && seen.contains("PATH="), "{seen}");
    assert!(home.values().iter().all(|value| !seen.contains(value) && !said.contains(value)), "a value was to be seen");
    let rules = std::fs::read_to_string(home.clone.path().join(".sops.yaml")).unwrap();
    assert!(rules.contains(&format!("age: {}\n", home.recipients.join(","))), "{rules}");
    if let Some(built) = kustomize(home.clone.path()) {
        assert_eq!(built.matches("kind: Secret").count(), 4, "{built}");
    }
}

#[test]
fn the_second_time_nothing_changes_and_another_value_is_encrypted_anew() {
    if !are_here() {
        return;
    }
    let home = Home::with_keys();
    home.encrypts(&[], &[]);
    let before = SECRETS.map(|(_, name)| home.file(name));
    let said = home.encrypts(&[], &[]);
    assert_eq!(SECRETS.map(|(_, name)| home.file(name)), before, "{said}");
    assert_eq!(said.matches("kept, it has the values of the cluster").count(), 3, "{said}");

    home.api.put("immich-edge", "immich-edge", &[("ACCESS_TEAM", "planted-other"), ("EXTERNAL_HOST", "planted.family.test")]);
    let no_key = [("SOPS_AGE_KEY_FILE", "/nonexistent")];
    let said = home.encrypts(&[], &no_key);
    assert!(said.contains("cannot be compared with the cluster: no private key for it is here"), "{said}");
    assert_eq!(SECRETS.map(|(_, name)| home.file(name)), before, "without a key, nothing is replaced unasked");
    let said = home.encrypts(&[], &[]);
    assert!(said.contains("immich-edge.sops.yaml: the cluster has other values"), "{said}");
    assert_eq!(home.decrypted("immich-edge", "spare.txt")["data"], home.api.data("immich-edge", "immich-edge"));
    assert_eq!(home.file("immich-postgres"), before[0]);
    home.encrypts(&["--replace-secrets"], &no_key);
    assert_ne!(home.file("immich-postgres"), before[0], "with the flag, it is");
    assert_eq!(home.decrypted("immich-postgres", "keys.txt")["data"], home.api.data("immich", "immich-postgres"));
}

#[test]
fn what_is_missing_or_wrong_ends_before_anything_is_written() {
    let home = Home::new();
    let refused = |wanted: &str, never: &str, environment: &[(&str, &str)]| {
        let output = home.init(&[], environment);
        let said = text(&output);
        assert!(output.status.code() == Some(2) && said.contains(wanted) && !said.contains(never), "wanted {wanted}: {said}");
        let left = [".sops.yaml", "clusters/home/secrets", "clusters/home.local"];
        assert!(left.iter().all(|path| !home.clone.path().join(path).exists()), "{wanted}");
    };
    home.answers("[]");
    let bin = home.outside.path().join("bin").display().to_string();
    refused("found no sops in PATH", "planted", &[("PATH", &bin)]);
    home.program("sops", "#!/bin/sh\necho 'sops 3.13.3'\n");
    refused("no public key", "planted", &[]);
    home.answers("[\"AGE-SECRET-KEY-1PLANTED\"]");
    refused("found a private key (not shown)", "PLANTED", &[]);
    home.program("sops", "#!/bin/sh\ncase $1 in encrypt) echo invalid checksum >&2; exit 1 ;; *) echo 'sops 3.13.3' ;; esac\n");
    home.answers(&format!("[\"age1{}\"]", "q".repeat(58)));
    refused("sops_recipients: sops does not take them: invalid checksum", "planted", &[]);
    let path = home.outside.path().join("answers.toml");
    let answers = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, answers.replace("https://git.family.test/photos", "none")).unwrap();
    refused("--sops: found no repository", "PLANTED", &[]);
}

/// Rules of another form leave values plain; the file is not written then.
#[test]
fn a_sops_that_does_not_encrypt_writes_nothing() {
    let home = Home::new();
    home.answers(&format!("[\"age1{}\"]", "q".repeat(58)));
    home.program("sops", "#!/bin/sh\ncase $1 in encrypt) cat ;; *) echo 'sops 3.13.3' ;; esac\n");
    // The keys are new, and .sops.yaml is of init itself: sops is not believed either way.
    let output = home.init(&[], &[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("immich-postgres.sops.yaml: not written: found a Secret that sops did not encrypt"), "{said}");
    assert!(!home.clone.path().join("clusters/home/secrets").exists());
    home.has_no_value(home.clone.path());
    let values = home.values();
    assert!(values.iter().all(|value| !said.contains(value)), "a value is in the output");
}

/// Rules of the operator's own are kept, if sops encrypts by them.
#[test]
fn rules_that_are_there_are_tried_before_anything_is_written() {
    if !are_here() {
        return;
    }
    let home = Home::with_keys();
    home.answers(&format!("{:?}", home.recipients[..1].to_vec()));
    // One that covers the files without naming their folder.
    let own = format!(
        "creation_rules:\n  - path_regex: \\.sops\\.yaml$\n    encrypted_regex: ^data$\n    age: {}\n",
        home.recipients[0]
    );
    for (rules, wanted) in [
        (own.replace("^data$", "^password$"), "does not encrypt clusters/home/secrets/immich-postgres.sops.yaml as a whole"),
        (own.replace("yaml$", "json$"), "no matching creation rules found"),
        (own.replace(&home.recipients[0], &home.recipients[1]), "other keys than sops_recipients"),
    ] {
        home.clone.write(".sops.yaml", &rules);
        let output = home.init(&[], &[]);
        assert!(output.status.code() == Some(2) && text(&output).contains(wanted), "wanted {wanted}: {}", text(&output));
        assert!(!home.clone.path().join("clusters/home.local").exists());
    }
    home.clone.write(".sops.yaml", &own);
    let said = home.encrypts(&[], &[]);
    assert!(said.contains("one key only"), "{said}");
    assert_eq!(std::fs::read_to_string(home.clone.path().join(".sops.yaml")).unwrap(), own);
    assert_eq!(home.decrypted("immich-postgres", "keys.txt")["data"], home.api.data("immich", "immich-postgres"));
}

/// At a terminal, the keys are asked for until sops takes them.
#[test]
fn the_keys_are_asked_for_until_they_are_public_ones() {
    if !are_here() || Command::new("script").arg("--version").output().is_err() {
        return;
    }
    let home = Home::with_keys();
    let path = home.outside.path().join("answers.toml");
    let answers = std::fs::read_to_string(&path).unwrap();
    let others: Vec<_> = answers.lines().filter(|line| !line.starts_with("sops_")).collect();
    std::fs::write(&path, others.join("\n")).unwrap();
    let line = format!("{} init --sops --answers {}", env!("CARGO_BIN_EXE_guardctl"), path.display());
    let typed = format!("AGE-SECRET-KEY-1X\nage1{}\n{}\ny\n", "q".repeat(58), home.recipients.join(", "));
    let mut command = Command::new("script");
    let said = text(&run(home.at_clone(command.args(["--quiet", "--return", "--command", &line, "/dev/null"])), &typed));
    for wanted in
        ["age-keygen -o", "found a private key (not shown)", "sops does not take them", "Write this?", "sync-secrets.yaml"]
    {
        assert!(said.contains(wanted), "wanted {wanted}: {said}");
    }
    let rules = std::fs::read_to_string(home.clone.path().join(".sops.yaml")).unwrap();
    assert!(rules.contains(&format!("age: {}\n", home.recipients.join(","))) && !rules.contains("SECRET"), "{rules}");
    assert_eq!(home.decrypted("immich-postgres", "spare.txt")["data"], home.api.data("immich", "immich-postgres"));
}
