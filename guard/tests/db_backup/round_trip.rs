//! Dump, drop, restore: every row is there again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testkit::tests;

use super::job::Pod;
use super::postgres::{Postgres, as_user, run};

pub(super) const TESTS: &[(&str, fn())] = tests![
    a_restored_dump_holds_every_row,
    a_dump_is_named_as_immich_names_its_own,
    a_dump_has_its_sum_and_is_nobody_elses,
    the_restore_in_the_docs_is_the_one_that_is_tested,
    every_exit_code_has_its_row,
];
pub(super) const PGVECTOR: &[(&str, fn())] = tests![a_table_of_vectors_is_restored];

/// Immich's documented restore, as docs/backup.md has it.
const SED: &str = "s/SELECT pg_catalog.set_config('search_path', '', false);/SELECT pg_catalog.set_config('search_path', 'public, pg_catalog', true);/g";

/// Restores a dump by hand.
fn restore(server: &Postgres, dump: &Path) {
    let mut psql = server.client("psql");
    let name = psql.get_program().to_owned();
    psql.arg("--version");
    let pipe = r#"set -o pipefail; gzip -dc "$1" | sed "$2" | "$3" -XqAt --single-transaction --set ON_ERROR_STOP=on --output /dev/null"#;
    let mut command = as_user("bash");
    command.args(["-c", pipe, "restore"]).arg(dump).arg(SED).arg(name);
    command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut command);
}

fn a_restored_dump_holds_every_row() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let before = server.contents();
    assert!(before.len() > 5_000_000 && before.contains("Été 2026 🏖") && before.contains("counter|41"));
    let dump = pod.backed_up(&server);
    server.set_up_anew();
    assert!(!server.contents().contains("Été"));
    restore(&server, &pod.backup_dir().join(&dump));
    assert!(server.contents() == before, "the rows differ");
    // And over a database that is in use: --clean drops what is there.
    server.sql("delete from asset_exif; drop table hard cascade");
    restore(&server, &pod.backup_dir().join(&dump));
    assert!(server.contents() == before, "the rows differ after a restore over a database that was there");
}

fn a_dump_is_named_as_immich_names_its_own() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let dump = pod.backed_up(&server);
    let (time, rest) = dump.strip_prefix("immich-db-backup-").unwrap().split_at(15);
    assert!(
        time.bytes().enumerate().all(|(place, byte)| if place == 8 { byte == b'T' } else { byte.is_ascii_digit() }),
        "{dump}"
    );
    let version = server.sql("select split_part(current_setting('server_version'), ' ', 1)");
    assert_eq!(rest, format!("-v3.2.4-pg{}.sql.gz", version.trim()));
}

fn a_dump_has_its_sum_and_is_nobody_elses() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let dump = pod.backed_up(&server);
    assert_eq!(pod.files(), [dump.clone(), format!("{dump}.sha256")]);
    assert!(pod.left_in_tmp().is_empty(), "{:?}", pod.left_in_tmp());
    let mode = |name: &str| fs::metadata(pod.backup_dir().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dump), mode(&format!("{dump}.sha256"))), (0o600, 0o600));
    run(as_user("sha256sum").args(["--check", "--quiet"]).arg(format!("{dump}.sha256")).current_dir(pod.backup_dir()));
}

fn text(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)).unwrap()
}

fn every_exit_code_has_its_row() {
    let docs = text("docs/backup.md");
    for script in ["apps/components/db-backup/backup.sh", "apps/components/db-backup/restore-drill.sh"] {
        let script = text(script);
        let used = script.split("fail ").skip(1).filter_map(|rest| rest.split_once(' ')?.0.parse::<u8>().ok());
        let stated = script.lines().filter(|line| line.starts_with('#')).collect::<Vec<_>>().join(" ");
        for code in used {
            assert!(docs.contains(&format!("\n| {code} | ")) && stated.contains(&format!(" {code} ")), "{code}");
        }
    }
}

fn the_restore_in_the_docs_is_the_one_that_is_tested() {
    for page in ["docs/backup.md", "apps/components/db-backup/restore-drill.sh"] {
        let text = text(page);
        assert!(text.contains(SED), "{page}");
        assert!(text.contains("--single-transaction"), "{page}");
    }
}

fn a_table_of_vectors_is_restored() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    server.sql(
        "create extension vector; create table smart_search (\"assetId\" uuid primary key references asset, embedding vector(512));
         insert into smart_search select id, array(select sin(n * ascii(\"originalPath\")) from generate_series(1, 512) n)::vector from asset;
         create index clip_index on smart_search using hnsw (embedding vector_cosine_ops);",
    );
    let before = server.contents();
    let dump = pod.backed_up(&server);
    server.set_up_anew();
    restore(&server, &pod.backup_dir().join(dump));
    assert!(server.contents() == before, "the rows differ");
}
