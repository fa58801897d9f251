//! Parses the arguments and runs a subcommand. Exit codes: 0 success, 1 findings, 2 wrong usage or input that cannot be read.

use std::path::Path;
use std::process::ExitCode;

use guardctl::cli::{self, Command};
use guardctl::{cloudflare, dashboard, doctor, dump, image, init, lint, oidc, scan, shell};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments: Vec<_> = arguments.collect();
    if program == shell::KUBECTL_COMPLETE {
        return shell::complete_for_kubectl(&arguments);
    }
    let cli = cli::parse(&program, &arguments).unwrap_or_else(|error| error.exit());
    let (name, outcome) = match cli.command {
        Command::Cloudflare(args) => match cloudflare::run(*args) {
            Ok(code) => return code,
            Err(error) => ("cloudflare", Err(error)),
        },
        Command::Doctor(args) => match doctor::run(&args) {
            Ok(code) => return code,
            Err(error) => ("doctor", Err(error)),
        },
        Command::Completions(args) => ("completions", shell::completions(&args)),
        Command::Dashboard(args) => ("dashboard", dashboard::run(&args)),
        Command::Dump(args) => ("dump", dump::run(&args)),
        Command::Image(args) => ("image", image::run(args)),
        Command::Init(args) => match init::run(&args) {
            Ok(code) => return code,
            Err(error) => ("init", Err(error)),
        },
        Command::Lint(args) => ("lint", lint::run(&args)),
        Command::Man(args) => ("man", shell::man(&args)),
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
