#!/usr/bin/env bash
# Copies the database from a server of an older major version, which runs in this pod on the old data directory, into the new, empty one.
# The old directory stays as it is. docs/upgrades.md.
# Input: OLD_PGHOST (this pod only), PGHOST, PGUSER, PGDATABASE, PASSWORD_FILE, SCRATCH (a directory for the dump).
# Exit codes: 2 configuration, 60 a server does not answer, 61 the old database cannot be copied as it is, 62 the new database is not
# empty, 66 the new data differ from the old.
set -euo pipefail
umask 077
export LC_ALL=C

fail() {
  echo "immich-db-upgrade: $2" >&2
  exit "$1"
}

for name in OLD_PGHOST PGHOST PGUSER PGDATABASE PASSWORD_FILE SCRATCH; do
  [[ -n ${!name:-} ]] || fail 2 "$name is not set"
done
# The other way round, the new, empty database would be the source.
case $OLD_PGHOST in
  127.0.0.1 | ::1 | localhost | /*) ;;
  *) fail 2 "OLD_PGHOST is $OLD_PGHOST, wanted this pod's own server: 127.0.0.1" ;;
esac
[[ $OLD_PGHOST != "$PGHOST" ]] || fail 2 "OLD_PGHOST and PGHOST are the same server: $PGHOST"
[[ -r $PASSWORD_FILE ]] || fail 2 "PASSWORD_FILE $PASSWORD_FILE cannot be read"

passfile=$(mktemp)
trap 'rm -f "$passfile"' EXIT
# Keeps the password out of the arguments and the environment. The format of the file requires a backslash before `\` and `:`.
password=$(<"$PASSWORD_FILE")
password=${password//\\/\\\\}
printf '*:*:*:*:%s\n' "${password//:/\\:}" >"$passfile"
unset password
export PGPASSFILE=$passfile PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-30}

# terse: an error of psql then has no context. The context quotes the row, and rows must not get into a log.
sql() { # HOST, then arguments of psql
  psql --host "$1" --no-psqlrc --no-password --quiet --tuples-only --no-align --set ON_ERROR_STOP=on --set VERBOSITY=terse "${@:2}"
}
ready() {
  local end=$((SECONDS + ${WAIT_SECONDS:-600}))
  until pg_isready --quiet --host "$1"; do
    ((SECONDS < end)) || fail 60 "the server on $1 does not answer"
    sleep 1
  done
}
ready "$OLD_PGHOST"
ready "$PGHOST"
version() { sql "$1" --command "select current_setting('server_version_num')::int / 10000" || fail 60 "the server on $1 refuses $PGUSER"; }
old=$(version "$OLD_PGHOST")
new=$(version "$PGHOST")
((old <= new)) || fail 2 "the old server has version $old and the new one $new: a dump never goes into an older version"

tables="select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') order by 1"
there=$(sql "$PGHOST" --command "$tables")
[[ -z $there ]] || fail 62 "$PGDATABASE on $PGHOST has tables already, wanted an empty database. If the copy was made before, remove this
component; if Immich was started on the new database, stop, empty its directory, and begin again"
wanted=$(sql "$OLD_PGHOST" --command "$tables")
grep -qx 'public\."user"' <<<"$wanted" || fail 61 "the old database has no table of users: is the path the old data directory?"
# pgvecto.rs is in no image of a newer version. Immich leaves it by itself once it has run with VectorChord.
left=$(sql "$OLD_PGHOST" --command "select count(a.attname) from pg_extension e join pg_depend d on d.refobjid = e.oid and d.deptype = 'e'
  left join pg_attribute a on a.atttypid = d.objid and d.classid = 'pg_type'::regclass and a.attnum > 0 and not a.attisdropped
  where e.extname = 'vectors' group by e.oid")
[[ ${left:-0} == 0 ]] || fail 61 'the old database still has columns of pgvecto.rs: let Immich move them to VectorChord first, with the old image
(docs/upgrades.md)'
there=$(sql "$OLD_PGHOST" --command "select extname from pg_extension where extname = 'vectors'")
[[ -z $there ]] || fail 61 'the old database still has the extension "vectors" (pgvecto.rs), which nothing uses. On the old server, with Immich
stopped: DROP EXTENSION vectors; DROP SCHEMA IF EXISTS vectors; see docs/upgrades.md'

# To a file first: psql would commit the first half of a dump that was cut off.
start=$SECONDS
dump=$SCRATCH/immich.sql
echo "immich-db-upgrade: version $old to $new, $(wc -l <<<"$wanted") tables"
pg_dump --host "$OLD_PGHOST" --no-password --no-owner --no-privileges --file "$dump" || fail 61 "the old database cannot be dumped"
grep -q '^-- PostgreSQL database dump complete' "$dump" || fail 61 "the dump has no end"

# Without the sed, Postgres does not find the vector types; `true` limits the setting to this transaction. The two vector indexes are left
# out: their format is VectorChord's, which is newer too, and Immich builds them when it starts.
sed "s/SELECT pg_catalog.set_config('search_path', '', false);/SELECT pg_catalog.set_config('search_path', 'public, pg_catalog', true);/" "$dump" |
  awk '/^CREATE INDEX (clip_index|face_index) / { skips = 1 } !skips { print } skips && /;$/ { skips = 0 }' |
  sql "$PGHOST" --single-transaction --output /dev/null || fail 66 "the dump cannot be restored; nothing was written"

rows=0
while read -r table; do
  before=$(sql "$OLD_PGHOST" --command "select count(*) from $table") || fail 60 "$table cannot be read on the old server"
  after=$(sql "$PGHOST" --command "select count(*) from $table") || fail 66 "$table cannot be read after the restore"
  [[ $before == "$after" ]] || fail 66 "$table has $after rows after the restore, wanted $before"
  rows=$((rows + after))
done <<<"$wanted"
indexes="select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_namespace n on n.oid = c.relnamespace where i.indisvalid and n.nspname not like 'pg\_%'
  and c.relname not in ('clip_index', 'face_index') order by 1"
[[ $(sql "$OLD_PGHOST" --command "$indexes") == "$(sql "$PGHOST" --command "$indexes")" ]] || fail 66 "the indexes differ after the restore"
sql "$PGHOST" --command analyze || fail 66 "the statistics cannot be made"
printf '{"from":%d,"to":%d,"tables":%d,"rows":%d,"dump_bytes":%d,"seconds":%d}\n' \
  "$old" "$new" "$(wc -l <<<"$wanted")" "$rows" "$(stat -c %s "$dump")" "$((SECONDS - start))"
