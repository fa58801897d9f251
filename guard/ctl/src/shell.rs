//! What a shell wants beside a program: completions and man pages, for `guardctl` and for `guard`, whose binary is too small to carry its own;
//! and the answers to kubectl when somebody presses Tab after `kubectl guard`.

mod kubectl;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

pub use kubectl::{KUBECTL_COMPLETE, candidates, complete_for_kubectl};

use crate::cli;

/// The arguments of `guardctl completions`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl completions bash > ~/.local/share/bash-completion/completions/guardctl
  guardctl completions zsh > ~/.zfunc/_guardctl   # fpath+=~/.zfunc before compinit in ~/.zshrc
  guardctl completions fish > ~/.config/fish/completions/guardctl.fish
  guardctl completions bash --program guard > ~/.local/share/bash-completion/completions/guard")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
    /// The program to complete
    #[arg(long, value_enum, default_value = "guardctl")]
    program: Program,
}

/// The arguments of `guardctl man`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl man ~/.local/share/man/man1 && man guardctl-doctor
  guardctl man /tmp/man && man /tmp/man/guard-nas-exec.1")]
pub struct ManArgs {
    /// The directory to write to; it is made if it is not there
    directory: PathBuf,
}

/// A shell with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// A program with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    Guardctl,
    Guard,
}

impl Program {
    const ALL: [Self; 2] = [Self::Guardctl, Self::Guard];

    fn command(self) -> clap::Command {
        match self {
            Self::Guardctl => cli::command(),
            Self::Guard => guard::cli::command(),
        }
    }
}

/// Runs `guardctl completions`.
///
/// # Errors
/// If standard output cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<bool> {
    let mut command = args.program.command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    match args.shell {
        Shell::Bash => clap_complete::generate(clap_complete::shells::Bash, &mut command, name, &mut text),
        Shell::Zsh => clap_complete::generate(clap_complete::shells::Zsh, &mut command, name, &mut text),
        Shell::Fish => clap_complete::generate(clap_complete::shells::Fish, &mut command, name, &mut text),
    }
    std::io::stdout().lock().write_all(&text)?;
    Ok(true)
}

/// Runs `guardctl man`.
///
/// # Errors
/// If the directory or a page cannot be written.
pub fn man(args: &ManArgs) -> Result<bool> {
    std::fs::create_dir_all(&args.directory).with_context(|| format!("{}: cannot be made", args.directory.display()))?;
    let mut count = 0;
    for program in Program::ALL {
        let mut command = program.command();
        // Fills in the names of the subcommands, such as guard-nas-exec.
        command.build();
        count += pages(&command, &args.directory)?;
    }
    println!("{count} pages in {}", args.directory.display());
    Ok(true)
}

/// Writes the page of a command and those of its subcommands. Returns their number.
fn pages(command: &clap::Command, directory: &Path) -> Result<usize> {
    let page = clap_mangen::Man::new(command.clone());
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(&path, text).with_context(|| format!("{}: cannot be written", path.display()))?;
    let mut count = 1;
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        count += pages(subcommand, directory)?;
    }
    Ok(count)
}
