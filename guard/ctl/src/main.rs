//! Parses the arguments and runs a subcommand. Exit codes: 0 success, 1 findings, 2 wrong usage or input that cannot be read.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use guardctl::{cloudflare, doctor, dump, image, lint, oidc, scan};

/// Set up and check a home with Immich behind guard: its state, its manifests, its configuration, and its account at Cloudflare
#[derive(Parser)]
#[command(name = "guardctl", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Cloudflare(Box<cloudflare::CloudflareArgs>),
    Doctor(doctor::DoctorArgs),
    Dump(dump::DumpArgs),
    Image(image::ImageArgs),
    /// Check Kubernetes manifests against the policies of docs/policies.md
    Lint(lint::LintArgs),
    /// Write or check the configuration file for Immich's sign-in with OIDC
    Oidc(oidc::OidcArgs),
    /// Find private identifiers and secrets in the files that Git tracks or would track
    Scan(scan::ScanArgs),
}

fn main() -> ExitCode {
    let (name, outcome) = match Cli::parse().command {
        Command::Cloudflare(args) => match cloudflare::run(*args) {
            Ok(code) => return code,
            Err(error) => ("cloudflare", Err(error)),
        },
        Command::Doctor(args) => match doctor::run(&args) {
            Ok(code) => return code,
            Err(error) => ("doctor", Err(error)),
        },
        Command::Dump(args) => ("dump", dump::run(&args)),
        Command::Image(args) => ("image", image::run(args)),
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
