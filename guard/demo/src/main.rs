//! The command line of `guard-demo`. Exit codes: 0 every step was as wanted, 1 a step was not or the demo failed, 2 wrong usage.

use std::process::ExitCode;

use clap::Parser;
use guard_demo::{DemoArgs, DemoError, run};

/// A tour of guard on loopback: real requests to the real guard binary.
#[derive(Parser)]
#[command(name = "guard-demo", version)]
struct Cli {
    #[command(flatten)]
    args: DemoArgs,
}

fn main() -> ExitCode {
    let Cli { args } = Cli::parse();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(DemoError::from).and_then(|runtime| runtime.block_on(run(&args)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guard-demo: {error}");
            ExitCode::from(if matches!(error, DemoError::Arguments(_)) { 2 } else { 1 })
        }
    }
}

/// Raises the limit of open files to its maximum: a thousand WebSockets need it.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    // The tour opens fewer WebSockets where the limit stays low.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
}
