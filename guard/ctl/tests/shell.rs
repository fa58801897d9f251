//! What a shell sees of both programs: help with examples that work, completions, man pages, and the kubectl plugin.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::error::ErrorKind;

const GUARDCTL: &str = env!("CARGO_BIN_EXE_guardctl");
/// clap wraps longer lines.
const WIDTH: usize = 100;

fn programs() -> [clap::Command; 2] {
    [guardctl::cli::command(), guard::cli::command()].map(|mut command| {
        command.build();
        command
    })
}

/// Calls `seen` with a command and everything below it, with its whole name.
fn each(command: &clap::Command, name: &str, seen: &mut dyn FnMut(&str, &clap::Command)) {
    seen(name, command);
    for below in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        each(below, &format!("{name} {}", below.get_name()), seen);
    }
}

/// An empty directory for one test.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shell").join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn printed(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands of a line of a shell, each as words: enough of a shell for examples.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split(['|', '>', '&', ';']).map(|part| part.replace(['\'', '"'], ""));
    parts.map(|part| part.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn every_command_has_examples_that_are_not_wrapped_and_that_it_accepts() {
    let (mut count, mut wrong) = (0, Vec::new());
    let programs = programs();
    for root in &programs {
        each(root, root.get_name(), &mut |name, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let Some(examples) = help.strip_prefix("Examples:\n") else {
                wrong.push(format!("{name}: --help has no examples"));
                return;
            };
            wrong.extend(
                examples.lines().filter(|line| line.chars().count() > WIDTH).map(|line| format!("{name}: too long: {line}")),
            );
            for line in examples.replace("\\\n", " ").lines() {
                for words in commands(line).into_iter().filter(|words| !words.is_empty()) {
                    let words: Vec<_> = words.iter().map(String::as_str).skip_while(|word| *word == "sudo").collect();
                    let Some(program) = programs.iter().find(|program| words.first() == Some(&program.get_name())) else {
                        continue;
                    };
                    count += 1;
                    match program.clone().try_get_matches_from(&words) {
                        Err(error) if error.kind() != ErrorKind::DisplayHelp => {
                            wrong.push(format!("{name}: {}: {error}", words.join(" ")));
                        }
                        _ => {}
                    }
                }
            }
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 30, "{count} examples");
}

#[test]
fn every_command_has_a_man_page() {
    let directory = directory("man");
    printed(Path::new(GUARDCTL), &["man", directory.to_str().unwrap()]);
    let mut wanted = Vec::new();
    for root in &programs() {
        each(root, root.get_name(), &mut |name, _| wanted.push(format!("{}.1", name.replace(' ', "-"))));
    }
    let mut found: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
    let page = std::fs::read_to_string(directory.join("guard-nas-exec.1")).unwrap();
    for part in [".SH NAME", ".SH SYNOPSIS", "GUARD_NAS_PATH", "Examples:"] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
}

/// bash is where the tests run; the files for zsh and fish are written by the same library.
#[test]
fn bash_completes_subcommands_flags_and_values() {
    let script = directory("bash").join("completions");
    for (program, words, wanted) in [
        ("guardctl", "guardctl co", "completions"),
        ("guardctl", "guardctl doctor --edg", "--edge"),
        ("guardctl", "guardctl doctor --output m", "md"),
        ("guardctl", "guardctl completions f", "fish"),
        ("guard", "guard nas pro", "probe"),
        ("guard", "guard nas probe --def", "--definite"),
    ] {
        std::fs::write(&script, printed(Path::new(GUARDCTL), &["completions", "bash", "--program", program])).unwrap();
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _{program} {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            script.display()
        );
        assert_eq!(printed(Path::new("bash"), &["-c", &ask]).trim(), wanted, "{words}");
    }
}

#[test]
fn zsh_and_fish_have_completions_of_both_programs() {
    for program in ["guardctl", "guard"] {
        let zsh = printed(Path::new(GUARDCTL), &["completions", "zsh", "--program", program]);
        assert!(zsh.starts_with(&format!("#compdef {program}\n")), "{zsh}");
        let fish = printed(Path::new(GUARDCTL), &["completions", "fish", "--program", program]);
        assert!(fish.contains(&format!("complete -c {program} ")), "{fish}");
    }
}

#[test]
fn as_a_plugin_of_kubectl_it_says_what_the_user_types() {
    let plugin = directory("plugin").join("kubectl-guard");
    symlink(GUARDCTL, &plugin).unwrap();
    let help = printed(&plugin, &["doctor", "--help"]);
    assert!(help.contains("Usage: kubectl guard doctor [OPTIONS]"), "{help}");
    let help = printed(Path::new(GUARDCTL), &["doctor", "--help"]);
    assert!(help.contains("Usage: guardctl doctor [OPTIONS]"), "{help}");
    let output = Command::new(&plugin).arg("doktor").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn kubectl_gets_candidates_with_descriptions_and_a_directive() {
    let complete = directory("complete").join("kubectl_complete-guard");
    symlink(GUARDCTL, &complete).unwrap();
    for (words, wanted) in [
        (&["do"][..], "doctor\tSay what is wrong with a home, and how to cure it; it only reads\n:4\n"),
        (&["doctor", "--edg"], "--edge\tLook from outside only: is the host name gated?\n:4\n"),
        (&["doctor", "-o", "m"], "md\tFor an issue\n:4\n"),
        (&["oidc", "ch"], "check\tCheck a configuration file (YAML or JSON) against the keys and types of Immich v3\n:4\n"),
        (&["completions", "z"], "zsh\n:4\n"),
        // A file: the shell completes it.
        (&["lint", "clus"], ":0\n"),
        // Hidden.
        (&["doctor", "--evid"], ":0\n"),
    ] {
        assert_eq!(printed(&complete, words), wanted, "{words:?}");
    }
    assert!(printed(&complete, &[""]).contains("\ncompletions\t"));
}

#[test]
fn output_that_is_no_terminal_has_no_colours_and_no_progress() {
    let output = Command::new(GUARDCTL).args(["lint", "-o", "table", "tests/lint/node-port.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.contains(&0x1b));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
