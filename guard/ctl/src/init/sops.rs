//! `--sops`: the Secrets of the home are in Git as well, encrypted by the program `sops` for keys of age (docs/sops.md). What the cluster has is encrypted
//! as it is, so that Flux changes nothing when it takes over. No plain text is on the disk: it goes to sops by a pipe.
//!
//! ```text
//! recipients → .sops.yaml ─→ sops encrypt ─→ checked → clusters/home/secrets/NAME.sops.yaml, kustomization.yaml
//! Secret in the cluster ───↗
//! ```

mod encrypted;
mod list;
mod program;
mod rules;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::Run;
use super::answers::Given;
use super::secrets;
use super::terminal::Prompt;
use super::write;
use encrypted::{Plain, Verdict};
pub(crate) use rules::Rules;

/// What Flux fetches and decrypts.
const FOLDER: &str = "clusters/home/secrets";
const KUSTOMIZATION: &str = "kustomization.yaml";
/// The Secrets that are encrypted if they are there; the last one is of docs/oidc.md.
const NAMES: [(&str, &str); 4] = [secrets::DATABASE, secrets::TUNNEL, secrets::EDGE, ("immich", "immich-oidc")];

/// Finds the program and the rules, or asks for whom to encrypt. Whatever is missing is an error before anything is written.
pub(crate) fn prepare(given: &Given, terminal: Option<&mut dyn Prompt>) -> Result<Rules> {
    program::check()?;
    let example = std::fs::read_to_string(rules::EXAMPLE).with_context(|| format!("{}: cannot be read", rules::EXAMPLE))?;
    let there = match std::fs::read_to_string(rules::FILE) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", rules::FILE)),
    };
    let given = given.sops_recipients.as_deref().map(|items| rules::recipients(&items.join(","))).transpose();
    let given = given.map_err(|wanted| anyhow::anyhow!("sops_recipients: {wanted}"))?;
    let by_rules = || encrypted::by_rules(&file_of(secrets::DATABASE.1));
    if let Some(rules) = Rules::there(there.as_deref(), given.as_deref(), by_rules)? {
        return Ok(rules);
    }
    let recipients = match (given, terminal) {
        (Some(given), _) => {
            program::try_keys(&given).map_err(|wanted| anyhow::anyhow!("sops_recipients: {wanted}"))?;
            given
        }
        (None, Some(terminal)) => ask(terminal)?,
        (None, None) => {
            bail!("sops_recipients: found no answer, wanted the public keys of age in --answers FILE, or a {}", rules::FILE)
        }
    };
    Ok(Rules::new(there.as_deref().unwrap_or(&example), recipients))
}

/// Asks for the public keys.
fn ask(terminal: &mut dyn Prompt) -> Result<Vec<String>> {
    terminal.say(
        "\nsops: for whom the Secrets are encrypted. Two keys, the second one for a place outside of the house (docs/sops.md):\n  \
         mkdir -p ~/.config/sops/age && chmod 700 ~/.config/sops/age\n  \
         age-keygen -o ~/.config/sops/age/keys.txt     # prints: Public key: age1…\n  \
         age-keygen -o ~/.config/sops/age/spare.txt\n",
    )?;
    loop {
        let typed = terminal.line("Public keys, comma-separated: ")?;
        let found = rules::recipients(&typed).and_then(|keys| program::try_keys(&keys).map(|()| keys));
        match found {
            Ok(recipients) => return Ok(recipients),
            Err(wanted) => terminal.say(&format!("   ✗ {wanted}\n"))?,
        }
    }
}

fn file_of(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.sops.yaml"))
}

impl Rules {
    /// What would be written, one line a file.
    pub(crate) fn plan(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.is_new {
            lines.push(format!("+ {}: encrypts for {}", rules::FILE, self.recipients.join(", ")));
        }
        for (_, name) in NAMES.into_iter().filter(|(_, name)| *name != "immich-oidc") {
            let path = file_of(name);
            let place = path.display();
            lines.push(if path.exists() {
                format!("= {place}: is there; written again if the cluster has other values")
            } else {
                format!("+ {place}: what the cluster has, encrypted, if it has it")
            });
        }
        lines
    }

    /// Whether the plan has something new.
    pub(crate) fn is_change(&self) -> bool {
        self.is_new || !file_of(secrets::DATABASE.1).exists()
    }
}

impl Run<'_> {
    /// Encrypts what the cluster has.
    pub(super) fn encrypt(&mut self) -> Result<()> {
        let Some(rules) = self.rules.take() else { return Ok(()) };
        if rules.is_new {
            write::replace(Path::new(rules::FILE), &rules.text)?;
            println!("✓ {}", rules::FILE);
        }
        let mut files = Vec::new();
        for (namespace, name) in NAMES {
            let Some(plain) = Plain::of(&self.cluster, namespace, name)? else { continue };
            self.encrypt_one(&rules, &plain, &file_of(name))?;
            files.push(format!("{name}.sops.yaml"));
        }
        ensure!(!files.is_empty(), "the cluster has no Secret to encrypt");
        let path = Path::new(FOLDER).join(KUSTOMIZATION);
        let there =
            if path.exists() { Some(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?) } else { None };
        let listed = list::with(there.as_deref(), &files).with_context(|| path.display().to_string())?;
        if there.as_ref() != Some(&listed) {
            write::replace(&path, &listed)?;
        }
        println!("✓ {}", path.display());
        self.next(&rules)
    }

    fn encrypt_one(&mut self, rules: &Rules, plain: &Plain, path: &Path) -> Result<()> {
        let place = path.display();
        if path.exists() {
            let stored = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            match encrypted::compare(&stored, plain, program::decrypt(path)) {
                Verdict::Equal => {
                    println!("✓ {place}: kept, it has the values of the cluster");
                    if encrypted::recipients(&stored) != rules.sorted() {
                        println!("  ! it is encrypted for other keys than {} names: sops updatekeys {place}", rules::FILE);
                    }
                    return Ok(());
                }
                Verdict::Differs => println!("  {place}: the cluster has other values"),
                Verdict::Unknown(why) => {
                    println!("  {place}: it cannot be compared with the cluster: {why}");
                    if !self.agrees("Encrypt what the cluster has, and replace the file?", self.args.replace_secrets)? {
                        println!("= {place}: kept");
                        return Ok(());
                    }
                }
            }
        }
        let text = program::encrypt(path, &plain.json())?;
        encrypted::check(&text, plain, rules).with_context(|| format!("{place}: not written"))?;
        write::replace(path, &text)?;
        println!("✓ {place}: encrypted for {} keys", rules.recipients.len());
        Ok(())
    }

    /// What is left to the operator.
    fn next(&self, rules: &Rules) -> Result<()> {
        let has_key = self.cluster.field("flux-system", "secret/sops-age", "{.metadata.name}")?.is_some();
        if rules.recipients.len() == 1 {
            println!("  ! one key only: if it is lost, each Secret is made anew. A spare one: docs/sops.md");
        }
        println!("  Next, for Flux:\n    git add {} {FOLDER} && git commit -m 'Secrets, encrypted' && git push", rules::FILE);
        if !has_key {
            println!(
                "    kubectl -n flux-system create secret generic sops-age --from-file=age.agekey=\"$HOME/.config/sops/age/keys.txt\""
            );
        }
        println!("    kubectl apply -f clusters/home.example/sops/sync-secrets.yaml");
        Ok(())
    }
}
