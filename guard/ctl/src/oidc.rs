//! Writes Immich's configuration file for sign-in with OIDC, which the Secret `immich-oidc` holds, or checks such a file before Immich
//! would refuse to start.
//!
//! Immich has no variables for OIDC, only this file (immich-app/immich #12226, #31349). Settings that it does not contain keep the defaults
//! of Immich.

pub mod answers;
pub mod check;
pub mod js_yaml;
pub mod render;
pub mod schema;

use std::fs::{OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::severity::Severity;
use answers::Answers;

/// The maximum size of an input file in bytes. It is also the maximum size of a Kubernetes Secret.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The arguments of `guardctl oidc`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl oidc render --help
  guardctl oidc check immich.yaml")]
pub struct OidcArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the configuration file immich.yaml for the Secret immich-oidc
    #[command(after_help = "Examples:
  guardctl oidc render --external-url https://photos.example.com --client-id immich \\
    --issuer https://auth.example.com/application/o/immich/ \\
    --client-secret-file secret --output immich.yaml")]
    Render(Box<RenderArgs>),
    /// Check a configuration file (YAML or JSON) against the keys and types of Immich v3
    #[command(after_help = "Examples:
  guardctl oidc check immich.yaml
  kubectl -n immich get secret immich-oidc -o jsonpath='{.data.immich\\.yaml}' | base64 -d \\
    | guardctl oidc check -")]
    Check {
        /// The file to check, or - for standard input
        file: PathBuf,
    },
}

#[derive(Args)]
struct RenderArgs {
    #[command(flatten)]
    answers: Answers,

    /// The file with the client secret, or - for standard input
    #[arg(long, value_name = "FILE")]
    client_secret_file: PathBuf,

    /// A file with the exported settings of Immich (YAML or JSON), which the new file keeps. Immich ignores the settings of its
    /// admin page when it has a configuration file
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,

    /// The file to write; only its owner can read it [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs `guardctl oidc`. Returns `Ok(false)` if the arguments or the checked file have an error.
///
/// # Errors
/// If a file cannot be read or written, or is not YAML or JSON.
pub fn run(args: &OidcArgs) -> anyhow::Result<bool> {
    match &args.command {
        Command::Render(args) => render(args),
        Command::Check { file } => {
            let findings = check::text(&read(file)?).with_context(|| file.display().to_string())?;
            for finding in &findings {
                println!("{finding}");
            }
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
            println!("{}: {}, {}", file.display(), count(errors, "error"), count(findings.len() - errors, "warning"));
            Ok(errors == 0)
        }
    }
}

fn render(args: &RenderArgs) -> anyhow::Result<bool> {
    let secret = read(&args.client_secret_file)?;
    let answers = args.answers.config(secret.trim_end_matches(['\r', '\n']));
    let config = match &args.base {
        Some(path) => answers::merged(check::document(&read(path)?).with_context(|| path.display().to_string())?, answers),
        None => answers,
    };
    // The same checks as for a file that was written by hand.
    let mut findings = args.answers.problems();
    findings.extend(check::value(&config));
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        eprintln!("nothing was written: correct the errors above and run the command again");
        return Ok(false);
    }
    let text = render::yaml(&config);
    if let Some(path) = &args.output {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        // `mode` applies to a new file only. A device or a pipe keeps its mode, because guardctl did not create it.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        file.write_all(text.as_bytes()).with_context(|| format!("{}: cannot be written", path.display()))?;
    } else {
        std::io::stdout().write_all(text.as_bytes())?;
    }
    eprint!("{}", args.answers.next_steps(args.output.as_deref()));
    Ok(true)
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    let place = path.display();
    let mut reader: Box<dyn std::io::Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("{place}: cannot be read"))?)
    };
    let read = reader.by_ref().take(MAX_BYTES + 1).read_to_string(&mut text);
    read.with_context(|| format!("{place}: cannot be read, wanted text in UTF-8"))?;
    anyhow::ensure!(
        text.len() as u64 <= MAX_BYTES,
        "{place}: found more than {MAX_BYTES} bytes, wanted at most that many: a Secret cannot hold more"
    );
    Ok(text)
}
