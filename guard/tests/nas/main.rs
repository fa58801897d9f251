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

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use testkit::nas::{Host, Outcome, Trials};

fn main() -> ExitCode {
    Trials::new()
        .add("mounts", mounts::TESTS)
        .add("hangs", hangs::TESTS)
        .add("sentinel", sentinel::TESTS)
        .add("writing", writing::TESTS)
        .add("exec", exec::TESTS)
        .add_unless(emulated("qemu-user does not pass on which signals are ignored"), "exec", exec::NATIVE)
        .add("program", program::TESTS)
        .add_unless(emulated("a start under qemu may take longer than its 0.3 s"), "program", program::NATIVE)
        .add("install", install::TESTS)
        .add_unless(emulated("qemu-user 7 does not say which mount a descriptor is on (statx)"), "swap", swap::TESTS)
        .add_unless(emulated("qemu-user 7 has no open_tree"), "strays", strays::TESTS)
        .add_unless(
            emulated("tools/arm64 has a user namespace, which mounts no autofs").or(automount::why_not().as_deref()),
            "automount",
            automount::TESTS,
        )
        .add_unless(
            emulated("tools/arm64 has a user namespace, where runc may not write a cgroup's devices")
                .or(runc::why_no_runc().as_deref()),
            "runc",
            runc::RUNC,
        )
        .run()
}

/// `GUARD_BIN` (`make test-arm64`: the static release binary of another architecture), else cargo's.
fn guard() -> PathBuf {
    std::env::var_os("GUARD_BIN").map_or_else(|| env!("CARGO_BIN_EXE_guard").into(), PathBuf::from)
}

/// This reason, where guard is a program for another machine than this test (the machine of an ELF file is in its bytes 18 and 19).
fn emulated(reason: &str) -> Option<&str> {
    let machine = |path: &Path| {
        let mut head = [0; 20];
        File::open(path).and_then(|mut file| file.read_exact(&mut head)).expect("a program");
        [head[18], head[19]]
    };
    (machine(&guard()) != machine(Path::new("/proc/self/exe"))).then_some(reason)
}

fn host() -> Host {
    Host::new(guard())
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
