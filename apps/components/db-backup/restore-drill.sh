#!/usr/bin/env bash
# Restores the newest dump in BACKUP_DIR into the empty, temporary server of its own pod, counts the rows of every table, and writes
# the result to a file. docs/backup.md.
# Input: PGHOST (this pod only), PGUSER, PGDATABASE, PGPASSWORD, BACKUP_DIR, and GUARD_NAS_ID of the NAS gate.
# `guard nas exec` runs this script.
# Exit codes: 2 configuration, 60 the temporary server, 61 the dump is not complete, 64 the directory, 65 no dump,
# 66 the restored data differ from the dump.
set -euo pipefail
umask 077
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
stamp=last-restore-drill.json

fail() {
  echo "immich-db-restore-drill: $2" >&2
  exit "$1"
}

for name in PGHOST PGUSER PGDATABASE BACKUP_DIR; do
  [[ -n ${!name:-} ]] || fail 2 "$name is not set"
done
[[ -n ${GUARD_NAS_ID:-} ]] || fail 2 "no id of the disk: run \`guard nas init\` on it and set the annotation guard.immich/backup-id"
# The dump begins with DROP, so it must not be restored into any server outside this pod.
case $PGHOST in
  127.0.0.1 | ::1 | localhost | /*) ;;
  *) fail 2 "PGHOST is $PGHOST, wanted this pod's own server: 127.0.0.1" ;;
esac
cd "$BACKUP_DIR" || fail 64 "BACKUP_DIR $BACKUP_DIR cannot be entered"

shopt -s nullglob
dumps=(immich-db-backup-*.sql.gz)
((${#dumps[@]})) || fail 65 "no dump in $BACKUP_DIR"
dump=${dumps[-1]}
sha256sum --check --status "$dump.sha256" || fail 61 "$dump is not what its .sha256 says"
wanted=$(gzip -dc "$dump" | awk -f "$here/rows.awk" | sort) || fail 61 "$dump is not whole"

# terse: an error of psql then has no context. The context quotes the row, and rows must not get into a log.
sql() {
  psql --no-psqlrc --no-password --quiet --tuples-only --no-align --set ON_ERROR_STOP=on --set VERBOSITY=terse "$@"
}
tables=$(sql --command "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'") ||
  fail 60 "the throw-away server on $PGHOST does not answer"
# A second safeguard, for any way of calling this script: never drop tables in a database that is not empty.
((tables == 0)) || fail 2 "$PGDATABASE on $PGHOST has $tables tables, wanted an empty one"

# The restore that Immich documents. Without the sed, Postgres does not find the vector types; `true` limits the setting to this transaction.
start=$SECONDS
gzip -dc "$dump" |
  sed "s/SELECT pg_catalog.set_config('search_path', '', false);/SELECT pg_catalog.set_config('search_path', 'public, pg_catalog', true);/g" |
  sql --single-transaction --output /dev/null || fail 66 "$dump cannot be restored"

while IFS=$'\t' read -r rows table; do
  found=$(sql --command "select count(*) from $table") || fail 66 "$table cannot be read after the restore"
  [[ $found == "$rows" ]] || fail 66 "$table has $found rows after the restore, wanted $rows"
done <<<"$wanted"
broken=$(sql --command "select string_agg(indexrelid::regclass::text, ', ') from pg_index where not indisvalid")
[[ -z $broken ]] || fail 66 "not valid after the restore: $broken"
server=$(sql --command "select split_part(current_setting('server_version'), ' ', 1)")

# Records when a dump was last known to be good. If a drill fails, the file of the previous drill stays.
sum=$(<"$dump.sha256")
printf '{"time":"%s","dump":"%s","sha256":"%s","bytes":%d,"postgres":"%s","tables":%d,"rows":%d,"restore_seconds":%d}\n' \
  "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$dump" "${sum%% *}" "$(stat -c %s "$dump")" "$server" \
  "$(wc -l <<<"$wanted")" "$(awk '{ n += $1 } END { print n }' <<<"$wanted")" "$((SECONDS - start))" >"$stamp.tmp"
sync "$stamp.tmp"
mv "$stamp.tmp" "$stamp"
sync .
cat "$stamp"
