//! `guard nas strays`: what was written below the mount point is found, compared, and brought to the NAS by the printed command.

use std::fs;
use std::process::{Command, Output};

use testkit::nas::Host;
use testkit::tests;

use super::{guard, host};

pub(super) const TESTS: &[(&str, fn())] = tests![
    files_below_the_mount_are_found_and_the_printed_command_brings_them_to_the_nas,
    without_strays_it_says_so,
    without_the_nas_the_files_are_listed_and_the_nas_is_asked_for,
    a_nas_that_hangs_does_not_hang_it,
];

/// Runs it on the node itself.
fn strays(host: &Host) -> Output {
    Command::new(guard())
        .args(["nas", "strays", "--path"])
        .arg(host.point())
        .args(["--source", "nas.lan:*", "--timeout", "1s"])
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn files_below_the_mount_are_found_and_the_printed_command_brings_them_to_the_nas() {
    let host = host();
    fs::create_dir_all(host.point().join("upload/ada")).unwrap();
    for (name, content) in [("upload/ada/lost.jpg", "lost"), ("upload/ada/twice.jpg", "same"), ("upload/ada/other.jpg", "disk")] {
        fs::write(host.point().join(name), content).unwrap();
    }
    let before = host.strays();
    let nas = host.nas();
    nas.put("upload/ada/twice.jpg", "same");
    nas.put("upload/ada/other.jpg", "nas!");
    let output = strays(&host);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wanted in [
        "NOT on the NAS  upload/ada/lost.jpg",
        "on the NAS too  upload/ada/twice.jpg",
        "ANOTHER FILE of this name is on the NAS  upload/ada/other.jpg",
        "3 files",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(host.strays(), before, "it only reads");
    let command = said.lines().find_map(|line| line.trim().strip_prefix("sudo mkdir")).expect("a command");
    let command = format!("mkdir{command}").replace("sudo ", "");
    let copied = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(copied.status.success(), "{command}: {}", text(&copied));
    assert_eq!(nas.read("upload/ada/lost.jpg").as_deref(), Some(&b"lost"[..]));
    assert_eq!(nas.read("upload/ada/other.jpg").as_deref(), Some(&b"nas!"[..]), "nothing is overwritten");
    assert_eq!(host.strays(), before, "nothing is deleted");
    assert!(text(&strays(&host)).contains("on the NAS too  upload/ada/lost.jpg"));
}

fn without_strays_it_says_so() {
    let host = host();
    let _nas = host.nas();
    let output = strays(&host);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("no file on the node's disk"), "{}", text(&output));
}

fn without_the_nas_the_files_are_listed_and_the_nas_is_asked_for() {
    let host = host();
    fs::write(host.point().join("lost.jpg"), "lost").unwrap();
    let output = strays(&host);
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains("not compared") && said.contains("mount the NAS at"), "{said}");
}

fn a_nas_that_hangs_does_not_hang_it() {
    let host = host();
    fs::write(host.point().join("lost.jpg"), "lost").unwrap();
    let nas = host.nas();
    nas.set(testkit::nas::Mode::Unread);
    let output = strays(&host);
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains("not compared  ") && said.contains("lost.jpg"), "{said}");
}
