//! `guardctl doctor` on the real node: homes whose containers, mounts and packets are broken for real. For each, the first cause that it names
//! is the true one; its cure is run as it is printed, wherever that is a command; and doctor passes again.

pub(super) mod database;
pub(super) mod disks;
pub(super) mod edge;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::doctor::Report;
use crate::node::Home;
use crate::shell::FLUX;
use crate::wait::{Look, until};

/// Longer than the kubelet's back-off after a few failures.
const LIMIT: Duration = Duration::from_secs(120);
/// Within this time doctor says that it can look at nothing.
const BLIND: Duration = Duration::from_secs(5);

/// What an operator's shell on the node has. `mount` reads the node's fstab.
const SHELL: &str = r#"
sudo() { "$@"; }
mount() { case $* in *remount*) command mount -i "$@" ;; *) command mount --fstab "$FSTAB" "$@" ;; esac; }
"#;

/// A home that is broken, and what becomes of it.
struct Broken<'h> {
    home: &'h mut Home,
    said: Vec<String>,
}

impl<'h> Broken<'h> {
    fn new(home: &'h mut Home) -> Self {
        Self { home, said: Vec::new() }
    }

    /// Waits until doctor names exactly this cause, and returns its cure.
    async fn named(&mut self, what: &str, cause: &str) -> Result<String> {
        self.named_with(what, cause, "").await
    }

    /// The same, until these words are in the cure. What was named before is said, too: a pod that has not ended yet has no message yet.
    async fn named_with(&mut self, what: &str, cause: &str, words: &str) -> Result<String> {
        let (began, mut before) = (Instant::now(), Vec::new());
        let fix = until(&format!("named {cause}: {what}"), LIMIT, async || {
            self.home.alive()?;
            let report = report(self.home)?;
            let (fix, causes) = (report.fix_of(cause), report.causes());
            if causes == [cause] && fix.is_some_and(|fix| fix.contains(words)) {
                return Ok(Look::Done(fix.unwrap_or_default().to_owned()));
            }
            before.extend(causes);
            before.dedup();
            Ok(Look::NotYet(report.failed()))
        })
        .await?;
        let seconds = began.elapsed().as_secs_f32();
        let before = if before.is_empty() { String::new() } else { format!(", before that {}", before.join(", ")) };
        self.said.push(format!("{what}: {cause} after {seconds:.0} s{before}"));
        Ok(fix)
    }

    /// Runs a cure as an operator does, on the node or at home, with their own values in the place of these words.
    fn cure(&self, fix: &str, values: &[(&str, &str)]) -> Result<()> {
        let on_node = fix.strip_prefix("on ").and_then(|rest| rest.split_once(": ")).map_or(fix, |(_, command)| command);
        let command = values.iter().fold(on_node.to_owned(), |command, (word, value)| command.replace(word, value));
        let output = shell(self.home, &command)?;
        ensure!(output.status.success(), "the cure failed: {command}\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Waits until doctor finds nothing wrong any more.
    async fn cured(&mut self) -> Result<()> {
        let began = Instant::now();
        until("well", LIMIT, async || {
            self.home.alive()?;
            let report = report(self.home)?;
            Ok(if report.is_ok() { Look::Done(()) } else { Look::NotYet(report.failed()) })
        })
        .await?;
        if let Some(said) = self.said.last_mut() {
            *said = format!("{said}, well {:.0} s after the cure", began.elapsed().as_secs_f32());
        }
        Ok(())
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.home.world.cluster.kubectl(words)
    }

    fn patch(&self, namespace: &str, object: &str, change: &str) -> Result<()> {
        self.kubectl(&["-n", namespace, "patch", object, "--type=merge", "-p", change]).map(drop)
    }

    /// One line for each home.
    fn told(self) -> String {
        format!("{} homes\n               {}", self.said.len(), self.said.join("\n               "))
    }
}

fn doctor(home: &Home, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("guardctl"));
    command.arg("doctor").args(words).env("KUBECONFIG", &home.world.cluster.kubeconfig);
    Ok(command)
}

/// The report on the cluster. From outside there is nothing to see: the edge of these stories is not Cloudflare's.
fn report(home: &Home) -> Result<Report> {
    Report::of(doctor(home, &["--cluster"])?)
}

/// The node's fstab.
fn fstab(home: &Home) -> PathBuf {
    home.dir.join("fstab")
}

fn shell(home: &Home, command: &str) -> Result<Output> {
    let bin = home.world.cluster.bin.display();
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("{SHELL}{FLUX}PATH={bin}:$PATH\n{command}")]);
    Ok(bash.env("KUBECONFIG", &home.world.cluster.kubeconfig).env("FSTAB", fstab(home)).output()?)
}

/// A home that is well says so in one line. A cluster and a network that do not answer are told in time.
pub(super) async fn healthy(home: &mut Home) -> Result<String> {
    let mut broken = Broken::new(home);
    broken.cured().await?;
    let began = Instant::now();
    let output = doctor(home, &["--cluster", "-o", "short"])?.output()?;
    let took = began.elapsed();
    let text = String::from_utf8(output.stdout)?;
    let [way, said] = text.lines().collect::<Vec<_>>()[..] else { bail!("wanted the way and one line, found:\n{text}") };
    ensure!(output.status.success() && !way.contains('✗'), "{text}");

    // Packets to nobody: neither a refusal nor an answer comes. Nor does one of the names' servers, which are the internet's.
    let config = std::fs::read_to_string(&home.world.cluster.kubeconfig)?;
    let port = home.world.cluster.port()?;
    let away = home.dir.join("away.kubeconfig");
    let nobody = config.replace(&format!("127.0.0.1:{port}"), &format!("198.51.100.99:{port}"));
    ensure!(nobody != config, "the kubeconfig does not name 127.0.0.1:{port}");
    std::fs::write(&away, nobody)?;
    let began = Instant::now();
    let output = doctor(home, &["--host", crate::node::SITE])?.env("KUBECONFIG", &away).output()?;
    let blind = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(3) && blind < BLIND, "after {blind:?}, wanted exit code 3 within {BLIND:?}: {text}");
    ensure!(text.contains("Root cause: GD-K8S-01"), "{text}");
    Ok(format!("{:.1} s: {said}; nothing reachable: exit code 3 after {:.1} s", took.as_secs_f32(), blind.as_secs_f32()))
}
