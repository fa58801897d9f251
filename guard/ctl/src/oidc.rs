//! Immich's own sign-in by OIDC: answers enter, the configuration file leaves that the Secret `immich-oidc` holds; or such a
//! file enters, and what is wrong with it leaves, before Immich would refuse to start.
//!
//! Immich has no variables for OIDC, only that file (immich-app/immich #12226, #31349). What it does not name stays at Immich's defaults.

pub mod answers;
pub mod check;
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

/// The largest file that is read, in bytes: a Secret of Kubernetes holds no more.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// What `guardctl oidc` takes.
#[derive(Args)]
pub struct OidcArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write immich.yaml for the Secret immich-oidc
    Render(Box<RenderArgs>),
    /// Hold an immich.yaml, or .json, against the keys and types of Immich v3
    Check {
        /// The file; - for standard input
        file: PathBuf,
    },
}

#[derive(Args)]
struct RenderArgs {
    #[command(flatten)]
    answers: Answers,

    /// The file with the client secret; - for standard input
    #[arg(long, value_name = "FILE")]
    client_secret_file: PathBuf,

    /// Settings to begin with, as Immich exports them (YAML or JSON): with a file, those of its admin page no longer count
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,

    /// Where to write it, readable by its owner only [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Does what the arguments say. `Ok(false)`: something is wrong with the answers, or with the file.
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
    // The same judge as for a file that somebody wrote by hand.
    let mut findings = args.answers.problems();
    findings.extend(check::value(&config));
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        eprintln!("nothing was written");
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
        // A file that was there keeps the mode that it had. A device or a pipe keeps its own: it is not ours.
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
    read.with_context(|| format!("{place}: wanted text in UTF-8"))?;
    anyhow::ensure!(text.len() as u64 <= MAX_BYTES, "{place}: larger than {MAX_BYTES} bytes, and a Secret holds no more");
    Ok(text)
}
