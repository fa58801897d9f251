//! Writes a dump as SQL for the database here: only Immich's database, without owners and privileges, without commands of psql, with the search path that
//! the vector types need, and as one transaction that ends only with the whole dump.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::facts::{Dump, Kind, database_of};
use super::input::Lines;
use super::scan::{Line, Scanner};

/// `pg_dump` writes it into each dump. With an empty path, the operators of the vector types are not found (Immich's page about restores).
const EMPTY_PATH: &[u8] = b"SELECT pg_catalog.set_config('search_path', '', false);";
const PATH: &[u8] = b"SELECT pg_catalog.set_config('search_path', 'public, pg_catalog', true);\n";

/// Statements of the same transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// What comes before the dump.
    pub first: String,
    /// What comes after it. If it fails, nothing is committed.
    pub last: String,
}

/// Writes the SQL, with these statements around it.
pub(crate) fn convert(path: &Path, dump: &Dump, around: &Around, out: &mut impl Write) -> Result<()> {
    let mut lines = Lines::open(path)?;
    let mut scanner = Scanner::new();
    let mut is_inside = dump.kind == Kind::Database;
    out.write_all(b"BEGIN;\n")?;
    out.write_all(around.first.as_bytes())?;
    while let Some(line) = lines.next()? {
        let kind = scanner.next(line);
        if kind == Line::Command {
            let text = String::from_utf8_lossy(line);
            match database_of(&text) {
                Some(database) => is_inside = dump.database.as_deref() == Some(database),
                // They keep other commands out, and there are none here.
                None if text.starts_with("\\restrict ") || text.starts_with("\\unrestrict ") => {}
                None => bail!("found a command of psql that pg_dump does not write: {}", text.trim()),
            }
        } else if is_inside {
            match kind {
                Line::Statement { .. } if line.starts_with(EMPTY_PATH) => out.write_all(PATH)?,
                Line::Statement { is_whole: true } if is_about_owners(line) => {}
                Line::Comment => {}
                _ => out.write_all(line)?,
            }
        }
    }
    ensure!(scanner.is_between(), "found the end inside a statement, wanted the dump whole");
    ensure!(lines.sha256() == dump.sha256, "{}: found another dump than a moment ago, wanted the same", path.display());
    out.write_all(around.last.as_bytes())?;
    // Whoever reads half of it never commits.
    out.write_all(b"COMMIT;\n").context("the output")
}

/// Whether a statement sets owners or privileges, or is about a database as a whole.
fn is_about_owners(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    let starts = [
        "GRANT ",
        "REVOKE ",
        "ALTER DEFAULT PRIVILEGES ",
        "SET SESSION AUTHORIZATION ",
        "ALTER DATABASE ",
        "COMMENT ON DATABASE ",
        "CREATE DATABASE ",
        "DROP DATABASE ",
    ];
    starts.iter().any(|start| text.starts_with(start)) || (text.starts_with("ALTER ") && text.contains(" OWNER TO "))
}
