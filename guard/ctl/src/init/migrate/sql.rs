//! The SQL around a restore, and the questions to a database. Everything is said in full: a dump changes the search path.

use std::collections::BTreeMap;

use crate::dump::convert::Around;
use crate::dump::{Dump, OWNER};

/// What the comment of a restored database begins with. PostgreSQL keeps it beside the database, and a dump of the database does not have it.
const MARK: &str = "guardctl init --from-dump: sha256 ";

/// The tables that are nobody's but the user's: `c` is the table, `n` its schema.
const TABLES: &str = "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// A text as a literal (with `standard_conforming_strings`, which is on unless somebody switched it off).
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as an identifier.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the transaction of a restore does besides: it is the only one, it finds the database empty, it leaves each table with the rows of the dump, and
/// notes which dump it was.
pub(super) fn around(dump: &Dump) -> Around {
    let first = format!(
        "DO $guardctl$ BEGIN\n\
         IF NOT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('guardctl init --from-dump')) THEN\n  \
           RAISE EXCEPTION 'another restore is going on: wait for its end, or end it by kubectl -n immich rollout restart deployment/immich-postgres';\nEND IF;\n\
         IF EXISTS (SELECT {TABLES}) THEN\n  RAISE EXCEPTION 'the database is not empty any more';\nEND IF;\n\
         END $guardctl$;\n"
    );
    let wanted = serde_json::to_string(&dump.rows).unwrap_or_default();
    let last = format!(
        "DO $guardctl$ DECLARE wanted record; found record; part bigint; total bigint; BEGIN\n\
         FOR wanted IN SELECT key, value::pg_catalog.int8 AS rows FROM pg_catalog.jsonb_each_text({}::pg_catalog.jsonb) LOOP\n  \
           total := 0;\n  \
           FOR found IN SELECT n.nspname, c.relname {TABLES} AND c.relname = wanted.key LOOP\n    \
             EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) FROM %I.%I', found.nspname, found.relname) INTO part;\n    \
             total := total + part;\n  END LOOP;\n  \
           IF total <> wanted.rows THEN\n    \
             RAISE EXCEPTION 'the table % has % rows, and the dump % of them', wanted.key, total, wanted.rows;\n  END IF;\n\
         END LOOP;\nEND $guardctl$;\n\
         COMMENT ON DATABASE {} IS {};\n",
        literal(&wanted),
        identifier(OWNER),
        literal(&format!("{MARK}{}", dump.sha256))
    );
    Around { first, last }
}

/// The mark, and the tables as JSON: `[mark, [[schema, table], …]]`.
pub(super) fn tables() -> String {
    format!(
        "SELECT pg_catalog.json_build_array((SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database \
         WHERE datname = pg_catalog.current_database()), \
         (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, c.relname)), '[]') {TABLES}))"
    )
}

/// The dump that a mark names.
pub(super) fn marked(mark: &str) -> Option<String> {
    mark.strip_prefix(MARK).map(str::to_owned)
}

/// One line `TABLE<tab>ROWS` a table; the names are those of the dump's facts, without their schema.
pub(super) fn counts(tables: &[(String, String)]) -> String {
    let count = |(schema, table): &(String, String)| {
        format!("SELECT {}, pg_catalog.count(*) FROM {}.{};\n", literal(table), identifier(schema), identifier(table))
    };
    tables.iter().map(count).collect()
}

/// Reads what [`counts`] printed. Tables of the same name in two schemas are one here, as they are in the dump's facts.
pub(super) fn counted(lines: &str) -> Option<BTreeMap<String, u64>> {
    let mut rows = BTreeMap::new();
    for line in lines.lines() {
        let (table, count) = line.rsplit_once('\t')?;
        *rows.entry(table.to_owned()).or_default() += count.parse::<u64>().ok()?;
    }
    Some(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        let dump = Dump { rows: BTreeMap::from([("it's".to_owned(), 1)]), ..Dump::default() };
        assert!(around(&dump).last.contains(r#"'{"it''s":1}'::"#), "{}", around(&dump).last);
        let tables = [("public".to_owned(), "a\"b'c".to_owned())];
        assert_eq!(counts(&tables), "SELECT 'a\"b''c', pg_catalog.count(*) FROM \"public\".\"a\"\"b'c\";\n");
    }

    #[test]
    fn tables_of_one_name_are_counted_together() {
        assert_eq!(
            counted("asset\t2\nuser\t1\nasset\t3\n").unwrap(),
            BTreeMap::from([("asset".to_owned(), 5), ("user".to_owned(), 1)])
        );
        assert_eq!(counted("no count\n"), None);
    }

    #[test]
    fn only_a_mark_of_this_tool_names_a_dump() {
        assert_eq!(marked("guardctl init --from-dump: sha256 ab").as_deref(), Some("ab"));
        assert_eq!(marked("my photos"), None);
    }
}
