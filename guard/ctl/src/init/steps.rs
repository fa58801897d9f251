//! The steps of a run, in their order. Each can be done twice; what one of them has done is not undone by the next.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Run;
use super::answers::Answers;
use super::files::{self, Files};
use super::find::OVERLAY;
use super::secrets::Step;
use super::terminal::Prompt as _;
use super::{sentinel, value, write};

/// How long the first start may take: gigabytes of images, and a database to make.
const FIRST_START: &str = "30m";
/// The checks of a home that is in the LAN only.
const LAN_CHECKS: &str = "k8s,nas,db,app,lan,GD-SECRET-01,GD-POD-02,GD-POD-03";

impl Run<'_> {
    /// All steps. `false` if one is left to the operator, or a check fails.
    pub(super) fn steps(
        &mut self,
        answers: &Answers,
        before: &Files,
        after: &Files,
        plan: &[Step],
        needs_id: bool,
    ) -> Result<bool> {
        println!();
        write::write(Path::new(OVERLAY), before, after)?;
        println!("✓ files: {OVERLAY}");
        let changed = self.cluster.apply_first()?;
        println!("✓ namespaces, policy, account{}", if changed.is_empty() { ": as they were" } else { "" });
        for step in plan {
            self.cluster.run(async |client| step.apply(client).await)?;
            println!("✓ {}", step.line().trim_start_matches(['=', '+', '~', ' ']));
        }
        if plan.iter().any(Step::is_replacement) {
            println!("  a pod reads it when it starts: kubectl -n immich-edge rollout restart deployment");
        }
        self.encrypt()?;
        if needs_id && !self.identify(answers, after)? {
            return Ok(false);
        }
        if !doctor(&["--pre", "--overlay", OVERLAY], self.args.context.as_deref())? {
            println!("\nNot applied: do what is printed above, then run {} again.", self.args.again());
            return Ok(false);
        }
        if !self.migrate(answers)? {
            return Ok(false);
        }
        self.apply(answers)
    }

    /// Gets the id of the NAS, and puts it into the overlay.
    fn identify(&mut self, answers: &Answers, written: &Files) -> Result<bool> {
        let by_hand = sentinel::command(&answers.photos, answers.nas_source.as_deref());
        let written_by_job = match &self.image {
            None => Err(anyhow::anyhow!("guard's image is not published yet, so that no Job can run it (docs/image.md)")),
            Some(image) => {
                println!("… the NAS: a Job on {} writes the sentinel", answers.node);
                let source = answers.nas_source.as_deref();
                let place = sentinel::Place { node: &answers.node, photos: &answers.photos, source, image: &image.reference };
                self.cluster.run(async |client| sentinel::write(client, place).await)
            }
        };
        let id = match written_by_job {
            Ok(id) => id,
            Err(error) => {
                println!("✗ the NAS: {error:#}\n  On {}, this one command does the same:\n  {by_hand}", answers.node);
                let id_given = answers.nas_id.clone().filter(|_| self.is_id_given);
                let Some(terminal) = &mut self.terminal else {
                    if let Some(id) = id_given {
                        println!("  The id of the answers is taken: {id}");
                        return self.record(answers, written, &id);
                    }
                    println!("  Then put nas_id = \"ID\" into the answers, or run {} again.", self.args.again());
                    return Ok(false);
                };
                loop {
                    let typed = terminal.line("  The id that it printed (Enter: later): ")?;
                    match value::short(typed.trim()).and_then(value::nas_id) {
                        _ if typed.trim().is_empty() => return Ok(false),
                        Ok(id) => break id,
                        Err(wanted) => terminal.say(&format!("   ✗ {wanted}\n"))?,
                    }
                }
            }
        };
        if let Some(known) = answers.nas_id.as_deref().filter(|known| *known != id) {
            let question =
                format!("{} is the NAS {id}, and the overlay has {known}. Is it meant to be another one?", answers.photos);
            if !self.agrees(&question, false)? {
                bail!("{} is another NAS than the overlay's: mount the right one, or give its id as nas_id", answers.photos);
            }
        }
        self.record(answers, written, &id)
    }

    /// Puts the id into the overlay.
    fn record(&self, answers: &Answers, written: &Files, id: &str) -> Result<bool> {
        let flux = self.flux(answers);
        let files = files::render(&self.example, written, &Self::values(answers, Some(id)), flux.as_ref())?;
        write::write(Path::new(OVERLAY), written, &files)?;
        println!("✓ the NAS: {id}");
        Ok(true)
    }

    /// Applies the home, if that is wanted, and waits until it is well.
    fn apply(&mut self, answers: &Answers) -> Result<bool> {
        let mut folder = PathBuf::from(OVERLAY);
        folder.extend(answers.repository.is_some().then_some("flux"));
        let command = format!("kubectl apply -k {}", folder.display());
        if answers.repository.is_some() && !self.has_flux {
            println!(
                "\nFlux is not in the cluster. Next:\n  flux install --components=source-controller,kustomize-controller\n  {}",
                self.args.again()
            );
            return Ok(true);
        }
        if answers.repository.as_ref().is_some_and(|url| url.starts_with("ssh://")) {
            println!(
                "\nOnce, for the key of the repository: flux create secret git home-git --url={}",
                answers.repository.as_deref().unwrap_or_default()
            );
        }
        let scope: &[&str] = if answers.internet.is_some() { &[] } else { &["--cluster", "--only", LAN_CHECKS] };
        let wait = [&["--wait", FIRST_START], scope].concat();
        let doctor_waits = format!("guardctl doctor {}", wait.join(" "));
        if !self.args.apply && !self.agrees(&format!("\nApply it now ({command})?"), false)? {
            println!("\nNext:\n  {command}\n  {doctor_waits}");
            return Ok(true);
        }
        println!("+ {command}");
        self.cluster.apply(&folder)?;
        println!("+ {doctor_waits}");
        doctor(&wait, self.args.context.as_deref())
    }
}

/// Runs `guardctl doctor`, and says whether nothing failed.
fn doctor(arguments: &[&str], context: Option<&str>) -> Result<bool> {
    println!();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("doctor").args(arguments).args(context.map(|context| format!("--context={context}")));
    Ok(command.status().context("guardctl doctor")?.success())
}
