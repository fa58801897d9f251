//! `guardctl dump` with a real PostgreSQL: dumps of both kinds, from a server whose owner is `postgres`, into one whose owner is `immich`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use testkit::google::Folder;

/// The tables of Immich that matter, with rows that are hard to write down.
const LIBRARY: &str = include_str!("../../tests/db_backup/library.sql");
/// What a dump has beside rows: text that looks like statements, in a function and in a comment.
const HARD: &str = "
set check_function_bodies = off;
create function trap() returns trigger language plpgsql as $$
begin
ALTER TABLE asset OWNER TO nobody;
GRANT ALL ON asset TO nobody;
\\connect nowhere
end;
$$;
comment on table asset is 'it''s
DROP TABLE asset;
\\restrict nothing
';
create trigger trap before truncate on asset for each statement execute function trap();
revoke all on album from public;
insert into system_metadata values ('MediaLocation', '{\"location\": \"/usr/src/app/upload\"}');
update asset set \"originalPath\" = replace(\"originalPath\", '/data/', '/usr/src/app/upload/');
";
/// PostgreSQL refuses to run as root; this user is on every machine.
const NOBODY: u32 = 65534;

/// The programs of the old server and of the new one: `OLD_POSTGRES` and `NEW_POSTGRES` name their folders (`make test-db-upgrade`), or both are those of
/// this machine.
fn programs(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).or_else(|| found().map(Path::to_owned))
}

/// The folder of this machine's programs.
fn found() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let all = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut all: Vec<_> = all.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).collect();
        all.sort();
        all.pop()
    };
    let found = FOUND.get_or_init(find).as_deref();
    if found.is_none() {
        eprintln!("skipped: no PostgreSQL server (Debian: apt-get install postgresql)");
    }
    found
}

/// A server on a socket in a folder of its own, with the database `immich` and this superuser. It ends with its handle.
struct Postgres {
    folder: Folder,
    programs: PathBuf,
    owner: &'static str,
}

impl Postgres {
    fn start(programs: PathBuf, owner: &'static str) -> Self {
        let folder = Folder::new();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Self { folder, programs, owner };
        let data = server.folder.path().join("data");
        let data = data.to_str().unwrap();
        server.run("initdb", &["-D", data, "-U", owner, "-A", "trust", "-E", "UTF8", "--no-sync"], "");
        let options = format!("-c listen_addresses='' -c fsync=off -k {}", server.folder.path().display());
        let log = server.folder.path().join("log");
        server.run("pg_ctl", &["-D", data, "-w", "-o", &options, "-l", log.to_str().unwrap(), "start"], "");
        server.run("psql", &["-qXd", "postgres", "-c", "create database immich"], "");
        server
    }

    fn command(&self, program: &str) -> Command {
        // Only a server's own programs come with the old one; clients of a newer version take it.
        let new = programs("NEW_POSTGRES").unwrap();
        let is_client = program.starts_with("pg_dump") || program == "psql";
        let mut command = Command::new(if is_client { &new } else { &self.programs }.join(program));
        command.current_dir("/").env("PGHOST", self.folder.path()).env("PGUSER", self.owner);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn output(&self, program: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(program);
        // The server keeps what pg_ctl was started with: a pipe would never end.
        let is_server = program == "pg_ctl";
        let output = if is_server { Stdio::null } else { Stdio::piped };
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(output()).stderr(output()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().unwrap()
        })
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let output = self.output(program, arguments, input.as_bytes());
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As the page says.
    fn restore(&self, sql: &[u8]) -> Output {
        self.output("psql", &["-X", "-q", "-d", "immich", "--set", "ON_ERROR_STOP=on", "-o", "/dev/null"], sql)
    }

    /// Everything in the database but owners: what it was has to be what it is.
    fn content(&self) -> String {
        let dump = self.run("pg_dump", &["--no-owner", "--no-privileges", "immich"], "");
        // Each run has a word of its own; comments differ from version to version.
        let is_of_the_run =
            |line: &str| line.is_empty() || ["\\restrict ", "\\unrestrict ", "--"].iter().any(|start| line.starts_with(start));
        dump.lines().filter(|line| !is_of_the_run(line)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        self.output("pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "stop"], b"");
    }
}

fn guardctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guardctl")).arg("dump").args(arguments).output().unwrap()
}

fn facts(file: &str) -> Value {
    serde_json::from_slice(&guardctl(&["inspect", "-o", "json", file]).stdout).unwrap()
}

fn gzip(file: &str) -> String {
    assert!(Command::new("gzip").args(["--keep", file]).status().unwrap().success());
    format!("{file}.gz")
}

/// Restores a dump into an empty home, and compares.
#[track_caller]
fn moves(old: &Postgres, file: &str) {
    let new = Postgres::start(programs("NEW_POSTGRES").unwrap(), "immich");
    let converted = guardctl(&["convert", file]);
    assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
    let restored = new.restore(&converted.stdout);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(new.content(), old.content());
    let owners = "select distinct pg_get_userbyid(relowner) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(new.run("psql", &["-XAtd", "immich", "-c", owners], "").trim(), "immich");
    let roles = "select count(*) from pg_roles where rolname = 'postgres'";
    assert_eq!(new.run("psql", &["-XAtd", "immich", "-c", roles], "").trim(), "0");

    // Whoever reads only a part of it commits nothing.
    let half = Postgres::start(programs("NEW_POSTGRES").unwrap(), "immich");
    half.restore(&converted.stdout[..converted.stdout.len() / 2]);
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(half.run("psql", &["-XAtd", "immich", "-c", tables], "").trim(), "0");
}

#[test]
fn a_dump_of_docker_compose_moves_by_pg_dumpall() {
    let Some(programs) = programs("OLD_POSTGRES") else { return };
    let old = Postgres::start(programs, "postgres");
    old.run("psql", &["-XqA", "-d", "immich", "--set", "ON_ERROR_STOP=on", "-o", "/dev/null"], &format!("{LIBRARY}{HARD}"));
    let sql = old.run("pg_dumpall", &["--clean", "--if-exists"], "");
    let file = old.folder.write("dump.sql", &sql);
    let found = facts(&file);
    let dump = &found["dump"];
    assert_eq!(found["ok"], true, "{found}");
    assert_eq!((&dump["kind"], &dump["database"], &dump["owners"]), (&json!("cluster"), &json!("immich"), &json!(["postgres"])));
    assert_eq!((&dump["roles"], &dump["immich"]), (&json!(["postgres"]), &json!("3.2.4")));
    assert_eq!(dump["media_location"], "/usr/src/app/upload");
    assert_eq!((&dump["media"], &dump["rows"]["asset"]), (&json!({"/usr/src/app/upload": 2000}), &json!(2000)));
    assert_eq!(facts(&gzip(&file)), found, "by gzip, too");
    let text = String::from_utf8(guardctl(&["inspect", &file]).stdout).unwrap();
    for wanted in ["! the objects belong to postgres", "! the media path changes to /data", "guardctl dump convert", "To go back"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    moves(&old, &format!("{file}.gz"));
}

#[test]
fn a_backup_of_this_home_moves_by_pg_dump() {
    let Some(programs) = programs("OLD_POSTGRES") else { return };
    let old = Postgres::start(programs, "immich");
    old.run("psql", &["-XqA", "-d", "immich", "--set", "ON_ERROR_STOP=on", "-o", "/dev/null"], &format!("{LIBRARY}{HARD}"));
    let file = old.folder.write("dump.sql", &old.run("pg_dump", &["--clean", "--if-exists", "immich"], ""));
    let found = facts(&file);
    assert_eq!(
        (&found["ok"], &found["dump"]["kind"], &found["dump"]["owners"]),
        (&json!(true), &json!("database"), &json!(["immich"]))
    );
    moves(&old, &file);
}

#[test]
fn half_a_dump_is_refused() {
    let Some(programs) = programs("OLD_POSTGRES") else { return };
    let old = Postgres::start(programs, "postgres");
    old.run("psql", &["-XqA", "-d", "immich", "-o", "/dev/null"], LIBRARY);
    let sql = old.run("pg_dump", &["immich"], "");
    let whole = old.folder.write("whole.sql", &sql);
    let cut: String = sql.chars().take(sql.chars().count() * 9 / 10).collect();
    let half = old.folder.write("half.sql", &cut);
    let run = guardctl(&["inspect", &half]);
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stdout).contains("✗ the dump ends early"), "{run:?}");
    let run = guardctl(&["convert", &half]);
    assert_eq!((run.status.code(), run.stdout.is_empty()), (Some(1), true));

    let packed = gzip(&whole);
    let bytes = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &bytes[..bytes.len() - 100]).unwrap();
    let run = guardctl(&["inspect", &packed]);
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("damaged gzip"), "{run:?}");
}

#[test]
fn what_this_home_cannot_take_is_told_with_what_to_do() {
    let folder = Folder::new();
    let dump = |major: u32, version: &str, extensions: &[&str]| {
        let made = extensions
            .iter()
            .fold(String::new(), |made, name| made + "CREATE EXTENSION IF NOT EXISTS " + name + " WITH SCHEMA public;\n");
        folder.write(
            "dump.sql",
            &format!(
                "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version {major}.2 (Debian)\n{made}\
                 COPY public.version_history (id, \"createdAt\", version) FROM stdin;\n1\t2026-01-01\t{version}\n\\.\n\
                 COPY public.asset (id, \"originalPath\") FROM stdin;\n\\.\n-- PostgreSQL database dump complete\n"
            ),
        )
    };
    let problems = |file: &str| facts(file)["problems"].to_string();
    assert_eq!(problems(&dump(14, "2.5.0", &["vchord", "vector"])), "[]");
    assert!(problems(&dump(14, "1.132.0", &["vectors"])).contains("until it has moved to VectorChord"));
    assert!(problems(&dump(14, "2.5.0", &["vectors", "vchord"])).contains("DROP EXTENSION vectors"));
    assert!(problems(&dump(19, "3.2.4", &["vchord"])).contains("PostgreSQL 19"));
    assert!(problems(&dump(14, "1.99.0", &[])).contains("too old"));
    assert!(problems(&folder.write("other.sql", "-- PostgreSQL database dump complete\n")).contains("no tables of Immich"));
    let custom = guardctl(&["inspect", &folder.write("custom.dump", "PGDMP...")]);
    assert!(String::from_utf8_lossy(&custom.stderr).contains("pg_restore"), "{custom:?}");
}

/// The page shows what the command prints for `dump/compose.sql`, up to the steps.
#[test]
fn the_page_shows_what_inspect_prints() {
    const PAGE: &str = include_str!("../../../docs/migrate.md");
    let folder = Folder::new();
    let file = gzip(&folder.write("dump.sql", include_str!("dump/compose.sql")));
    let printed = String::from_utf8(guardctl(&["inspect", &file]).stdout).unwrap();
    let (facts, steps) = printed.split_once("\n\nSteps").unwrap();
    assert!(PAGE.contains(&format!("```text\n{facts}\n\nSteps (docs/migrate.md):\n")), "wanted in docs/migrate.md:\n{facts}");
    assert!(steps.contains("\nTo go back: docker start immich_server."), "{steps}");
}

#[test]
fn a_backup_with_vectors_is_told_and_a_dump_is_known_by_its_text() {
    let folder = Folder::new();
    let plain = folder.write("dump.sql", include_str!("dump/backup.sql"));
    let found = facts(&plain);
    assert_eq!((&found["ok"], &found["dump"]["media"]), (&json!(true), &json!({"/data": 54, "external": 6})));
    assert_eq!(found["dump"]["rows"]["smart_search"], 60);
    let sha256 = Command::new("sha256sum").arg(&plain).output().unwrap();
    assert!(String::from_utf8(sha256.stdout).unwrap().starts_with(found["dump"]["sha256"].as_str().unwrap()));
    assert_eq!(facts(&gzip(&plain)), found, "by gzip, too");
}
