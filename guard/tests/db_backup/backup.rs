//! One run and the next: what is kept, what is refused, and that the earlier dumps stay.

use std::fs;

use testkit::tests;

use super::job::{Pod, end, refused, run, start};
use super::postgres::Postgres;

pub(super) const TESTS: &[(&str, fn())] = tests![
    the_newest_are_kept_and_nothing_else_is_touched,
    nothing_is_pruned_by_a_run_that_fails,
    what_a_killed_run_left_is_cleared,
    a_second_run_leaves_the_first_alone,
    a_wrong_password_leaves_no_file,
    a_database_without_a_user_is_not_worth_keeping,
    a_database_that_is_not_immichs_is_refused,
    a_run_without_the_id_of_the_disk_is_refused,
    a_bad_variable_is_named,
];

/// A dump of an earlier night.
fn earlier(pod: &Pod, day: u32) -> String {
    let name = format!("immich-db-backup-202601{day:02}T033000-v3.2.3-pg14.19.sql.gz");
    fs::write(pod.backup_dir().join(&name), "x").unwrap();
    fs::write(pod.backup_dir().join(format!("{name}.sha256")), "x").unwrap();
    name
}

fn the_newest_are_kept_and_nothing_else_is_touched() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let earlier: Vec<_> = (1..=5).map(|day| earlier(&pod, day)).collect();
    fs::write(pod.backup_dir().join("a photo.sql.gz"), "mine").unwrap();
    fs::write(pod.backup_dir().join("immich-db-backup-20250101T000000-v1-pg14.sql.gz.sha256"), "of nothing").unwrap();
    let outcome = run(pod.backup(&server).env("BACKUP_KEEP", "3"));
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let dump = outcome.stdout.split(':').next().unwrap();
    let mut wanted = vec!["a photo.sql.gz".to_owned()];
    for name in [&earlier[3], &earlier[4], dump] {
        wanted.extend([name.to_owned(), format!("{name}.sha256")]);
    }
    assert_eq!(pod.files(), wanted);
    assert!(outcome.stdout.ends_with("3 kept\n"), "{outcome:#?}");
}

fn nothing_is_pruned_by_a_run_that_fails() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    for day in 1..=5 {
        earlier(&pod, day);
    }
    let before = pod.files();
    pod.replace("pg_dump", "\"$real\" \"$@\"; exit 1");
    refused(&run(pod.backup(&server).env("BACKUP_KEEP", "1")), 60, "pg_dump did not end well");
    assert_eq!(pod.files(), before);
}

fn what_a_killed_run_left_is_cleared() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    for name in
        ["immich-db-backup-20260101T000000-v3-pg14.sql.gz.tmp", "immich-db-backup-20260101T000000-v3-pg14.sql.gz.sha256.tmp"]
    {
        fs::write(pod.backup_dir().join(name), "half").unwrap();
    }
    let dump = pod.backed_up(&server);
    assert_eq!(pod.files(), [dump.clone(), format!("{dump}.sha256")]);
}

fn a_second_run_leaves_the_first_alone() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let mut held = pod.hold_the_dump();
    let first = start(&mut pod.backup(&server));
    held.under_way();
    let under_way = pod.files();
    assert!(under_way.len() == 1 && under_way[0].ends_with(".sql.gz.tmp"), "{under_way:?}");
    // That one alone is held.
    pod.put_back("gzip");
    refused(&run(&mut pod.backup(&server)), 63, "another run is under way");
    assert_eq!(pod.files(), under_way);
    held.go_on();
    assert_eq!(end(first).code, 0);
    assert_eq!(pod.files().len(), 2, "{:?}", pod.files());
}

fn a_wrong_password_leaves_no_file() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    pod.set_password("wrong");
    let outcome = run(&mut pod.backup(&server));
    refused(&outcome, 60, "password authentication failed");
    assert!(!outcome.stderr.contains("wrong\n"), "{outcome:#?}");
    assert!(pod.files().is_empty() && pod.left_in_tmp().is_empty());
}

fn a_database_without_a_user_is_not_worth_keeping() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let dump = earlier(&pod, 1);
    server.sql("truncate \"user\" cascade");
    refused(&run(pod.backup(&server).env("BACKUP_KEEP", "1")), 61, "has no user");
    assert_eq!(pod.files(), [dump.clone(), format!("{dump}.sha256")]);
}

fn a_database_that_is_not_immichs_is_refused() {
    let (server, pod) = (Postgres::start(), Pod::new());
    refused(&run(&mut pod.backup(&server)), 60, "is not Immich's database");
    server.sql("create table version_history (id int, \"createdAt\" timestamptz, version varchar)");
    refused(&run(&mut pod.backup(&server)), 60, "names no version of Immich");
    assert!(pod.files().is_empty());
}

fn a_run_without_the_id_of_the_disk_is_refused() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    refused(&run(pod.backup(&server).env("GUARD_NAS_ID", "")), 2, "guard.immich/backup-id");
    refused(&run(pod.drill(&server).env("GUARD_NAS_ID", "")), 2, "guard.immich/backup-id");
    assert!(pod.files().is_empty());
}

fn a_bad_variable_is_named() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    for name in ["PGHOST", "PGUSER", "PGDATABASE", "PASSWORD_FILE", "BACKUP_DIR", "BACKUP_KEEP"] {
        refused(&run(pod.backup(&server).env_remove(name)), 2, &format!("{name} is not set"));
    }
    for keep in ["0", "-1", "many", "1.5"] {
        refused(&run(pod.backup(&server).env("BACKUP_KEEP", keep)), 2, &format!("BACKUP_KEEP is '{keep}'"));
    }
    refused(&run(pod.backup(&server).env("PASSWORD_FILE", "/nowhere")), 2, "/nowhere cannot be read");
    refused(&run(pod.backup(&server).env("BACKUP_DIR", "/nowhere")), 64, "/nowhere cannot be entered");
    refused(&run(pod.backup(&server).env("BACKUP_DIR", "/proc")), 64, "cannot be written to");
    assert!(pod.files().is_empty());
}
