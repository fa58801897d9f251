//! The gate: Immich never starts, and never writes, on the wrong disk.
//!
//! A mountpoint without its mount is an ordinary directory, and nothing in Kubernetes notices. So the proof is made inside the mount
//! namespace of the process that will write, after its bind was made, by the process that then becomes it ([`exec`]): a private bind
//! pins what was proved. Two stages: [`mountinfo`] alone says what is mounted and cannot hang; [`probe`] touches the file system from
//! one child process, with a deadline for each step, because a hung NAS blocks whoever touches it.
//!
//! No tokio here: the gate must be able to end while a system call does not.

pub mod config;
pub mod exec;
pub mod http;
pub mod init;
pub mod install;
pub mod mountinfo;
pub mod probe;
pub mod report;
pub mod sentinel;
pub mod step;
pub mod wait;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use config::{Gate, NasArgs};
use mountinfo::{Mount, MountTable};
use probe::Prober;
use report::{Reporter, Verdict};
use sentinel::Sentinel;
use step::Task;

/// Why the path may not be written to. The numbers are exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Code {
    /// The path is not there.
    Missing = 40,
    /// Not mounted: the node's own disk, or another kind of file system.
    NotMounted = 41,
    /// Mounted from elsewhere.
    WrongSource = 42,
    /// No sentinel.
    SentinelMissing = 43,
    /// The sentinel of another NAS.
    SentinelOther = 44,
    /// Read-only.
    ReadOnly = 45,
    /// Too little space.
    NoSpace = 46,
    /// This user may not write.
    NotWritable = 47,
    /// A step did not end in time.
    Hung = 48,
    /// The mount is dead.
    Stale = 49,
    /// Any other error.
    Io = 50,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::NotMounted,
        Self::WrongSource,
        Self::SentinelMissing,
        Self::SentinelOther,
        Self::ReadOnly,
        Self::NoSpace,
        Self::NotWritable,
        Self::Hung,
        Self::Stale,
        Self::Io,
    ];

    /// The exit code.
    pub const fn exit(self) -> u8 {
        self as u8
    }

    /// The name in messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "NAS_MISSING",
            Self::NotMounted => "NAS_NOT_MOUNTED",
            Self::WrongSource => "NAS_WRONG_SOURCE",
            Self::SentinelMissing => "NAS_SENTINEL_MISSING",
            Self::SentinelOther => "NAS_SENTINEL_OTHER",
            Self::ReadOnly => "NAS_READ_ONLY",
            Self::NoSpace => "NAS_NO_SPACE",
            Self::NotWritable => "NAS_NOT_WRITABLE",
            Self::Hung => "NAS_HUNG",
            Self::Stale => "NAS_STALE",
            Self::Io => "NAS_IO",
        }
    }

    /// Its place in troubleshooting.md.
    pub fn anchor(self) -> String {
        self.label().to_lowercase().replace('_', "-")
    }

    /// Whether only a new mount, or a new container, can heal it. A hang, a full or a read-only disk may heal under the running process,
    /// and killing it for them would turn a NAS's reboot into a storm of restarts.
    pub const fn is_definite(self) -> bool {
        matches!(
            self,
            Self::Missing | Self::NotMounted | Self::WrongSource | Self::SentinelMissing | Self::SentinelOther | Self::Stale
        )
    }
}

/// What is wrong: the code, what was found and what is wanted, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// The code.
    pub code: Code,
    /// What was found, and what is wanted.
    pub found: String,
    /// What to do, with the command where there is one.
    pub fix: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: Code, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, found: found.into(), fix: fix.into() }
    }
}

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
    /// Prove once that the path is on the NAS and can be written to
    Check,
    /// Prove, and wait for it to come
    Wait,
    /// Wait, prove, then become COMMAND in the same mount namespace
    Exec {
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Look without writing: for readiness, and with --definite for liveness
    Probe {
        /// Fail only on what a running process cannot recover from (40-44, 49)
        #[arg(long)]
        definite: bool,
        /// Then ask this URL, too: anything but 2xx within the time of a step is exit 1
        #[arg(long, value_name = "URL")]
        http: Option<http::Question>,
    },
    /// Write the sentinel once, on the real NAS, and print its id
    Init {
        /// Overwrite the sentinel of another id
        #[arg(long)]
        force: bool,
        /// What a person calls this share
        #[arg(long, default_value = "photos")]
        label: String,
    },
    /// Copy this binary for the container that will exec it
    Install {
        /// Where to
        #[arg(long, value_name = "FILE")]
        to: std::path::PathBuf,
        /// Prove first, waiting as --wait says
        #[arg(long)]
        check: bool,
    },
    /// One look at the file system, in a process that may hang (guard starts it itself)
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
    let gate = match cli.args.check(default_wait) {
        Ok(gate) => gate,
        Err(problems) => {
            eprintln!("guard nas: {problems}");
            return ExitCode::from(2);
        }
    };
    let mut reporter = Reporter::new(&gate);
    match &cli.command {
        NasCommand::Check | NasCommand::Wait => {
            let verdict = wait::until_proved(&gate, &mut reporter);
            reporter.exit(&verdict)
        }
        NasCommand::Exec { command } => exec::run(&gate, &mut reporter, command),
        NasCommand::Probe { definite, http } => {
            let verdict = prove(&gate, &mut Prober::default(), &mut reporter, false);
            let tolerated = *definite && verdict.failure.as_ref().is_some_and(|failure| !failure.code.is_definite());
            let code = reporter.exit(&verdict);
            if verdict.failure.is_some() && !tolerated {
                return code;
            }
            match http.as_ref().map(|question| question.ask(gate.step_timeout)) {
                None | Some(Ok(_)) => ExitCode::SUCCESS,
                Some(Err(found)) => {
                    eprintln!("{}", serde_json::json!({"event": "nas_probe_http", "level": "error", "message": found}));
                    ExitCode::FAILURE
                }
            }
        }
        NasCommand::Init { force, label } => init::run(&gate, &mut reporter, *force, label),
        NasCommand::Install { to, check } => install::run(&gate, &mut reporter, to, *check),
        NasCommand::Step { .. } => ExitCode::from(2),
    }
}

/// Both stages, once. `write`: prove by writing, too.
pub fn prove(gate: &Gate, prober: &mut Prober, reporter: &mut Reporter, write: bool) -> Verdict {
    look(gate, prober, reporter, |mount| Task::Look {
        path: gate.path.clone(),
        mount_id: mount.id,
        id: gate.id.clone(),
        min_free: gate.min_free,
        write,
    })
    .0
}

/// Stage 1, then the task that it leads to, and what the child found.
fn look(gate: &Gate, prober: &mut Prober, reporter: &mut Reporter, task: impl Fn(&Mount) -> Task) -> (Verdict, Option<Sentinel>) {
    let mut seen = None;
    let outcome =
        judge(gate, prober, reporter, &mut seen).and_then(|mount| prober.run(&task(&mount), gate.step_timeout, reporter));
    let (found, failure) = match outcome {
        Ok(found) => (found, None),
        Err(failure) => (None, Some(failure)),
    };
    (Verdict { mount: seen, failure }, found)
}

/// Stage 1: what is mounted at the path, by the kernel's table alone. An automount point is triggered, in the child, and read again.
fn judge(gate: &Gate, prober: &mut Prober, reporter: &mut Reporter, seen: &mut Option<Mount>) -> Result<Mount, Failure> {
    let exists = Task::Exists { path: gate.path.clone() };
    let (mut table, mut mount) = read_table(gate)?;
    *seen = Some(mount.clone());
    if mount.fstype == "autofs" {
        // An automount whose daemon is gone says that nothing is there: then the table still says autofs, which is the better answer.
        if let Err(failure) = prober.run(&exists, gate.step_timeout, reporter)
            && failure.code != Code::Missing
        {
            return Err(failure);
        }
        (table, mount) = read_table(gate)?;
        *seen = Some(mount.clone());
    }
    let Err(failure) = gate.judge(&table, &mount) else { return Ok(mount) };
    // A path that is not there lies on whatever its parent lies on: say that it is missing, not that it is not mounted.
    if failure.code == Code::NotMounted
        && mount.mount_point != gate.path
        && let Err(missing) = prober.run(&exists, gate.step_timeout, reporter)
        && missing.code == Code::Missing
    {
        return Err(missing);
    }
    Err(failure)
}

fn read_table(gate: &Gate) -> Result<(MountTable, Mount), Failure> {
    let table = MountTable::read().map_err(|error| {
        Failure::new(Code::Io, format!("/proc/self/mountinfo cannot be read: {error}"), "run guard where /proc is mounted")
    })?;
    let mount = table.covering(&gate.path).cloned().ok_or_else(|| {
        let found = format!("{} is in no mount of this namespace", gate.path);
        Failure::new(Code::Missing, found, "check GUARD_NAS_PATH and the volume's mountPath")
    })?;
    Ok((table, mount))
}
