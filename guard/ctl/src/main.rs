//! Flags to a subcommand. Exit codes: 0 fine, 1 findings, 2 wrong usage or input that cannot be read.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use guardctl::{lint, oidc, scan};

/// The operator's tool beside guard.
#[derive(Parser)]
#[command(name = "guardctl", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hold Kubernetes manifests against the policies of docs/policies.md
    Lint(lint::LintArgs),
    /// Immich's own sign-in: make its configuration file, or check one
    Oidc(oidc::OidcArgs),
    /// Look for private identifiers and secrets in what Git tracks, or would
    Scan(scan::ScanArgs),
}

fn main() -> ExitCode {
    let (name, outcome) = match Cli::parse().command {
        Command::Lint(args) => ("lint", lint::run(&args)),
        Command::Oidc(args) => ("oidc", oidc::run(&args)),
        Command::Scan(args) => ("scan", scan::run(&args)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guardctl {name}: {error:#}");
            ExitCode::from(2)
        }
    }
}
