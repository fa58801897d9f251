//! Makes a home from a clean clone: finds out what can be found out, asks for the rest, writes the overlay, makes the Secrets and the sentinel on the
//! NAS, and applies. What is there is kept: the files and the cluster are its only memory, so that a run after an abort goes on.
//!
//! ```text
//! clone, cluster, this computer → find ─┐
//! --answers, questions → ask ───────────┴→ plan (files, Secrets, Job) → agreed → files → Secrets → --sops: encrypted → sentinel
//!     → doctor --pre → --from-dump: photos, database alone, restore → apply → doctor --wait
//! ```

mod answers;
mod ask;
mod cluster;
mod diff;
mod files;
mod find;
mod interrupt;
mod migrate;
mod secrets;
mod sentinel;
mod sops;
mod steps;
mod terminal;
mod value;
mod write;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Error, Result, ensure};
use clap::Args;

use answers::{Answers, Given, Token};
use cluster::Cluster;
use files::{Files, FluxPart, Values};
use find::{EXAMPLE, GuardImage, OVERLAY};
use migrate::Move;
use secrets::There;
use sops::Rules;
use terminal::{Left, Prompt, Terminal};

/// The arguments of `guardctl init`.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    after_help = "Examples:\n  guardctl init\n  guardctl init --dry-run\n  guardctl init --answers home.toml --yes --apply   # docs/init.schema.json\n  guardctl init --from-dump dump.sql.gz             # from another Immich: docs/migrate.md\n  guardctl init --sops                              # Secrets in Git, encrypted: docs/sops.md\n\n\
                        A later change: run it again, or edit the files. They are plain kustomize."
)]
pub struct InitArgs {
    /// The answers, in TOML: docs/init.schema.json. What it leaves out is asked
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing: take the answers of the file, and what was found out
    #[arg(long)]
    yes: bool,
    /// Apply the home at the end, without a question
    #[arg(long, conflicts_with = "dry_run")]
    apply: bool,
    /// With --yes: replace values of Secrets that differ
    #[arg(long, requires = "yes")]
    replace_secrets: bool,
    /// Restore the dump of another Immich before its server starts here: docs/migrate.md
    #[arg(long, value_name = "FILE")]
    from_dump: Option<PathBuf>,
    /// Encrypt the Secrets for Git as well, by the program sops: docs/sops.md. Only with Flux
    #[arg(long)]
    sops: bool,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Runs it.
pub fn run(args: &InitArgs) -> Result<ExitCode> {
    let given = args.answers.as_deref().map_or(Ok(Given::default()), Given::read)?;
    check_place()?;
    // What stands against a dump is told before the first question.
    let moving = args.from_dump.as_deref().map(Move::read).transpose()?;
    let outcome = home(args, given, moving);
    match outcome {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(Stop::Wrong(error)) => Err(error),
        Err(Stop::Failed(error)) => {
            eprintln!("guardctl init: {error:#}");
            eprintln!("what is done stays, and nothing is half-written: run {} again to go on", args.again());
            Ok(ExitCode::FAILURE)
        }
    }
}

impl InitArgs {
    /// The command that goes on where this run ended. Without the dump, it would start Immich with an empty database.
    fn again(&self) -> String {
        let dump = self.from_dump.as_ref().map(|path| format!(" --from-dump {}", sentinel::quoted(&path.display().to_string())));
        let sops = if self.sops { " --sops" } else { "" };
        format!("guardctl init{}{sops}", dump.unwrap_or_default())
    }
}

/// Why it ends.
enum Stop {
    /// Wrong answers.
    Wrong(Error),
    /// A step failed, or was left.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a run knows before it changes anything.
struct Run<'a> {
    args: &'a InitArgs,
    cluster: Cluster,
    terminal: Option<Terminal>,
    example: Files,
    image: Option<GuardImage>,
    has_flux: bool,
    there: There,
    moving: Option<Move>,
    rules: Option<Rules>,
    /// Whether the file of answers has an id of the NAS.
    is_id_given: bool,
}

/// Refuses a place where private values would be published, or which is no clone.
fn check_place() -> Result<()> {
    ensure!(
        Path::new(EXAMPLE).join("kustomization.yaml").is_file(),
        "found no {EXAMPLE} here, wanted the root of a clone of this repository"
    );
    let git = |arguments: &[&str]| {
        Command::new("git").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let is_clone = git(&["rev-parse", "--is-inside-work-tree"]).is_ok_and(|status| status.success());
    let is_ignored = |path: &str| git(&["check-ignore", "-q", path]).is_ok_and(|status| status.success());
    ensure!(
        !is_clone
            || [OVERLAY.to_owned(), format!("{OVERLAY}.new")]
                .iter()
                .all(|folder| is_ignored(&format!("{folder}/kustomization.yaml"))),
        "Git does not ignore {OVERLAY}: private values would be published; wanted /{OVERLAY}/ and /{OVERLAY}.new/ in .gitignore"
    );
    ensure!(
        Command::new("kubectl").args(["version", "--client"]).output().is_ok(),
        "found no kubectl in PATH, wanted one: https://kubernetes.io/docs/tasks/tools/"
    );
    Ok(())
}

fn home(args: &InitArgs, mut given: Given, moving: Option<Move>) -> Result<bool, Stop> {
    let cluster = Cluster::open(args.context.clone())?;
    let nodes = cluster.nodes()?;
    let (example, overlay) = (write::read(Path::new(EXAMPLE))?, write::read(Path::new(OVERLAY))?);
    let image = find::image_here(&overlay)?;
    let there = find::secrets_there(&cluster)?;
    let defaults = find::defaults(&cluster, &nodes, &overlay, &there, &mut given)?;
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    println!("cluster    {} ({}), nodes: {}", cluster.server, cluster.version, names.join(", "));
    println!("overlay    {OVERLAY}{}", if overlay.is_empty() { ": new" } else { ": is there, and is kept" });
    println!(
        "image      {}",
        image.as_ref().map_or("guard's image is not published yet: docs/image.md", |it| it.reference.as_str())
    );
    println!("time zone  {}", given.time_zone.as_ref().unwrap_or(&defaults.time_zone));
    if let Some(moving) = &moving {
        print!("\n{}", moving.about());
    }
    let mut terminal = if args.yes { None } else { Terminal::open() };
    if let Some(terminal) = &mut terminal {
        terminal.say("\nEnter takes what stands in [brackets]. Ctrl-C ends it: nothing is written before you agree.\n\n")?;
    }
    let real = find::Real { cluster: &cluster, here: find::Here::look() };
    let asked = ask::ask(&given, &defaults, &real, terminal.as_mut().map(|terminal| terminal as &mut dyn Prompt));
    let (answers, token) = asked.map_err(|error| if error.is::<Left>() { Stop::Failed(error) } else { Stop::Wrong(error) })?;
    let rules = match args.sops {
        true if answers.repository.is_none() => Err(anyhow::anyhow!(
            "--sops: found no repository, wanted the one that Flux fetches: without Flux, nobody decrypts what is in Git"
        )),
        true => sops::prepare(&given, terminal.as_mut().map(|terminal| terminal as &mut dyn Prompt)).map(Some),
        false => Ok(None),
    };
    let rules = rules.map_err(|error| if error.is::<Left>() { Stop::Failed(error) } else { Stop::Wrong(error) })?;
    let has_flux = cluster.has_flux();
    let is_id_given = given.nas_id.is_some();
    let mut run = Run { args, cluster, terminal, example, image, has_flux, there, moving, rules, is_id_given };
    Ok(run.go(&answers, token.as_ref(), &overlay)?)
}

impl Run<'_> {
    /// The values for the overlay, with this id of the NAS.
    fn values(answers: &Answers, nas_id: Option<&str>) -> Values {
        Values {
            node: answers.node.clone(),
            photos: answers.photos.clone(),
            database: answers.database.clone(),
            time_zone: answers.time_zone.clone(),
            nas_id: nas_id.unwrap_or(files::EXAMPLE_ID).to_owned(),
        }
    }

    /// What Flux is told beside the values; none if kubectl applies.
    fn flux(&self, answers: &Answers) -> Option<FluxPart> {
        let url = answers.repository.as_ref()?;
        Some(FluxPart {
            url: (find::committed_url().as_ref() != Some(url)).then(|| url.clone()),
            image: self.image.as_ref().filter(|image| image.is_private).map(|image| image.reference.clone()),
        })
    }

    /// Asks for a yes. Without a terminal, it is `otherwise`.
    fn agrees(&mut self, question: &str, otherwise: bool) -> Result<bool> {
        let Some(terminal) = &mut self.terminal else { return Ok(otherwise) };
        loop {
            let typed = terminal.line(&format!("{question} [y/N]: "))?;
            match value::yes_or_no(typed.trim()) {
                Ok(agreed) => return Ok(agreed),
                Err(wanted) => terminal.say(&format!("   ✗ {wanted}\n"))?,
            }
        }
    }

    /// What follows the answers: the plan, the agreement, the steps.
    fn go(&mut self, answers: &Answers, token: Option<&Token>, before: &Files) -> Result<bool> {
        let known = answers.nas_id.as_deref();
        // Another directory may be another NAS: its id is asked for again.
        let moved = files::read(before)?.filter(|it| it.nas_id != files::EXAMPLE_ID && it.photos != answers.photos);
        let needs_id = known.is_none() || moved.is_some();
        let flux = self.flux(answers);
        let values = Self::values(answers, known);
        let after = files::render(&self.example, before, &values, flux.as_ref())?;
        // The new directory is written together with its id: after an abort in between, the next run would take the old id for it.
        let first = match moved {
            Some(old) => {
                let values = Values { photos: old.photos, nas_id: old.nas_id, ..values };
                files::render(&self.example, before, &values, flux.as_ref())?
            }
            None => after.clone(),
        };
        let plan = secrets::plan(&self.there, answers.internet.as_ref(), token)?;
        self.show(answers, before, &after, &plan, needs_id);
        if self.args.dry_run {
            println!("\nnothing was changed");
            return Ok(true);
        }
        let is_change = *before != after
            || plan.iter().any(secrets::Step::is_change)
            || needs_id
            || self.rules.as_ref().is_some_and(Rules::is_change);
        if is_change && !self.agrees("\nWrite this?", self.args.yes)? {
            println!("nothing was changed");
            return Ok(false);
        }
        let replaces: Vec<_> = plan.iter().filter(|step| step.is_replacement()).map(secrets::Step::line).collect();
        if !replaces.is_empty()
            && !self
                .agrees(&format!("Replace what the cluster has?\n  {}\n", replaces.join("\n  ")), self.args.replace_secrets)?
        {
            println!("nothing was changed: keep the old values, or pass --replace-secrets with --yes");
            return Ok(false);
        }
        self.steps(answers, before, &first, &plan, needs_id)
    }

    /// Prints what would change.
    fn show(&self, answers: &Answers, before: &Files, after: &Files, plan: &[secrets::Step], needs_id: bool) {
        println!("\nFiles");
        let lines = diff::files(OVERLAY, &self.example, before, after);
        println!("  {}", if lines.is_empty() { "= as they are".to_owned() } else { lines.join("\n  ") });
        println!("Cluster, now");
        println!("  = the namespaces, their policy for placeholders, the account of the server: applied");
        for step in plan {
            println!("  {}", step.line());
        }
        match (needs_id, &self.image) {
            (false, _) => println!("  = the id of the NAS: {}", answers.nas_id.as_deref().unwrap_or_default()),
            (true, Some(_)) => {
                println!("  + a Job on {}: guard nas init writes the sentinel into {}, once", answers.node, answers.photos);
            }
            (true, None) => {
                println!("  ! the id of the NAS: to be asked for on {}, since there is no image for a Job", answers.node);
            }
        }
        if let Some(rules) = &self.rules {
            println!("For Git, encrypted\n  {}", rules.plan().join("\n  "));
        }
        if let Some(moving) = &self.moving {
            println!("{}", moving.plan(answers));
        }
        println!("Cluster, when it is applied");
        let folder = Self::applied(answers);
        let lines = write::staged(Path::new(OVERLAY), after, |staged| self.cluster.diff(&staged.join(folder)))
            .context("what applying would change");
        match lines {
            Ok(lines) if lines.is_empty() => println!("  = as it is"),
            Ok(lines) => println!("  {}", diff::summary(&lines).join("\n  ")),
            Err(error) => println!("  ! {error:#}"),
        }
    }

    /// The folder that is applied, below the overlay.
    fn applied(answers: &Answers) -> &'static str {
        if answers.repository.is_some() { "flux" } else { "" }
    }
}
