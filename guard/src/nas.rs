//! `guard nas`: Immich never starts, and never writes, on the wrong disk.
//!
//! A mount point without its mount is an ordinary directory, and nothing in Kubernetes notices. So the check runs inside the mount
//! namespace of the process that will write, after the container's bind mount was made, in the process that then becomes the server
//! ([`exec`]): a private bind mount cannot change after the check. There are two stages ([`check`]): [`mountinfo`] reads the kernel's
//! mount table and cannot hang; [`probe`] touches the file system from one child process, with a deadline for each step, because a hung
//! NAS blocks every process that touches it.
//!
//! No tokio here: this process must be able to end while a system call does not return.

mod capabilities;
pub mod check;
pub mod config;
mod errno;
pub mod exec;
pub mod failure;
pub mod http;
pub mod init;
pub mod install;
pub mod mountinfo;
pub mod probe;
mod probe_file;
pub mod report;
pub mod sentinel;
pub mod step;
pub mod strays;
pub mod wait;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use config::{NasArgs, NasConfig};
use probe::Prober;
use report::Reporter;

/// `guard nas`.
#[derive(Args, Debug)]
pub struct NasCli {
    #[command(flatten)]
    args: NasArgs,
    #[command(subcommand)]
    command: NasCommand,
}

#[derive(Subcommand, Debug)]
enum NasCommand {
    /// Check once that the path is on the NAS and can be written to
    #[command(after_help = "Examples:
  guard nas check --path /mnt/nas/immich
  guard nas check --path /mnt/nas/immich --id ID --source 'nas.example.com:/*'")]
    Check,
    /// Check, and wait until the NAS is mounted
    #[command(after_help = "Examples:
  guard nas wait --path /mnt/nas/immich --wait 2m")]
    Wait,
    /// Wait, check, then replace this process by COMMAND, in the same mount namespace
    #[command(after_help = "Examples:
  guard nas exec --path /data -- node dist/main.js")]
    Exec {
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Check without writing: for readiness probes, and with --definite for liveness probes
    #[command(after_help = "Examples:
  guard nas probe
  guard nas probe --definite
  guard nas probe --http http://127.0.0.1:2283/api/server/ping")]
    Probe {
        /// Fail only on failures that a running process cannot recover from (exit codes 40-44 and 49)
        #[arg(long)]
        definite: bool,
        /// Then request this URL as well: exit 1 unless the response is 2xx within the time of one step
        #[arg(long, value_name = "URL")]
        http: Option<http::HttpCheck>,
    },
    /// Write the sentinel file once, on the real NAS, and print its id
    #[command(after_help = "Examples:
  guard nas init --path /mnt/nas/immich --label photos")]
    Init {
        /// Overwrite the sentinel of another id
        #[arg(long)]
        force: bool,
        /// A name of this share for people
        #[arg(long, default_value = "photos")]
        label: String,
    },
    /// Copy this binary into a volume, for the container that will run it
    #[command(after_help = "Examples:
  guard nas install --to /guard/guard --check")]
    Install {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        to: std::path::PathBuf,
        /// Check first, and wait as --wait says
        #[arg(long)]
        check: bool,
    },
    /// List files on the node's own disk below the mount point, as root on the node; it only reads
    #[command(after_help = "Examples:
  sudo guard nas strays --path /mnt/nas/immich")]
    Strays,
    /// One check of the file system, in a process that may hang (guard starts it itself)
    #[command(hide = true)]
    Step {
        /// A task as JSON
        task: String,
    },
}

/// Runs `guard nas`.
pub fn run(cli: &NasCli) -> ExitCode {
    if let NasCommand::Step { task } = &cli.command {
        return step::run(task);
    }
    let default_wait = match cli.command {
        NasCommand::Wait | NasCommand::Exec { .. } => config::DEFAULT_WAIT,
        _ => std::time::Duration::ZERO,
    };
    let config = match cli.args.check(default_wait) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("guard nas: {problems}");
            return ExitCode::from(2);
        }
    };
    let mut reporter = Reporter::new(&config);
    match &cli.command {
        NasCommand::Check | NasCommand::Wait => {
            let result = wait::until_ok(&config, &mut reporter);
            reporter.exit(&result)
        }
        NasCommand::Exec { command } => exec::run(&config, &mut reporter, command),
        NasCommand::Probe { definite, http } => {
            let result = check::check(&config, &mut Prober::default(), &mut reporter, false);
            let tolerated = *definite && result.failure.as_ref().is_some_and(|failure| !failure.code.is_definite());
            if result.failure.is_some() && !tolerated {
                return reporter.exit(&result);
            }
            match http.as_ref().map(|check| check.run(config.step_timeout)) {
                None | Some(Ok(_)) => {
                    reporter.report(&result);
                    ExitCode::SUCCESS
                }
                Some(Err(found)) => {
                    // First, and where the NAS is well also alone: an event of the kubelet shows one line.
                    eprintln!("{}", serde_json::json!({"event": "nas_probe_http", "level": "error", "message": found}));
                    if result.failure.is_some() {
                        reporter.report(&result);
                    }
                    ExitCode::FAILURE
                }
            }
        }
        NasCommand::Init { force, label } => {
            init::run(&NasConfig { needs_id: false, ..config.clone() }, &mut reporter, *force, label)
        }
        NasCommand::Strays => strays::run(&config, &mut reporter),
        NasCommand::Install { to, check } => install::run(&config, &mut reporter, to, *check),
        NasCommand::Step { .. } => ExitCode::from(2),
    }
}
