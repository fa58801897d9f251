//! The command line of `guardctl`, as clap reads it. Called as `kubectl-guard`, it is the kubectl plugin `kubectl guard`.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{cloudflare, dashboard, doctor, dump, image, init, lint, oidc, scan, shell};

/// The name under which kubectl starts the program for `kubectl guard`.
pub const PLUGIN: &str = "kubectl-guard";

/// Set up and check a home with Immich behind guard: its state, its manifests, its configuration, and its account at Cloudflare
#[derive(Parser)]
#[command(name = "guardctl", version, propagate_version = true)]
#[command(after_help = "Examples:
  guardctl init                                          # a home from a clean clone
  guardctl doctor                                        # what is wrong with this home?
  guardctl doctor --edge --host photos.example.com       # is it gated, seen from outside?
  guardctl lint clusters/home.local                      # before you push
  guardctl scan                                          # nothing private in Git?
  kubectl guard doctor                                   # the same program as a kubectl plugin")]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `guardctl`.
#[derive(Subcommand)]
pub enum Command {
    /// Set Cloudflare up for this home, and find holes in what is there
    ///
    /// Exit codes: 0 nothing to change or nothing wrong, 1 something is in the way or wrong, 2 wrong usage, 3 Cloudflare could not be asked, 4 plan has
    /// changes. How to make the API token, and what each step does: docs/cloudflare.md.
    Cloudflare(Box<cloudflare::CloudflareArgs>),
    /// Print the completions of guardctl, or of guard, for a shell
    Completions(shell::CompletionsArgs),
    /// Write the Grafana dashboard of the component monitoring
    Dashboard(dashboard::DashboardArgs),
    /// Say what is wrong with a home, and how to cure it; it only reads
    ///
    /// The first line is the path from a phone to the NAS, then the root cause. Exit codes: 0 nothing failed, 1 something failed, 2 wrong usage,
    /// 3 nothing could be looked at.
    Doctor(Box<doctor::DoctorArgs>),
    /// Look at a dump of another Immich's database, and bring it here (docs/migrate.md)
    Dump(dump::DumpArgs),
    /// Bring guard's image to the node, and write its name and digest into the overlay
    Image(image::ImageArgs),
    /// Make a home: the overlay, the Secrets, the sentinel on the NAS; then apply it
    ///
    /// Asks for at most eight values, each with what was found out as its default. Nothing is written before you agree, no value that is there is lost,
    /// and a second run goes on where the first was left. Exit codes: 0 done, 1 a step failed or was left, 2 wrong usage.
    Init(init::InitArgs),
    /// Check Kubernetes manifests against the policies of docs/policies.md
    Lint(lint::LintArgs),
    /// Write the man pages of guardctl and guard, one for each subcommand
    Man(shell::ManArgs),
    /// Write or check the configuration file for Immich's sign-in with OIDC
    Oidc(oidc::OidcArgs),
    /// Find private identifiers and secrets in the files that Git tracks or would track
    Scan(scan::ScanArgs),
}

/// The whole command line.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the arguments. `program` is the file name under which the program was started; usage lines then show what the user typed.
///
/// # Errors
/// If the arguments are wrong, or ask for help: clap's error prints either.
pub fn parse(program: &str, arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = command().bin_name(if program == PLUGIN { "kubectl guard" } else { "guardctl" });
    let words = std::iter::once(OsString::from(program)).chain(arguments.iter().cloned());
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}
