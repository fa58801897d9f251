//! Mounted, or nothing starts: the real binary in real mount namespaces, against a NAS that fails in every way one does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod automount;
mod exec;
mod hangs;
mod install;
mod mounts;
mod program;
mod runc;
mod sentinel;
mod strays;
mod swap;
mod writing;

use std::process::ExitCode;

use testkit::nas::{Host, Outcome, Trials};

fn main() -> ExitCode {
    Trials::new()
        .add("mounts", mounts::TESTS)
        .add("hangs", hangs::TESTS)
        .add("sentinel", sentinel::TESTS)
        .add("writing", writing::TESTS)
        .add("exec", exec::TESTS)
        .add("program", program::TESTS)
        .add("install", install::TESTS)
        .add("swap", swap::TESTS)
        .add("strays", strays::TESTS)
        .add_unless(automount::why_not().as_deref(), "automount", automount::TESTS)
        .add_unless(runc::why_no_runc().as_deref(), "runc", runc::RUNC)
        .run()
}

fn host() -> Host {
    Host::new(env!("CARGO_BIN_EXE_guard"))
}

/// It proved the mount, and said so.
#[track_caller]
fn proved(outcome: &Outcome) {
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(outcome.events().last().unwrap()["code"], "NAS_OK", "{outcome:#?}");
}

/// It refused with this code, and said so: one line for programs, three for whoever reads the pod's state.
#[track_caller]
fn refused(outcome: &Outcome, code: i32) {
    assert_eq!(outcome.code(), code, "{outcome:#?}");
    let events = outcome.events();
    let event = events.last().unwrap();
    assert_eq!((&event["event"], &event["exit"]), (&"nas_gate".into(), &code.into()), "{outcome:#?}");
    assert!(["path", "fstype", "source", "hint"].iter().all(|field| event[field].is_string()), "{outcome:#?}");
    let name = event["code"].as_str().unwrap();
    let lines: Vec<_> = outcome.termination_log.lines().collect();
    assert_eq!(lines.len(), 3, "{outcome:#?}");
    assert!(lines[0].starts_with(&format!("{name} ({code}): ")), "{outcome:#?}");
    assert!(lines[1].starts_with("fix: "), "{outcome:#?}");
    assert_eq!(outcome.guard_json().as_ref(), Some(event), "{outcome:#?}");
    assert!(outcome.termination_log.len() < 2048, "{outcome:#?}");
}
