//! The restore drill: it says yes to a dump that holds, and no to everything else, and never drops what is not its own.

use std::fs;
use std::path::Path;

use testkit::tests;

use super::job::{Pod, refused, run};
use super::postgres::{Postgres, as_user};

pub(super) const TESTS: &[(&str, fn())] = tests![
    a_drill_restores_the_newest_and_leaves_a_stamp,
    a_dump_that_is_not_what_its_sum_says_is_refused,
    a_dump_that_is_cut_off_is_refused_whatever_its_sum_says,
    a_row_that_does_not_come_back_fails_the_drill,
    a_restore_that_fails_keeps_the_stamp_of_the_one_before,
    a_database_that_holds_anything_is_left_alone,
    another_machines_database_is_left_alone,
    no_dump_is_a_failure,
];

const STAMP: &str = "last-restore-drill.json";

fn stamp(pod: &Pod) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(pod.backup_dir().join(STAMP)).unwrap()).unwrap()
}

/// Writes the sum that a file has now.
fn sign(dump: &Path) {
    let mut command = as_user("bash");
    command.args(["-c", r#"cd "${1%/*}" && sha256sum "${1##*/}" >"${1##*/}.sha256""#, "sign"]).arg(dump);
    assert!(command.status().unwrap().success());
}

fn a_drill_restores_the_newest_and_leaves_a_stamp() {
    let (server, scratch, pod) = (Postgres::with_library(), Postgres::start(), Pod::new());
    let dump = pod.backed_up(&server);
    // An older one, which could not be restored.
    fs::write(pod.backup_dir().join("immich-db-backup-20250101T000000-v3.2.3-pg14.19.sql.gz"), "x").unwrap();
    let outcome = run(&mut pod.drill(&scratch));
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(scratch.contents() == server.contents(), "the rows differ");
    let stamp = stamp(&pod);
    assert_eq!((&stamp["dump"], &stamp["tables"], &stamp["rows"]), (&dump.as_str().into(), &7.into(), &7005.into()), "{stamp}");
    assert!(stamp["time"].as_str().unwrap().ends_with('Z') && stamp["sha256"].as_str().unwrap().len() == 64, "{stamp}");
    assert_eq!(stamp["bytes"], fs::metadata(pod.backup_dir().join(&dump)).unwrap().len());
    assert_eq!(pod.files().len(), 4, "{:?}", pod.files());
}

fn a_dump_that_is_not_what_its_sum_says_is_refused() {
    let (server, scratch, pod) = (Postgres::with_library(), Postgres::start(), Pod::new());
    let dump = pod.backup_dir().join(pod.backed_up(&server));
    let mut bytes = fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&dump, bytes).unwrap();
    refused(&run(&mut pod.drill(&scratch)), 61, "is not what its .sha256 says");
    fs::remove_file(dump.with_extension("gz.sha256")).unwrap();
    refused(&run(&mut pod.drill(&scratch)), 61, "is not what its .sha256 says");
    assert!(!pod.backup_dir().join(STAMP).exists());
}

fn a_dump_that_is_cut_off_is_refused_whatever_its_sum_says() {
    let (server, scratch, pod) = (Postgres::with_library(), Postgres::start(), Pod::new());
    let dump = pod.backup_dir().join(pod.backed_up(&server));
    let bytes = fs::read(&dump).unwrap();
    fs::write(&dump, &bytes[..bytes.len() - 100]).unwrap();
    sign(&dump);
    refused(&run(&mut pod.drill(&scratch)), 61, "is not whole");
    assert!(!pod.backup_dir().join(STAMP).exists());
    assert_eq!(scratch.contents(), "");
}

fn a_row_that_does_not_come_back_fails_the_drill() {
    let (server, scratch, pod) = (Postgres::with_library(), Postgres::start(), Pod::new());
    pod.backed_up(&server);
    pod.replace("sed", "\"$real\" \"$@\" | grep -v '^2999\t'");
    refused(&run(&mut pod.drill(&scratch)), 66, "public.hard has 2999 rows after the restore, wanted 3000");
    assert!(!pod.backup_dir().join(STAMP).exists());
}

fn a_restore_that_fails_keeps_the_stamp_of_the_one_before() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    pod.backed_up(&server);
    assert_eq!(run(&mut pod.drill(&Postgres::start())).code, 0);
    let before = stamp(&pod);
    let scratch = Postgres::start();
    // A row that its table refuses. Its words stay out of the log.
    pod.replace("sed", "\"$real\" \"$@\" | \"$real\" 's/^2999\t/&private words\t/'");
    let outcome = run(&mut pod.drill(&scratch));
    refused(&outcome, 66, "cannot be restored");
    assert!(outcome.stderr.contains("extra data") && !outcome.stderr.contains("private words"), "{outcome:#?}");
    assert_eq!(scratch.contents(), "", "one transaction: all or nothing");
    assert_eq!(stamp(&pod), before);
}

fn a_database_that_holds_anything_is_left_alone() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    pod.backed_up(&server);
    server.sql("update \"user\" set name = 'Chloé'");
    let before = server.contents();
    refused(&run(&mut pod.drill(&server)), 2, "has 7 tables, wanted an empty one");
    assert!(server.contents() == before);
}

fn another_machines_database_is_left_alone() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    pod.backed_up(&server);
    for host in ["immich-postgres", "192.0.2.1", "127.0.0.1.example.com"] {
        refused(&run(pod.drill(&server).env("PGHOST", host)), 2, &format!("PGHOST is {host}"));
    }
}

fn no_dump_is_a_failure() {
    let (scratch, pod) = (Postgres::start(), Pod::new());
    refused(&run(&mut pod.drill(&scratch)), 65, "no dump");
}
