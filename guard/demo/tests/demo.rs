//! The demo's tour ends with every step as wanted: what a newcomer runs first never lies.

use std::process::Command;

#[test]
fn the_tour_ends_with_every_step_as_wanted() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_guard-demo")).args(["--tour"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains('✗'), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_demo_before_something_that_is_no_url_says_so_and_exits_2() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_guard-demo")).args(["--tour", "--upstream", "immich"]).output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("GUARD_UPSTREAM"));
    Ok(())
}

#[test]
fn the_story_of_the_way_out_is_as_wanted_in_every_step() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_guard-demo")).args(["idtoken"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains('✗'), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Where the kernel allows no user namespaces there is nothing to run: the test says so and passes.
#[test]
fn the_demo_of_nas_ends_with_every_step_as_wanted() -> std::io::Result<()> {
    let allowed = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: unshare (util-linux) is missing, or user namespaces are not allowed");
        return Ok(());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_guard-demo")).args(["nas"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains('✗'), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
