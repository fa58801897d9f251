//! A dump that is cut off anywhere is never one: no name, no sum, and the dump of the night before stays.

use testkit::tests;

use super::job::{Outcome, Pod, end, refused, run, start};
use super::postgres::Postgres;

pub(super) const TESTS: &[(&str, fn())] = tests![
    a_server_that_dies_leaves_no_dump,
    a_dump_without_its_end_is_not_kept,
    a_dump_that_ends_inside_a_table_is_not_kept,
    a_dump_without_a_table_of_immich_is_not_kept,
    a_file_that_cannot_be_read_back_is_not_kept,
];

/// More than fits into the pipes between the server and gzip: the dump is under way as long as gzip waits.
pub(super) const BULK: &str = "create table bulk (id int, words text);
    insert into bulk select n, string_agg(md5((n * 1000 + m)::text), '') from generate_series(1, 200) n, generate_series(1, 1000) m group by n";

/// A pod with one good dump, and what is in its place then.
fn after_one(server: &Postgres) -> (Pod, Vec<String>) {
    let pod = Pod::new();
    pod.backed_up(server);
    let files = pod.files();
    assert_eq!(files.len(), 2);
    (pod, files)
}

#[track_caller]
fn nothing_of_it_is_left(pod: &Pod, files: &[String], outcome: &Outcome, code: i32, words: &str) {
    refused(outcome, code, words);
    assert_eq!(pod.files(), files);
}

fn a_server_that_dies_leaves_no_dump() {
    let mut server = Postgres::with_library();
    server.sql(BULK);
    let (pod, files) = after_one(&server);
    let mut held = pod.hold_the_dump();
    let child = start(&mut pod.backup(&server));
    held.under_way();
    server.crash();
    held.go_on();
    nothing_of_it_is_left(&pod, &files, &end(child), 60, "pg_dump did not end well");
}

fn a_dump_without_its_end_is_not_kept() {
    let server = Postgres::with_library();
    let (pod, files) = after_one(&server);
    pod.replace("pg_dump", "\"$real\" \"$@\" | grep -v '^-- PostgreSQL database dump complete$'");
    nothing_of_it_is_left(&pod, &files, &run(&mut pod.backup(&server)), 61, "is not whole");
}

fn a_dump_that_ends_inside_a_table_is_not_kept() {
    let server = Postgres::with_library();
    let (pod, files) = after_one(&server);
    // The very line that a whole dump has stands in a row, with the table's end cut off behind it.
    let cut = "\"$real\" \"$@\" | sed '/^COPY public.hard /q'; printf '%s\\n' '-- PostgreSQL database dump complete'";
    pod.replace("pg_dump", cut);
    nothing_of_it_is_left(&pod, &files, &run(&mut pod.backup(&server)), 61, "is not whole");
}

fn a_dump_without_a_table_of_immich_is_not_kept() {
    let server = Postgres::with_library();
    let (pod, files) = after_one(&server);
    for table in ["album", "asset", "asset_exif", "system_metadata", "\"user\"", "version_history"] {
        pod.replace("pg_dump", &format!("exec \"$real\" \"$@\" --exclude-table 'public.{table}'"));
        nothing_of_it_is_left(&pod, &files, &run(&mut pod.backup(&server)), 61, &format!("has no table public.{table}"));
    }
}

fn a_file_that_cannot_be_read_back_is_not_kept() {
    let server = Postgres::with_library();
    let (pod, files) = after_one(&server);
    // A disk that says yes and keeps the beginning only.
    pod.replace("gzip", "case $* in *-dc*) exec \"$real\" \"$@\" ;; esac\n\"$real\" \"$@\" | { head -c 20000; cat >/dev/null; }");
    nothing_of_it_is_left(&pod, &files, &run(&mut pod.backup(&server)), 61, "is not whole");
    // And one that keeps everything but the last bytes: gzip's own sum.
    pod.replace("gzip", "case $* in *-dc*) exec \"$real\" \"$@\" ;; esac\n\"$real\" \"$@\" | head -c -4");
    nothing_of_it_is_left(&pod, &files, &run(&mut pod.backup(&server)), 61, "is not whole");
}
