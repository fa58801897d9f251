//! The upgrade to a new major version (docs/upgrades.md): every row arrives, or nothing does, and the old server is only read.
//!
//! Both servers are those of this machine, of one version; `make test-db-upgrade` runs the same with a real 14 and a real 18. VectorChord is in
//! no package registry: an index of its name stands for its own.

use testkit::tests;

use super::job::{Pod, refused, run};
use super::postgres::{Postgres, old_and_new};

pub(super) const TESTS: &[(&str, fn())] = tests![
    every_row_is_in_the_new_version_and_the_old_is_as_it_was,
    a_new_database_that_is_not_empty_is_left_alone,
    what_cannot_be_restored_leaves_nothing_behind,
    an_old_database_that_still_has_pgvecto_rs_is_refused,
    the_source_is_never_another_pods_server,
];

/// Rows that differ between versions, and an index whose statement has several lines, as VectorChord's has.
const VECTORS: &str = r"
create table smart_search (id int primary key, embedding float8[], model text not null default 'clip');
insert into smart_search select n, array[n, n / 7.0] from generate_series(1, 500) n;
create index clip_index on smart_search ((model || E'[build.internal]
lists = [1]'));
create index smart_search_length on smart_search (array_length(embedding, 1));
";
const CONTRIB: [&str; 4] = ["cube", "earthdistance", "pg_trgm", "unaccent"];

fn servers() -> (Postgres, Postgres, Pod) {
    let [old, new] = old_and_new();
    let (old, new) = (Postgres::start_of(&old), Postgres::start_of(&new));
    old.sql(super::postgres::LIBRARY);
    old.sql(VECTORS);
    for extension in CONTRIB {
        let is_there = |server: &Postgres| {
            server.sql(&format!("select count(*) from pg_available_extensions where name = '{extension}'")).trim() == "1"
        };
        if is_there(&old) && is_there(&new) {
            old.sql(&format!("create extension {extension}"));
        }
    }
    (old, new, Pod::new())
}

fn every_row_is_in_the_new_version_and_the_old_is_as_it_was() {
    let (old, new, pod) = servers();
    let before = old.contents();
    let outcome = run(&mut pod.upgrade(&old, &new, &old_and_new()[1]));
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let summary: serde_json::Value = serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["tables"], &summary["rows"]), (&8.into(), &7505.into()), "{outcome:#?}");
    eprintln!("{summary}");
    assert_eq!(new.contents(), before);
    assert_eq!(old.contents(), before);
    let indexes = |server: &Postgres| server.sql("select indexname from pg_indexes where tablename = 'smart_search' order by 1");
    assert_eq!(indexes(&new), "smart_search_length\nsmart_search_pkey\n", "Immich builds the vector index itself");
    let extensions = |server: &Postgres| server.sql("select extname from pg_extension order by 1");
    assert_eq!(extensions(&new), extensions(&old));
    assert!(pod.left_in_tmp().is_empty(), "{:?}", pod.left_in_tmp());
    // A second run, as when the node restarts before the component is removed.
    refused(&run(&mut pod.upgrade(&old, &new, &old_and_new()[1])), 62, "has tables already");
    assert_eq!(new.contents(), before);
}

fn a_new_database_that_is_not_empty_is_left_alone() {
    let (old, new, pod) = servers();
    new.sql("create table mine (id int); insert into mine values (1)");
    refused(&run(&mut pod.upgrade(&old, &new, &old_and_new()[1])), 62, "wanted an empty database");
    assert_eq!(new.contents(), "mine\n1\n");
}

fn what_cannot_be_restored_leaves_nothing_behind() {
    let (old, new, pod) = servers();
    // The last statement of a restore fails: an index on a function that the new server does not have.
    new.sql("create function public.clash() returns int language sql immutable as 'select 1'");
    old.sql("create function public.clash() returns int language sql immutable as 'select 1'");
    refused(&run(&mut pod.upgrade(&old, &new, &old_and_new()[1])), 66, "nothing was written");
    assert_eq!(new.contents(), "");
}

fn an_old_database_that_still_has_pgvecto_rs_is_refused() {
    let (old, new, pod) = servers();
    // The extension is in no package registry: its row in the catalogue is what the script asks for.
    old.sql("insert into pg_extension values (99999, 'vectors', 10, 2200, true, '0.2.0', null, null)");
    refused(&run(&mut pod.upgrade(&old, &new, &old_and_new()[1])), 61, "DROP EXTENSION vectors;");
    assert_eq!(new.contents(), "");
}

fn the_source_is_never_another_pods_server() {
    let (old, new, pod) = servers();
    let mut command = pod.upgrade(&old, &new, &old_and_new()[1]);
    refused(&run(command.env("OLD_PGHOST", "immich-postgres")), 2, "wanted this pod's own server");
    let mut command = pod.upgrade(&old, &new, &old_and_new()[1]);
    refused(&run(command.env("OLD_PGHOST", new.host())), 2, "are the same server");
    let mut command = pod.upgrade(&old, &new, &old_and_new()[1]);
    refused(&run(command.env("OLD_PGHOST", "/nowhere")), 60, "does not answer");
    assert_eq!(new.contents(), "");
}
