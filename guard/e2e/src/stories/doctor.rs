//! `guardctl doctor` against the real API server: homes that are broken for real, the cause that it names, and its own cure where that is a command
//! that this cluster can run. What needs a container, a mount or a packet is on the node: [`crate::node`].

pub(super) mod before;
pub(super) mod flux;
pub(super) mod secrets;
pub(super) mod workloads;

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::World;
use crate::doctor::Report;
use crate::secrets::{AUD, TUNNEL_TOKEN};
use crate::shell::FLUX;

/// kubectl restarts nothing twice in a second, and these homes follow each other faster than people do.
const PATIENCE: &str = r#"
kubectl() {
  [[ $* == *"rollout restart"* ]] || { command kubectl "$@"; return; }
  local said
  until said=$(command kubectl "$@" 2>&1); do
    [[ $said == *"within the past second"* ]] || { echo "$said" >&2; return 1; }
  done
}
"#;
/// The checks that have an answer on nodes that are played: no container runs on them.
const ONLY: &str = "GD-K8S-01,GD-K8S-02,GD-K8S-03,GD-K8S-04,GD-K8S-05,flux,secret,GD-NAS-01,GD-POD-01,GD-POD-03,GD-POD-04,GD-POD-05,\
                    GD-DB-05,GD-DB-06,GD-APP-01,GD-APP-02,GD-TUNNEL-05";
/// What the Secrets hold, which must be in no report and in no record.
const PLANTED: [&str; 2] = ["planted-database-password", "cGxhbnRlZC10dW5uZWwtc2VjcmV0"];
const HOST: &str = "photos.family.test";

/// Broken homes, one after another.
struct Homes<'w> {
    world: &'w mut World,
    /// How each was named.
    told: Vec<String>,
}

impl<'w> Homes<'w> {
    fn new(world: &'w mut World) -> Self {
        Self { world, told: Vec::new() }
    }

    /// The same, with Secrets as those of a home are.
    fn with_secrets(world: &'w mut World) -> Result<Self> {
        let homes = Self::new(world);
        let data = |data: Value| json!({ "stringData": data }).to_string();
        homes.patch("immich", "secret/immich-postgres", &data(json!({"POSTGRES_PASSWORD": PLANTED[0]})))?;
        homes.patch("immich-edge", "secret/cloudflared-tunnel", &data(json!({"token": TUNNEL_TOKEN})))?;
        homes.patch("immich-edge", "secret/immich-edge", &data(json!({"ACCESS_AUD": AUD, "EXTERNAL_HOST": HOST})))?;
        Ok(homes)
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.world.cluster.kubectl(words)
    }

    /// Changes an object.
    fn patch(&self, namespace: &str, object: &str, change: &str) -> Result<()> {
        self.kubectl(&["-n", namespace, "patch", object, "--type=merge", "-p", change]).map(drop)
    }

    /// The report of doctor on the cluster.
    fn report(&self) -> Result<Report> {
        let record = self.world.dir.join("evidence.json");
        let report = doctor(self.world, &["--cluster", "--only", ONLY, "--record", &record.display().to_string()])?;
        let recorded = std::fs::read_to_string(&record)?;
        for secret in PLANTED {
            ensure!(!report.contains(secret) && !recorded.contains(secret), "a secret is in the report, or in its record");
        }
        Ok(report)
    }

    /// Fails unless these checks, and no others, are the causes. Returns the cure of the first.
    fn named(&mut self, what: &str, wanted: &[&str]) -> Result<String> {
        let fix = causes(&self.report()?, what, wanted)?;
        self.told.push(format!("{what}: {}", wanted.join(", ")));
        Ok(fix)
    }

    /// Fails unless doctor finds nothing wrong.
    fn well(&self) -> Result<()> {
        let after = format!("after the cure of {:?}", self.told.last());
        causes(&self.report()?, &after, &[]).map(drop)
    }

    /// Runs a cure as an operator does, with their own values in the place of these words.
    fn cure(&self, fix: &str, values: &[(&str, &str)]) -> Result<()> {
        let command = values.iter().fold(fix.to_owned(), |command, (word, value)| command.replace(word, value));
        let output = shell(self.world, &command)?;
        ensure!(output.status.success(), "the cure failed: {command}\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A home that is named, cured by what is printed, and well.
    fn cured(&mut self, what: &str, wanted: &str, values: &[(&str, &str)]) -> Result<()> {
        let fix = self.named(what, &[wanted])?;
        self.cure(&fix, values)?;
        self.well()
    }

    fn end(self) -> String {
        format!("{} broken homes\n               {}", self.told.len(), self.told.join("\n               "))
    }
}

/// Runs doctor in the clone, and returns its report.
fn doctor(world: &World, words: &[&str]) -> Result<Report> {
    let mut command = guardctl(world)?;
    command.arg("doctor").args(words);
    Report::of(command)
}

fn guardctl(world: &World) -> Result<Command> {
    let program = std::env::current_exe()?.with_file_name("guardctl");
    let mut command = Command::new(program);
    let path = format!("{}:{}", world.cluster.bin.display(), std::env::var("PATH").unwrap_or_default());
    command.current_dir(&world.repo.tree).env("KUBECONFIG", &world.cluster.kubeconfig).env("PATH", path);
    Ok(command)
}

/// Fails unless these are the causes. Returns the cure of the first.
fn causes(report: &Report, what: &str, wanted: &[&str]) -> Result<String> {
    let found = report.causes();
    ensure!(found == wanted, "{what}: found {found:?}, wanted {wanted:?}: {}", report.failed());
    Ok(wanted.first().and_then(|id| report.fix_of(id)).unwrap_or_default().to_owned())
}

/// Runs a command in an operator's shell, in the clone.
fn shell(world: &World, command: &str) -> Result<Output> {
    let own = std::env::current_exe()?;
    let own = own.parent().context("a folder")?.display();
    let path = format!("PATH={}:{own}:$PATH", world.cluster.bin.display());
    let cloudflared = format!("cloudflared() {{ echo {TUNNEL_TOKEN}; }}");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("{FLUX}{PATIENCE}{cloudflared}\n{path}\n{command}")]);
    Ok(bash.current_dir(&world.repo.tree).env("KUBECONFIG", &world.cluster.kubeconfig).output()?)
}

/// Commits, and waits until Flux has applied it: whatever was changed by hand is put back.
async fn put_back(homes: &Homes<'_>) -> Result<()> {
    let commit = homes.world.repo.commit("Doctor, put it back")?;
    homes.world.applied(&commit).await
}
