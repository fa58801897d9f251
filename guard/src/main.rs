//! The command line of `guard`: reads flags and variables, checks the configuration, runs the subcommand. Exit codes: 0 fine, 1 failed at run time, 2 wrong usage or configuration.

use std::process::ExitCode;

use clap::Parser as _;
use guard::cli::{self, Cli, Command};
use guard::config::secret_keys;
use guard::config::{LogConfig, OriginArgs, Problems};
use guard::idtoken;
use guard::idtoken::config::IdtokenArgs;
use guard::nas;
use guard::origin;
use guard::telemetry::log::Log;
use tokio::signal::unix::{SignalKind, signal};

const ORIGIN: &str = "guard origin";
const IDTOKEN: &str = "guard idtoken";

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Origin(args) => run_origin(&args),
        Command::Nas(cli) => nas::run(&cli),
        Command::Idtoken(args) => run_idtoken(&args),
    }
}

fn run_origin(args: &OriginArgs) -> ExitCode {
    if let Err(problem) = check_secret_keys() {
        eprintln!("{ORIGIN}: {problem}");
        return ExitCode::from(2);
    }
    let config = match args.check() {
        Ok(config) => config,
        Err(problems) => return misconfigured(ORIGIN, &problems),
    };
    serving(ORIGIN, &config.process.log, || {
        let door = origin::start::start(&config)?;
        wait_for_stop(|| door.stop())?;
        door.join();
        Ok(())
    })
}

fn run_idtoken(args: &IdtokenArgs) -> ExitCode {
    let config = match args.check() {
        Ok(config) => config,
        Err(problems) => return misconfigured(IDTOKEN, &problems),
    };
    serving(IDTOKEN, &config.process.log, || {
        let egress_proxy = idtoken::start::start(&config)?;
        wait_for_stop(|| egress_proxy.stop())?;
        egress_proxy.join();
        Ok(())
    })
}

fn misconfigured(name: &str, problems: &Problems) -> ExitCode {
    eprintln!("{name}: {problems}");
    ExitCode::from(2)
}

/// Runs a serving process: installs the log, serves, flushes the log.
fn serving(name: &'static str, log: &LogConfig, serve: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    let log = Log::install(log.filter.clone(), log.format);
    warn_of_unknown_variables();
    raise_file_limit();
    let code = match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error, process = name, "fatal error");
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    };
    log.flush();
    code
}

/// Warns of variables that guard does not read: a misspelt one could be a limit that is not in force.
fn warn_of_unknown_variables() {
    let known = known_variables();
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let is_unknown = name.starts_with("GUARD_") && !known.iter().any(|known| *known == name);
        if is_unknown && !name.starts_with(secret_keys::PREFIX) {
            tracing::warn!(variable = %name, "unknown variable: check its spelling");
        }
    }
}

/// Every variable that a subcommand reads.
fn known_variables() -> Vec<String> {
    let command = cli::command();
    let names = command.get_subcommands().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_env);
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Checks the keys of the pod's Secret.
fn check_secret_keys() -> Result<(), String> {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let known = known_variables();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    secret_keys::check(names.iter().map(String::as_str), &known)
}

/// Raises the limit of open files to its maximum: each connection needs two sockets, and the usual limit is 1024.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::warn!(error = %error, "limit of open files not raised");
    }
}

/// Waits for SIGTERM or SIGINT and starts the drain. A second signal ends the process at once.
fn wait_for_stop(stop_serving: impl FnOnce()) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The streams are kept for the second signal: new ones could miss a signal that comes before they listen.
    let (mut terminate, mut interrupt) = runtime
        .block_on(async { Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) })?;
    let mut stop = async move || tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} };
    runtime.block_on(stop());
    stop_serving();
    std::thread::spawn(move || {
        runtime.block_on(stop());
        std::process::exit(1);
    });
    Ok(())
}
