//! The terminal itself, with a shell in it.
#![allow(clippy::expect_used, reason = "a test that cannot go on fails at that line")]

use std::os::unix::process::ExitStatusExt as _;

use testkit::terminal::{CTRL_C, CTRL_D, Terminal};

fn shell(script: &str) -> Terminal {
    let mut command = Terminal::command("sh");
    command.args(["-c", script]);
    Terminal::start(command).expect("setsid and sh are there")
}

#[test]
fn what_is_typed_reaches_the_program_and_is_shown() {
    let mut terminal = shell("printf 'name? '; read name; echo \"hello $name\"; tty");
    terminal.wait_for("name? ").expect("a question");
    terminal.type_text("Ada\n").expect("it is taken");
    assert_eq!(terminal.wait_for("hello Ada").expect("an answer"), "Ada\r\n", "the echo");
    let left = terminal.end().expect("it ends");
    assert!(left.status.success() && left.shown.contains("/dev/pts/"), "{}", left.shown);
}

#[test]
fn an_echo_that_is_off_is_seen_and_shows_nothing() {
    let mut terminal = shell("stty -echo; printf 'secret? '; read secret; stty echo; echo \"${#secret} letters\"");
    assert!(terminal.echoes().expect("settings"));
    terminal.wait_for("secret? ").expect("a question");
    assert!(!terminal.echoes().expect("settings"));
    terminal.type_text("planted\n").expect("it is taken");
    terminal.wait_for("7 letters").expect("an answer");
    let left = terminal.end().expect("it ends");
    assert!(left.echoes && !left.shown.contains("planted"), "{}", left.shown);
}

#[test]
fn an_echo_that_stays_off_is_seen_after_the_end() {
    assert!(!shell("stty -echo").end().expect("it ends").echoes);
}

#[test]
fn control_c_is_a_signal_and_control_d_the_end_of_the_input() {
    let mut terminal = shell("printf ready; exec cat");
    terminal.wait_for("ready").expect("it runs");
    terminal.type_text(CTRL_C).expect("it is taken");
    assert_eq!(terminal.end().expect("it ends").status.signal(), Some(2));
    let mut terminal = shell("printf ready; exec cat");
    terminal.wait_for("ready").expect("it runs");
    terminal.type_text(CTRL_D).expect("it is taken");
    assert_eq!(terminal.end().expect("it ends").status.code(), Some(0));
}
