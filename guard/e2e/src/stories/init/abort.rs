//! `guardctl init` is ended right before and right after each request that writes, by SIGINT and by SIGKILL: what is there then is whole, and the run
//! that is not ended makes the same home as one that never was.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use testkit::terminal::{CTRL_C, Terminal};
use tokio::sync::oneshot::Receiver;

use super::fixture::{self, EXAMPLE_ID, Home, NAS_ID, NO_INTERNET};
use crate::World;
use crate::api_proxy::{ApiProxy, When};
use crate::process::run;
use crate::wait::{Look, until};

/// The most time for one run.
const LIMIT: Duration = Duration::from_secs(120);
/// What is printed when everything is applied, and the wait for the first start begins. Without a kubelet, it does not end.
const APPLIED: &str = "+ guardctl doctor --wait";

/// The whole story.
pub(crate) async fn at_each_write(world: &mut World) -> Result<String> {
    fixture::clean_clone(world).await?;
    let proxy = ApiProxy::start(world.cluster.client.clone(), &world.dir).await?;
    proxy.answer_logs(Some(&format!("{NAS_ID}\n")))?;
    let mut trial = Trial {
        answers: fixture::answers(world, "family", None)?,
        proxy,
        wanted: Home::default(),
        built: BTreeSet::new(),
        runs: 0,
    };
    let began = Instant::now();
    trial.complete(world).await?;
    trial.wanted = Home::look(world)?;
    let made = trial.proxy.take_writes()?.len();
    trial.complete(world).await?;
    let repeated = trial.proxy.take_writes()?;
    // kubectl patches what the API server completes, each time to what it is already.
    ensure!(repeated.iter().all(|it| it.starts_with("PATCH ")), "the second run wrote:\n{}", repeated.join("\n"));
    trial.proxy.let_pass(repeated)?;
    trial.apply(world)?;
    let applied = trial.proxy.take_writes()?.len();
    let mut seconds = began.elapsed();

    let mut commit = String::new();
    for signal in [Signal::INT, Signal::KILL] {
        commit = fixture::clean_clone(world).await?;
        trial.proxy.take_writes()?;
        let began = Instant::now();
        let written = trial.abort_each(world, signal, made).await?;
        ensure!(
            written == made,
            "{signal:?}: {written} requests wrote until the Job was deleted, wanted {made}, as without an abort"
        );
        trial.complete(world).await?;
        trial.is_wanted(world, signal).await?;
        for _ in 0..applied {
            for when in [When::Before, When::After] {
                let (_, at) = trial.run(world, &["--yes", "--apply"], signal, when).await?;
                let at = at.context("applying ended without a request that writes")?;
                trial.is_whole(world, &format!("{signal:?} {when:?} {at}"))?;
            }
        }
        trial.proxy.take_writes()?;
        trial.apply(world)?;
        let left = trial.proxy.take_writes()?;
        ensure!(left.is_empty(), "{signal:?}: this was left to apply:\n{}", left.join("\n"));
        seconds += began.elapsed();
    }
    world.applied(&commit).await?;
    let count = world.as_rendered().await?;
    world.cluster.kubectl(&["-n", "flux-system", "delete", "kustomization/home", "gitrepository/home"])?;
    Ok(format!(
        "{} runs in {:.0} s, {} requests that write, each with 2 signals before and after it; {count} objects in the end",
        trial.runs,
        seconds.as_secs_f32(),
        made + applied
    ))
}

/// Runs, and what they are held against.
struct Trial {
    answers: String,
    proxy: ApiProxy,
    /// The home of a run without an abort.
    wanted: Home,
    /// The overlays that kustomize has built already.
    built: BTreeSet<String>,
    runs: usize,
}

impl Trial {
    /// Ends runs at one request after the other, until the id of the NAS is known. Returns the number of these requests.
    async fn abort_each(&mut self, world: &World, signal: Signal, made: usize) -> Result<usize> {
        let mut password = None;
        let mut all = Vec::new();
        loop {
            let mut last = String::new();
            for when in [When::Before, When::After] {
                let (output, at) = self.run(world, &["--yes"], signal, when).await?;
                let at =
                    at.with_context(|| format!("{signal:?}: ended without a request that writes\n{}", super::text(&output)))?;
                ensure!(
                    output.status.code().is_none(),
                    "{signal:?} {when:?} {at}: {}, wanted an end by the signal",
                    output.status
                );
                let when = format!("{signal:?} {when:?} {at}");
                let found = self.is_whole(world, &when)?;
                ensure!(password.is_none() || found.password() == password.as_ref(), "{when}: another password");
                password = found.password().cloned().or(password);
                last = at;
            }
            all.push(last);
            // Whoever is ended right after this does not know the id: the next one starts the Job again.
            if all.last().is_some_and(|last| last.starts_with("DELETE ")) {
                let kept = self.complete(world).await?;
                ensure!(kept.contains("Secret immich/immich-postgres: kept"), "{kept}");
                ensure!(Home::look(world)?.password() == password.as_ref(), "{signal:?}: another password in the end");
                return Ok(all.len());
            }
            ensure!(all.len() < made, "{signal:?}: more requests write than without an abort:\n{}", all.join("\n"));
        }
    }

    /// A run that is not ended, and succeeds.
    async fn complete(&mut self, world: &World) -> Result<String> {
        self.runs += 1;
        let output = ended(self.command(world, &["--yes"])?, None, Signal::INT).await?.0;
        ensure!(output.status.success(), "guardctl init --yes: {}\n{}", output.status, super::text(&output));
        Ok(super::text(&output))
    }

    /// A run that is ended at its first request that writes.
    async fn run(&mut self, world: &World, flags: &[&str], signal: Signal, when: When) -> Result<(Output, Option<String>)> {
        self.runs += 1;
        let held = self.proxy.hold_next_write(when)?;
        ended(self.command(world, flags)?, Some(held), signal).await
    }

    fn command(&self, world: &World, flags: &[&str]) -> Result<std::process::Command> {
        let mut command = fixture::guardctl(world, &self.proxy.kubeconfig, None)?;
        command.args(["init", "--answers", &self.answers]).args(flags).process_group(0);
        Ok(command)
    }

    /// A run that applies the home, until all of it is applied.
    fn apply(&mut self, world: &World) -> Result<()> {
        self.runs += 1;
        let program = fixture::program("guardctl")?;
        let mut command = Terminal::command(&program.display().to_string());
        command.args(["init", "--answers", &self.answers, "--yes", "--apply"]).current_dir(&world.repo.tree);
        command.env("KUBECONFIG", &self.proxy.kubeconfig).env("PATH", fixture::search_path(world, None));
        command.env(NO_INTERNET.0, NO_INTERNET.1);
        let mut terminal = Terminal::start(command)?;
        terminal.wait_for(APPLIED)?;
        terminal.type_text(CTRL_C)?;
        let left = terminal.end()?;
        ensure!(left.status.code().is_none() && left.echoes, "Ctrl-C while it waits for the first start: {:?}", left.status);
        Ok(())
    }

    /// Fails if something is torn or doubled.
    fn is_whole(&mut self, world: &World, when: &str) -> Result<Home> {
        let found = Home::look(world)?;
        fixture::is_tidy(world, when)?;
        let unidentified = |home: &Home| {
            let files = home.files.iter().map(|(path, text)| (path.clone(), text.replace(NAS_ID, EXAMPLE_ID)));
            files.collect::<Vec<_>>()
        };
        if !found.files.is_empty() {
            ensure!(unidentified(&found) == unidentified(&self.wanted), "{when}: the overlay is not the one that was shown");
            if self.built.insert(format!("{:?}", found.files)) {
                for folder in ["", "flux"] {
                    let folder = fixture::overlay(world).join(folder);
                    run(std::process::Command::new(&world.kustomize).arg("build").arg(folder)).context(when.to_owned())?;
                }
            }
        }
        for (name, keys) in &found.secrets {
            let wanted = self.wanted.secrets.get(name).with_context(|| format!("{when}: a Secret {name}"))?;
            ensure!(keys.keys().eq(wanted.keys()), "{when}: the Secret {name} has {:?}", keys.keys());
        }
        let jobs = world.cluster.kubectl(&["get", "jobs", "-A", "-o", "name"])?;
        ensure!(jobs.lines().count() <= 1, "{when}: more than one Job\n{jobs}");
        Ok(found)
    }

    /// Fails if the home is not the one of a run without an abort, or a Job is left.
    async fn is_wanted(&self, world: &World, signal: Signal) -> Result<()> {
        let mut found = Home::look(world)?;
        // Each home has a password of its own.
        let password = self.wanted.secrets.get("immich-postgres").cloned().context("no password")?;
        let own = found.secrets.insert("immich-postgres".to_owned(), password);
        ensure!(own.is_some() && found == self.wanted, "{signal:?}: found {found:?}, wanted {:?}", self.wanted);
        until("without a Job", LIMIT, async || {
            let jobs = world.cluster.kubectl(&["get", "jobs", "-A", "-o", "name"])?;
            Ok(if jobs.is_empty() { Look::Done(()) } else { Look::NotYet(jobs) })
        })
        .await
    }
}

/// Runs a command that leads a process group to its end, or to the request that is held: then the group gets the signal.
async fn ended(
    command: std::process::Command,
    held: Option<Receiver<String>>,
    signal: Signal,
) -> Result<(Output, Option<String>)> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.kill_on_drop(true).spawn().context("guardctl init")?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).context("it has an id")?;
    let mut output = std::pin::pin!(tokio::time::timeout(LIMIT, child.wait_with_output()));
    let Some(held) = held else { return Ok((output.await??, None)) };
    tokio::select! {
        output = &mut output => Ok((output??, None)),
        at = held => {
            kill_process_group(group, signal)?;
            Ok((output.await??, Some(at?)))
        }
    }
}
