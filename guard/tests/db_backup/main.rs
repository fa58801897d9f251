//! The database backup and its drill (docs/backup.md): the very scripts that the component ships, against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod backup;
mod broken;
mod drill;
mod job;
mod mounts;
mod postgres;
mod round_trip;
mod upgrade;

use std::process::ExitCode;

use testkit::nas::Trials;

fn main() -> ExitCode {
    let no_postgres = postgres::why_not();
    let no_mounts = no_postgres.clone().or_else(testkit::nas::why_not);
    let no_pgvector = no_postgres.clone().or_else(postgres::why_no_pgvector);
    let code = Trials::anywhere()
        .add_unless(no_postgres.as_deref(), "round_trip", round_trip::TESTS)
        .add_unless(no_pgvector.as_deref(), "pgvector", round_trip::PGVECTOR)
        .add_unless(no_postgres.as_deref(), "backup", backup::TESTS)
        .add_unless(no_postgres.as_deref(), "broken", broken::TESTS)
        .add_unless(no_postgres.as_deref(), "drill", drill::TESTS)
        .add_unless(no_postgres.as_deref(), "upgrade", upgrade::TESTS)
        .add_unless(no_mounts.as_deref(), "mounts", mounts::TESTS)
        .run();
    postgres::clean_up();
    code
}
