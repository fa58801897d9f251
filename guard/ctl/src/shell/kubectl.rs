//! Completions after `kubectl guard`: kubectl runs the program `kubectl_complete-guard` with the words so far, the last of which is unfinished, and
//! reads one candidate a line, with a description behind a tab. A last line `:N` is a directive of cobra, the library of kubectl's command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, Command};

/// The name under which kubectl starts the program for completions.
pub const KUBECTL_COMPLETE: &str = "kubectl_complete-guard";

/// cobra: the shell does not complete names of files.
const NO_FILES: &str = ":4";
/// cobra: the shell does what it does without candidates, which is names of files.
const DEFAULT: &str = ":0";

/// Prints the candidates for the last word.
#[must_use]
pub fn complete_for_kubectl(words: &[OsString]) -> ExitCode {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let candidates = candidates(crate::cli::command(), &words);
    for candidate in &candidates {
        println!("{candidate}");
    }
    println!("{}", if candidates.is_empty() { DEFAULT } else { NO_FILES });
    ExitCode::SUCCESS
}

/// Returns the candidates for the last of these words: subcommands, flags, or the values of the flag before it.
#[must_use]
pub fn candidates(mut root: Command, words: &[String]) -> Vec<String> {
    root.build();
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut command = &root;
    for word in before {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let flag = before.last().and_then(|word| find(command, word)).filter(|flag| flag.get_action().takes_values());
    let all: Vec<_> = if let Some(flag) = flag {
        values(flag)
    } else if last.starts_with('-') {
        let named = command.get_arguments().filter(|flag| !flag.is_hide_set());
        named.filter_map(|flag| Some(line(&format!("--{}", flag.get_long()?), flag.get_help()))).collect()
    } else {
        let subcommands = command.get_subcommands().filter(|it| !it.is_hide_set());
        let subcommands = subcommands.map(|it| line(it.get_name(), it.get_about()));
        subcommands.chain(command.get_positionals().flat_map(values)).collect()
    };
    all.into_iter().filter(|candidate| candidate.starts_with(last)).collect()
}

/// The flag with this name: `--output` or `-o`.
fn find<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    let long = word.strip_prefix("--");
    command.get_arguments().find(|flag| {
        let is_long = long.is_some() && flag.get_long() == long;
        is_long || letter.is_some() && flag.get_short() == letter
    })
}

fn values(argument: &Arg) -> Vec<String> {
    let values = argument.get_possible_values().into_iter();
    values.filter(|value| !value.is_hide_set()).map(|value| line(value.get_name(), value.get_help())).collect()
}

fn line(name: &str, help: Option<&clap::builder::StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let first = help.lines().next().unwrap_or_default();
    if first.is_empty() { name.to_owned() } else { format!("{name}\t{first}") }
}
