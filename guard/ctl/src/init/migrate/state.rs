//! Whether a database can take a dump: what is in it and the dump enter, the decision leaves. A dump is never restored twice.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::dump::Dump;

/// What is in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The SHA-256 of the dump that was restored into it: the restore notes it in its transaction.
    pub mark: Option<String>,
    /// The rows of each table.
    pub rows: BTreeMap<String, u64>,
}

impl Found {
    /// The tables that say most.
    pub(super) fn told(&self) -> String {
        let count = |names: [&str; 2]| names.iter().find_map(|name| self.rows.get(*name)).copied().unwrap_or_default();
        format!(
            "{} tables with {} rows ({} users, {} assets, {} albums)",
            self.rows.len(),
            self.rows.values().sum::<u64>(),
            count(["user", "users"]),
            count(["asset", "assets"]),
            count(["album", "albums"])
        )
    }
}

/// What is to be done with a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It can be restored.
    Empty,
    /// It was restored.
    Restored,
    /// It cannot be restored: why, and what is wanted.
    Other(String),
}

/// Decides.
pub(super) fn judge(found: &Found, dump: &Dump) -> State {
    if found.rows.is_empty() {
        return State::Empty;
    }
    // With the mark, the rows do not matter: Immich may have run since.
    if found.mark.as_ref() == Some(&dump.sha256) || is_equal(&found.rows, &dump.rows) {
        return State::Restored;
    }
    let from = match &found.mark {
        Some(mark) => format!(", restored from another dump (sha256 {mark})"),
        None => String::new(),
    };
    State::Other(format!(
        "the database is not empty: found {}{from}, wanted an empty database, or one that was restored from this dump (sha256 {}); nothing was restored. \
         If this home is in use, run guardctl init without --from-dump; if nothing in it matters: docs/migrate.md, \"The database is not empty\"",
        found.told(),
        dump.sha256
    ))
}

/// How a restore ended: the database itself says it, since a connection may break after the last line.
pub(super) fn outcome(restored: Result<()>, found: Result<Found>, dump: &Dump) -> Result<Found> {
    match (restored, found) {
        (_, Ok(found)) if judge(&found, dump) == State::Restored => Ok(found),
        (Err(error), Ok(found)) if judge(&found, dump) == State::Empty => {
            Err(error.context("it was not restored, and the database is as empty as before"))
        }
        (Err(error), _) => Err(error.context("the restore ended with an error; the next run finds out whether it was committed")),
        (Ok(()), found) => {
            let told = found?.told();
            bail!("the restore ended without an error, and is not in the database: found {told}")
        }
    }
}

/// Whether each table has the same rows. A dump made with `--inserts` does not name the tables without rows.
fn is_equal(found: &BTreeMap<String, u64>, dump: &BTreeMap<String, u64>) -> bool {
    let count = |rows: &BTreeMap<String, u64>, table: &str| rows.get(table).copied().unwrap_or_default();
    found.keys().chain(dump.keys()).all(|table| count(found, table) == count(dump, table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(table, count)| ((*table).to_owned(), *count)).collect()
    }

    fn dump() -> Dump {
        Dump { sha256: "ab".repeat(32), rows: rows(&[("user", 3), ("asset", 12), ("album", 0)]), ..Dump::default() }
    }

    fn found(mark: Option<&str>, pairs: &[(&str, u64)]) -> Found {
        Found { mark: mark.map(str::to_owned), rows: rows(pairs) }
    }

    #[test]
    fn an_empty_database_takes_the_dump_whatever_its_mark_says() {
        assert_eq!(judge(&Found::default(), &dump()), State::Empty);
        assert_eq!(judge(&found(Some(&"ab".repeat(32)), &[]), &dump()), State::Empty, "somebody has emptied it");
    }

    #[test]
    fn its_own_restore_is_recognised_by_the_mark_and_one_by_hand_by_its_rows() {
        let used = [("user", 4), ("asset", 99), ("album", 1)];
        assert_eq!(judge(&found(Some(&"ab".repeat(32)), &used), &dump()), State::Restored);
        assert_eq!(judge(&found(None, &[("user", 3), ("asset", 12), ("album", 0)]), &dump()), State::Restored);
        assert_eq!(judge(&found(None, &[("user", 3), ("asset", 12)]), &dump()), State::Restored, "as by --inserts");
    }

    #[test]
    fn what_a_restore_has_done_is_asked_of_the_database() {
        let broken = || Err(anyhow::anyhow!("connection lost"));
        let whole = || Ok(found(Some(&"ab".repeat(32)), &[("user", 3)]));
        let told = |restored: Result<()>, found: Result<Found>| match outcome(restored, found, &dump()) {
            Ok(_) => "restored".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        assert_eq!(told(Ok(()), whole()), "restored");
        assert_eq!(told(broken(), whole()), "restored", "the connection broke behind the last line");
        assert!(told(broken(), Ok(Found::default())).contains("as empty as before: connection lost"));
        assert!(told(broken(), broken().map(|()| Found::default())).contains("the next run finds out"));
        assert!(told(Ok(()), Ok(Found::default())).contains("is not in the database: found 0 tables"));
    }

    #[test]
    fn any_other_database_is_refused_with_what_is_in_it() {
        for (mark, pairs) in [
            (None, &[("user", 0), ("asset", 0), ("album", 0)][..]),
            (None, &[("user", 3), ("asset", 11), ("album", 0)]),
            (None, &[("user", 3), ("asset", 12), ("album", 0), ("mine", 1)]),
            (Some("cd"), &[("user", 1)]),
        ] {
            let State::Other(why) = judge(&found(mark, pairs), &dump()) else { panic!("{pairs:?} was not refused") };
            assert!(
                why.contains(&format!("found {} tables with", pairs.len())) && why.contains("wanted an empty database"),
                "{why}"
            );
            assert_eq!(why.contains("another dump (sha256 cd)"), mark.is_some(), "{why}");
        }
    }
}
