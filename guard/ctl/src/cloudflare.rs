//! Sets Cloudflare up for a home, and finds holes in what is there: the tunnel, the Access application with its policies, the service tokens of the
//! phones, the cache rule, and the DNS record, by Cloudflare's API.
//!
//! ```text
//! settings (TOML, flags) ─→ wanted ─┐
//! Cloudflare's API ──────→ seen ────┼─→ plan ─→ apply ─→ files for the cluster
//! the Secret immich-edge ──────────→└─→ check
//! ```

mod api;
mod apply;
mod check;
mod error;
mod files;
mod part;
mod plan;
mod report;
mod rule;
mod seen;
mod token;
mod wanted;

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use guard::config::units::read_positive_duration;

pub use check::CHECKS;

use api::Api;
use apply::Stop;
use files::Files;
use part::Part;
use plan::{Adopt, Input, Plan};
use seen::Seen;
use token::Token;
use wanted::{Settings, Wanted};

use crate::doctor::graph::Status;

/// Cloudflare could not be asked.
const BLIND: u8 = 3;
/// `plan` has changes.
const CHANGES: u8 = 4;

/// The arguments of `guardctl cloudflare`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl cloudflare plan     # what would change?
  guardctl cloudflare apply    # change it; the name becomes reachable last
  guardctl cloudflare check    # is there a way around the gate?")]
pub struct CloudflareArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what apply would change; changes nothing
    Plan(PlanArgs),
    /// Make the changes; the DNS record is the last one, and only behind a gate that was read back
    Apply(ApplyArgs),
    /// Find holes in what is there; changes nothing
    Check(CheckArgs),
}

/// What every subcommand takes.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    settings: Settings,
    /// The file with the settings [default: clusters/home.local/cloudflare.toml, if it is there]
    #[arg(long = "settings", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file with the API token, which only you can read [default: the variable `CLOUDFLARE_API_TOKEN`, else a prompt]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where secrets and values for the cluster are written
    #[arg(long, value_name = "FOLDER", default_value = wanted::FOLDER)]
    folder: PathBuf,
    /// How long one answer of Cloudflare may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = read_positive_duration)]
    timeout: Duration,
    /// Another address of the API
    #[arg(long, value_name = "URL", default_value = api::BASE, hide = true)]
    api_url: String,
    /// The milliseconds of a second between two attempts
    #[arg(long, value_name = "MS", default_value = "1000", hide = true)]
    second: u64,
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl cloudflare plan --token-file ~/cloudflare-token
  guardctl cloudflare plan --adopt application")]
struct PlanArgs {
    #[command(flatten)]
    common: Common,
    /// Take over what guardctl did not make
    #[arg(long, value_enum)]
    adopt: Vec<Adopt>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl cloudflare apply --token-file ~/cloudflare-token
  guardctl cloudflare apply --rotate ada    # a new secret for a phone")]
struct ApplyArgs {
    #[command(flatten)]
    common: Common,
    /// Take over what guardctl did not make
    #[arg(long, value_enum)]
    adopt: Vec<Adopt>,
    /// Give this phone a new secret; its old one ends at once
    #[arg(long, value_name = "PHONE")]
    rotate: Vec<String>,
    /// Do not ask before the first change
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl cloudflare check                          # compares with the Secret in the cluster
  guardctl cloudflare check --no-cluster -o json")]
struct CheckArgs {
    #[command(flatten)]
    common: Common,
    /// How to print the findings
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Show the checks that passed, too
    #[arg(short, long)]
    verbose: bool,
    /// Count warnings as failures
    #[arg(long)]
    strict: bool,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Compare with the values in this file instead of those of the Secret immich-edge
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    values: Option<PathBuf>,
    /// Do not look at the Secret immich-edge
    #[arg(long, conflicts_with_all = ["context", "values"])]
    no_cluster: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// What is wrong, and what to do.
    Table,
    /// For programs.
    Json,
}

/// Runs the subcommand.
pub fn run(args: CloudflareArgs) -> Result<ExitCode> {
    // A second one does nothing: the first counts.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.command {
            Command::Plan(args) => {
                let session = Session::start(args.common, true)?;
                session.plan(&args.adopt).await
            }
            Command::Apply(args) => {
                let session = Session::start(args.common, true)?;
                session.apply(&args.adopt, &args.rotate, args.yes).await
            }
            Command::Check(args) => check(args).await,
        }
    })
}

/// What was asked for, ready to ask Cloudflare.
struct Session {
    wanted: Wanted,
    api: Api,
    files: Files,
}

impl Session {
    fn start(common: Common, is_for_apply: bool) -> Result<Self> {
        let wanted = common.settings.with_file(common.file.as_deref())?.check(is_for_apply)?;
        let token = Token::obtain(common.token_file.as_deref())?;
        let api = Api::new(&common.api_url, token, common.timeout, Duration::from_millis(common.second))?;
        Ok(Self { wanted, api, files: Files::new(&common.folder) })
    }

    /// Reads the account. `Err` holds the exit code: what could not be read is told, all of it at once.
    async fn look(&self, parts: &[Part], everything: bool, is_strict: bool) -> Result<Seen, ExitCode> {
        let mut seen = match Seen::of(&self.api, &self.wanted.host).await {
            Ok(seen) => seen,
            Err(error) => {
                eprintln!("guardctl cloudflare: {error:#}");
                return Err(ExitCode::from(BLIND));
            }
        };
        seen.read(&self.api, &self.wanted, parts, everything).await;
        let mut failures: Vec<_> = seen.failures().map(|(_, error)| error.to_string()).collect();
        failures.dedup();
        if is_strict && !failures.is_empty() {
            for failure in failures {
                eprintln!("guardctl cloudflare: {failure}");
            }
            return Err(ExitCode::from(BLIND));
        }
        Ok(seen)
    }

    /// The parts of a plan: the certificates only where the free one does not do.
    async fn look_for_plan(&self) -> Result<Seen, ExitCode> {
        let mut seen = self.look(&seen::FOR_APPLY, false, true).await?;
        if seen.is_deep(&self.wanted.host) {
            seen.read(&self.api, &self.wanted, &[Part::Certificates], false).await;
        }
        Ok(seen)
    }

    async fn plan(&self, adopt: &[Adopt]) -> Result<ExitCode> {
        let seen = match self.look_for_plan().await {
            Ok(seen) => seen,
            Err(code) => return Ok(code),
        };
        let plan = Plan::new(&Input { wanted: &self.wanted, seen: &seen, files: &self.files, adopt });
        print!("{}", report::plan(&plan));
        Ok(match (plan.refusals.is_empty(), plan.changes.is_empty()) {
            (false, _) => ExitCode::FAILURE,
            (true, true) => ExitCode::SUCCESS,
            (true, false) => ExitCode::from(CHANGES),
        })
    }

    async fn apply(&self, adopt: &[Adopt], rotate: &[String], yes: bool) -> Result<ExitCode> {
        for phone in rotate {
            ensure!(self.wanted.phones.contains(phone), "--rotate: found {phone:?}, wanted one of the phones in the settings");
        }
        ensure!(yes || std::io::stdin().is_terminal(), "nobody can be asked here: wanted --yes, or a terminal");
        let mut seen = match self.look_for_plan().await {
            Ok(seen) => seen,
            Err(code) => return Ok(code),
        };
        for phone in rotate {
            self.files.start(phone)?;
        }
        let input = Input { wanted: &self.wanted, seen: &seen.clone(), files: &self.files, adopt };
        let plan = Plan::new(&input);
        print!("{}", report::plan(&plan));
        if !plan.refusals.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
        if !plan.changes.is_empty() && !yes && !confirmed()? {
            println!("nothing was changed");
            return Ok(ExitCode::FAILURE);
        }
        let count = match apply::apply(&self.api, &mut seen, &input).await {
            Ok(count) => count,
            Err(stop) => {
                eprintln!("guardctl cloudflare apply: {stop}");
                return Ok(match stop {
                    Stop::Call { error, .. } if error.is_blind() => ExitCode::from(BLIND),
                    _ => ExitCode::FAILURE,
                });
            }
        };
        // The record may have been there before: then nothing has asked yet.
        if let Err(open) = apply::gate(&seen, &input) {
            eprintln!("guardctl cloudflare apply: ALARM: the host name is reachable, and its gate is not closed\n{open}");
            return Ok(ExitCode::FAILURE);
        }
        if let Some(values) = apply::values(&seen, &input) {
            let is_ours = self.files.write_values(&values)?;
            if count > 0 {
                self.next_steps(is_ours);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn next_steps(&self, is_values_file_ours: bool) {
        let (values, token) = (self.files.values(), self.files.tunnel());
        let apply = "--dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -";
        println!("\nNext, on this computer:");
        if token.exists() {
            println!(
                "  kubectl -n immich-edge create secret generic cloudflared-tunnel --from-file=token={} {apply} && rm {}",
                token.display(),
                token.display()
            );
        }
        if is_values_file_ours {
            println!("  kubectl -n immich-edge create secret generic immich-edge --from-env-file={} {apply}", values.display());
        } else {
            println!(
                "  {} is not guardctl's: it was left as it is; compare ACCESS_TEAM, ACCESS_AUD and EXTERNAL_HOST yourself",
                values.display()
            );
        }
        println!("  kubectl -n immich-edge rollout restart deployment");
        for phone in &self.wanted.phones {
            let file = self.files.phone(phone);
            if file.exists() {
                println!(
                    "  {}: two headers for the app on the phone {phone} (docs/mobile.md); then delete the file",
                    file.display()
                );
            }
        }
        println!("  guardctl cloudflare check && guardctl doctor");
    }
}

/// Asks on the terminal.
fn confirmed() -> Result<bool> {
    print!("Make these changes? [y/N] ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

async fn check(args: CheckArgs) -> Result<ExitCode> {
    let home = match (&args.values, args.no_cluster) {
        (Some(path), _) => Ok(read_values(&std::fs::read_to_string(path).with_context(|| path.display().to_string())?)),
        (None, true) => Err("not looked at".to_owned()),
        (None, false) => crate::doctor::edge_values(args.context.clone()).await.map_err(|error| {
            format!("the Secret immich-edge could not be read: {error:#}; with --values FILE or --no-cluster it is not needed")
        }),
    };
    let session = Session::start(args.common, false)?;
    let parts: Vec<_> = seen::FOR_APPLY.into_iter().chain(seen::FOR_CHECK).collect();
    let seen = match session.look(&parts, true, false).await {
        Ok(seen) => seen,
        Err(code) => return Ok(code),
    };
    let is_blind_at_home = home.is_err() && !args.no_cluster;
    let facts = check::Facts { wanted: &session.wanted, seen: &seen, home, now: SystemTime::now() };
    let findings = check::run(&facts);
    match args.output {
        Output::Table => print!("{}", report::table(&findings, args.verbose)),
        Output::Json => println!("{}", report::json(&session.wanted.host, &findings)),
    }
    let has = |status: Status| findings.iter().any(|finding| finding.status == status);
    Ok(if has(Status::Fail) || (args.strict && has(Status::Warn)) {
        ExitCode::FAILURE
    } else if seen.failures().next().is_some() || is_blind_at_home {
        ExitCode::from(BLIND)
    } else {
        ExitCode::SUCCESS
    })
}

/// `KEY=value` lines, as `kubectl --from-env-file` reads them.
fn read_values(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(pair).collect()
}
