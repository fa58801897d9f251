//! What is in a dump, as far as it matters for a move: kind, versions, owners, extensions, rows, and where the photos were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::input::Lines;
use super::scan::{Line, Scanner};

/// What made a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `pg_dump`: one database.
    #[default]
    Database,
    /// `pg_dumpall`: roles, and every database.
    Cluster,
}

/// A dump of another Immich.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dump {
    /// What made it.
    pub kind: Kind,
    /// The SHA-256 of its SQL: two dumps with the same one are the same.
    pub sha256: String,
    /// Whether its last line is there.
    pub is_complete: bool,
    /// Whether objects are dropped before they are made (`--clean`).
    pub drops: bool,
    /// The version of the server that it was made from: `14.17`.
    pub postgres: Option<String>,
    /// The roles that it makes.
    pub roles: BTreeSet<String>,
    /// The database with Immich's tables; only a cluster's dump names it.
    pub database: Option<String>,
    /// Who owns the objects of that database.
    pub owners: BTreeSet<String>,
    /// The extensions of that database. A dump does not name their versions.
    pub extensions: BTreeSet<String>,
    /// The newest version of Immich that has run with it.
    pub immich: Option<String>,
    /// The media path that the server has noted (Immich 1.137 or newer).
    pub media_location: Option<String>,
    /// The roots of the assets' paths, with the number of assets below each; assets of external libraries are `external`.
    pub media: BTreeMap<String, u64>,
    /// The rows of each table.
    pub rows: BTreeMap<String, u64>,
}

impl Dump {
    /// The rows of a table by one of its names; tables had plural names before Immich 1.137.
    pub fn count(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.rows.get(*name).copied())
    }

    /// The major version of the server.
    pub fn major(&self) -> Option<u32> {
        self.postgres.as_deref()?.split('.').next()?.parse().ok()
    }

    /// The media path of the old server.
    pub fn media_path(&self) -> Option<&str> {
        let most = self.media.iter().filter(|(root, _)| root.as_str() != EXTERNAL).max_by_key(|(_, count)| **count);
        self.media_location.as_deref().or_else(|| most.map(|(root, _)| root.as_str()))
    }
}

/// The key of [`Dump::media`] for assets of external libraries.
const EXTERNAL: &str = "external";
/// Immich's media paths: of now, and until 1.136.
const ROOTS: [&str; 2] = ["/data", "/usr/src/app/upload"];
/// The table whose rows name Immich's versions: whatever database has it is Immich's.
const OF_IMMICH: &str = "version_history";

/// Reads a dump.
pub fn read(path: &Path) -> Result<Dump> {
    let mut lines = Lines::open(path)?;
    let mut scanner = Scanner::new();
    let mut reader = Reader::default();
    while let Some(line) = lines.next()? {
        match scanner.next(line) {
            Line::Comment => reader.comment(&String::from_utf8_lossy(line)),
            Line::Command => reader.command(&String::from_utf8_lossy(line)),
            Line::Statement { .. } => reader.statement(&String::from_utf8_lossy(line)),
            Line::Row => reader.row(line),
            Line::Within | Line::EndOfRows => {}
        }
    }
    let mut dump = reader.finish();
    dump.is_complete &= scanner.is_between();
    dump.sha256 = lines.sha256();
    Ok(dump)
}

/// The database of a `\connect`, as `pg_dumpall` writes it.
pub(super) fn database_of(command: &str) -> Option<&str> {
    let rest = command.trim().strip_prefix("\\connect ")?;
    let last = rest.rsplit_once("dbname='").map_or(rest, |(_, name)| name);
    Some(last.trim_matches(['"', '\'']))
}

/// The name of a table without its schema and quotes.
fn bare(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned()
}

#[derive(Default)]
struct Reader {
    /// What is the same in each database.
    whole: Dump,
    /// What was read of the current database.
    current: Dump,
    /// What was read of Immich's.
    immich: Option<Dump>,
    database: Option<String>,
    table: String,
    columns: Vec<String>,
    newest: String,
}

impl Reader {
    fn comment(&mut self, line: &str) {
        let text = line.trim_start_matches("--").trim();
        if let Some(version) = text.strip_prefix("Dumped from database version ") {
            self.whole.postgres = version.split(' ').next().map(str::to_owned);
        } else if text == "PostgreSQL database cluster dump" {
            self.whole.kind = Kind::Cluster;
        } else {
            let end = match self.whole.kind {
                Kind::Database => "PostgreSQL database dump complete",
                Kind::Cluster => "PostgreSQL database cluster dump complete",
            };
            self.whole.is_complete |= text == end;
        }
    }

    fn command(&mut self, line: &str) {
        if let Some(database) = database_of(line) {
            self.end_database();
            self.database = Some(database.to_owned());
        }
    }

    fn end_database(&mut self) {
        let current = std::mem::take(&mut self.current);
        if current.rows.contains_key(OF_IMMICH) {
            self.immich = Some(Dump { database: self.database.clone(), ..current });
        }
    }

    fn statement(&mut self, line: &str) {
        let line = line.trim_end();
        let name = |rest: &str| rest.trim_end_matches(';').split(' ').next().unwrap_or_default().trim_matches('"').to_owned();
        if let Some(rest) = line.strip_prefix("COPY ") {
            let (table, columns) = rest.split_once(" (").unwrap_or((rest, ""));
            self.table = bare(table);
            let columns = columns.rsplit_once(") FROM").map_or("", |(columns, _)| columns);
            self.columns = columns.split(", ").map(|column| column.trim_matches('"').to_owned()).collect();
            self.current.rows.entry(self.table.clone()).or_default();
        } else if let Some(rest) = line.strip_prefix("INSERT INTO ") {
            let table = bare(rest.split(' ').next().unwrap_or_default());
            *self.current.rows.entry(table).or_default() += 1;
        } else if let Some(rest) = line.strip_prefix("CREATE EXTENSION IF NOT EXISTS ") {
            self.current.extensions.insert(name(rest));
        } else if let Some(rest) = line.strip_prefix("CREATE ROLE ") {
            self.whole.roles.insert(name(rest));
        } else if line.starts_with("DROP ") && !line.starts_with("DROP DATABASE") && !line.starts_with("DROP ROLE") {
            self.current.drops = true;
        } else if line.starts_with("ALTER ")
            && let Some((_, owner)) = line.rsplit_once(" OWNER TO ")
        {
            self.current.owners.insert(name(owner));
        }
    }

    fn row(&mut self, line: &[u8]) {
        *self.current.rows.entry(self.table.clone()).or_default() += 1;
        if !matches!(self.table.as_str(), OF_IMMICH | "system_metadata" | "asset" | "assets") {
            return;
        }
        let line = String::from_utf8_lossy(line);
        let fields: Vec<_> = line.trim_end_matches(['\n', '\r']).split('\t').collect();
        let field = |name: &str| {
            let at = self.columns.iter().position(|column| column == name)?;
            fields.get(at).filter(|text| **text != "\\N").map(|text| text.replace("\\\\", "\\"))
        };
        match self.table.as_str() {
            OF_IMMICH => {
                if let (Some(version), Some(created)) = (field("version"), field("createdAt"))
                    && created > self.newest
                {
                    (self.current.immich, self.newest) = (Some(version.trim_start_matches('v').to_owned()), created);
                }
            }
            "system_metadata" if field("key").as_deref() == Some("MediaLocation") => {
                let value = field("value").and_then(|text| serde_json::from_str::<Value>(&text).ok());
                self.current.media_location = value.and_then(|value| Some(value["location"].as_str()?.to_owned()));
            }
            "asset" | "assets" => {
                let is_external = field("isExternal").as_deref() == Some("t");
                let path = field("originalPath").unwrap_or_default();
                let root = if is_external { EXTERNAL.to_owned() } else { root_of(&path) };
                *self.current.media.entry(root).or_default() += 1;
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Dump {
        self.end_database();
        let found = self.immich.unwrap_or_default();
        let Dump { kind, is_complete, postgres, roles, .. } = self.whole;
        Dump { kind, is_complete, postgres, roles, ..found }
    }
}

/// The media path to which a path belongs.
fn root_of(path: &str) -> String {
    let known = ROOTS.into_iter().find(|root| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')));
    if let Some(root) = known {
        return root.to_owned();
    }
    let folders = ["/upload/", "/library/", "/encoded-video/"];
    let at = folders.iter().filter_map(|folder| path.find(folder)).min();
    match at {
        Some(at) => path[..at].to_owned(),
        // `upload/library/…`, relative to /usr/src/app, in Immich before 1.136.
        None if path.starts_with("upload/") => "upload".to_owned(),
        None => "elsewhere".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_path_is_told_from_the_paths_of_assets() {
        for (path, root) in [
            ("/data/library/ada/1.jpg", "/data"),
            ("/usr/src/app/upload/upload/u/1.jpg", "/usr/src/app/upload"),
            ("upload/library/ada/1.jpg", "upload"),
            ("/photos/upload/u/1.jpg", "/photos"),
            ("/database/1.jpg", "elsewhere"),
        ] {
            assert_eq!(root_of(path), root, "{path}");
        }
    }

    #[test]
    fn a_database_is_named_as_pg_dumpall_names_it() {
        assert_eq!(database_of("\\connect immich\n"), Some("immich"));
        assert_eq!(database_of("\\connect -reuse-previous=on \"dbname='my db'\"\n"), Some("my db"));
        assert_eq!(database_of("\\restrict x\n"), None);
    }
}
