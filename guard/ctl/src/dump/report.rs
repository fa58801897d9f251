//! What a dump means for a move: problems, and the steps with their commands.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::facts::{Dump, Kind};
use super::{MAJOR, MEDIA, OWNER};

/// The oldest Immich whose database a server of now migrates (Immich's release notes of 1.132 to 1.137).
const OLDEST: (u32, u32) = (1, 132);

/// What stands against restoring this dump here; empty if nothing does.
pub fn problems(dump: &Dump) -> Vec<String> {
    let mut problems = Vec::new();
    if !dump.is_complete {
        problems.push("the dump ends early: its last line (\"dump complete\") is not there; make it again".to_owned());
    }
    let assets = dump.count(&["asset", "assets"]);
    if dump.rows.is_empty() || assets.is_none() {
        problems.push(
            "found no tables of Immich, wanted a dump with version_history and asset, as pg_dump or pg_dumpall writes it"
                .to_owned(),
        );
        return problems;
    }
    if dump.extensions.contains("vectors") {
        problems.push(if dump.extensions.contains("vchord") {
            "the extension vectors (pgvecto.rs) is still there beside VectorChord, and this home's database does not have it; on the old machine: \
             docker exec immich_postgres psql -U postgres -d immich -c 'DROP EXTENSION vectors', then dump again"
                .to_owned()
        } else {
            "the vectors are pgvecto.rs's (extension vectors), which this home's database does not have; update the old Immich and its database image \
             until it has moved to VectorChord, then dump again"
                .to_owned()
        });
    }
    if let Some(major) = dump.major().filter(|major| *major > MAJOR) {
        problems.push(format!("the dump is of PostgreSQL {major}, and this home has {MAJOR}: an older server does not take it"));
    }
    if let Some(version) = dump.immich.as_deref() {
        let mut numbers = version.split('.').map_while(|part| part.parse().ok());
        if let (Some(major), Some(minor)) = (numbers.next(), numbers.next())
            && (major, minor) < OLDEST
        {
            problems.push(format!(
                "Immich {version} is too old to be migrated by a server of now; update the old Immich to the version of this home first, then dump again"
            ));
        }
    }
    problems
}

#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    ok: bool,
    dump: &'a Dump,
    problems: &'a [String],
}

/// The dump and its problems, for programs.
pub(super) fn json(dump: &Dump, problems: &[String]) -> String {
    let json = Json { schema: "guard.dump/v1", ok: problems.is_empty(), dump, problems };
    serde_json::to_string_pretty(&json).unwrap_or_default()
}

fn words(set: &BTreeSet<String>) -> String {
    if set.is_empty() { "none named".to_owned() } else { set.iter().cloned().collect::<Vec<_>>().join(", ") }
}

/// The dump, its problems and the steps, for people.
pub(super) fn text(dump: &Dump, problems: &[String], path: &Path) -> String {
    let text = about(dump, problems);
    if problems.is_empty() { text + &steps(dump, path) } else { text }
}

/// The dump and its problems, or what is to be known about it.
pub(crate) fn about(dump: &Dump, problems: &[String]) -> String {
    let mut text = String::new();
    let unknown = "not named";
    let count = |names: &[&str]| dump.count(names).map_or_else(|| "no table".to_owned(), |count| count.to_string());
    let kind = match (dump.kind, dump.database.as_deref()) {
        (Kind::Cluster, database) => format!("pg_dumpall, with the database {}", database.unwrap_or(unknown)),
        (Kind::Database, _) => "pg_dump, of one database".to_owned(),
    };
    let media: Vec<_> = dump.media.iter().map(|(root, count)| format!("{root} ({count} assets)")).collect();
    let rows = [
        ("dump", kind),
        ("PostgreSQL", dump.postgres.clone().unwrap_or_else(|| unknown.to_owned())),
        ("Immich", dump.immich.clone().unwrap_or_else(|| unknown.to_owned())),
        ("owner", format!("{} (here: {OWNER})", words(&dump.owners))),
        ("extensions", format!("{} (a dump names no versions)", words(&dump.extensions))),
        ("media path", format!("{} (here: {MEDIA})", dump.media_path().unwrap_or(unknown))),
        ("paths", if media.is_empty() { "none".to_owned() } else { media.join(", ") }),
        (
            "rows",
            format!(
                "{} users, {} assets, {} albums",
                count(&["user", "users"]),
                count(&["asset", "assets"]),
                count(&["album", "albums"])
            ),
        ),
    ];
    for (name, value) in rows {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name:11} {value}");
    }
    for problem in problems {
        let _ = writeln!(text, "✗ {problem}");
    }
    if !problems.is_empty() {
        return text;
    }
    for note in notes(dump) {
        let _ = writeln!(text, "! {note}");
    }
    text
}

fn notes(dump: &Dump) -> Vec<String> {
    let mut notes = Vec::new();
    if dump.owners.iter().any(|owner| owner != OWNER) {
        notes.push(format!(
            "the objects belong to {}: convert leaves owners out, so {OWNER} owns what it restores",
            words(&dump.owners)
        ));
    }
    if dump.kind == Kind::Cluster {
        notes.push("the dump also makes roles and drops databases: convert takes Immich's database only".to_owned());
    }
    if dump.media_path().is_some_and(|path| path != MEDIA) {
        notes.push(format!(
            "the media path changes to {MEDIA}: Immich rewrites the paths at its first start here; do not set IMMICH_MEDIA_LOCATION"
        ));
    }
    if dump.media.contains_key("external") {
        notes.push("there are external libraries: mount their folders at the same paths, or their assets are offline".to_owned());
    }
    if dump.media.contains_key("elsewhere") {
        notes.push("some assets are at no known media path: look at them before you go on".to_owned());
    }
    notes
}

fn steps(dump: &Dump, path: &Path) -> String {
    let version = dump.immich.as_deref().map_or_else(String::new, |version| format!(", {version} or newer here"));
    let assets = dump.count(&["asset", "assets"]).unwrap_or_default();
    let in_database = "kubectl -n immich exec -i deploy/immich-postgres -- psql -U immich -d immich -X -q --set ON_ERROR_STOP=on";
    format!(
        "\nSteps (docs/migrate.md):\n\
         1. The old server is stopped, and the versions fit{version}: docker stop immich_server\n\
         2. Copy the photos: everything below UPLOAD_LOCATION into the NAS's directory that is {MEDIA} here; then chown -R 1000:1000\n\
         3. Start the database alone, empty: kubectl kustomize clusters/home.local | kubectl apply -l app.kubernetes.io/name=immich-postgres -f -\n\
         4. Restore, as one transaction:\n   \
            guardctl dump convert {} | {in_database} -o /dev/null && echo restored\n\
         5. Compare: {in_database} -Atc 'select count(*) from asset'   # wanted: {assets}\n\
         6. Start everything: kubectl apply -k clusters/home.local. The first start migrates the database and builds the vector indexes.\n\
         To go back: docker start immich_server. The old database and photos are untouched; what was uploaded here since is here only.\n",
        path.display()
    )
}
