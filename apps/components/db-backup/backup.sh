#!/usr/bin/env bash
# Dumps Immich's database to BACKUP_DIR. A file with the final name of a dump is complete, was read back, and has a .sha256 file.
# docs/backup.md.
# Input: PGHOST, PGUSER, PGDATABASE, PASSWORD_FILE, BACKUP_DIR, BACKUP_KEEP, and GUARD_NAS_ID of the NAS gate.
# `guard nas exec` runs this script.
# Exit codes: 2 configuration, 60 database, 61 the dump is not complete, 62 no space, 63 another run is active, 64 the directory.
set -euo pipefail
umask 077
export LC_ALL=C

# Tables that Immich cannot work without. A dump without one of them is not a dump of Immich.
readonly TABLES=(public.album public.asset public.asset_exif public.system_metadata 'public."user"' public.version_history)
here=$(cd "$(dirname "$0")" && pwd)

fail() {
  echo "immich-db-backup: $2" >&2
  exit "$1"
}

for name in PGHOST PGUSER PGDATABASE PASSWORD_FILE BACKUP_DIR BACKUP_KEEP; do
  [[ -n ${!name:-} ]] || fail 2 "$name is not set"
done
[[ $BACKUP_KEEP =~ ^[1-9][0-9]*$ ]] || fail 2 "BACKUP_KEEP is '$BACKUP_KEEP', wanted a number from 1"
# A local file system is allowed here. The machine's own disk has a local file system too, so only the id identifies the right disk.
[[ -n ${GUARD_NAS_ID:-} ]] || fail 2 "no id of the disk: run \`guard nas init\` on it and set the annotation guard.immich/backup-id"
[[ -r $PASSWORD_FILE ]] || fail 2 "PASSWORD_FILE $PASSWORD_FILE cannot be read"
cd "$BACKUP_DIR" || fail 64 "BACKUP_DIR $BACKUP_DIR cannot be entered"

# Only one run at a time, across restarts and pods. The lock ends with the process that holds it.
{ exec 9>.lock; } 2>/dev/null || fail 64 "$BACKUP_DIR cannot be written to by user $(id -u)"
flock --nonblock 9 || fail 63 "another run is under way in $BACKUP_DIR"

# Removes the files of a run that was killed. The lock shows that no other run uses them.
rm -f immich-db-backup-*.tmp
passfile=$(mktemp)
part=
# Also needed for SIGTERM when bash is PID 1: bash handles that signal only if an EXIT trap is set.
trap 'rm -f "$passfile" ${part:+"$part"}' EXIT

# Keeps the password out of the arguments and the environment. The format of the file requires a backslash before `\` and `:`.
password=$(<"$PASSWORD_FILE")
password=${password//\\/\\\\}
printf '*:*:*:*:%s\n' "${password//:/\\:}" >"$passfile"
unset password
export PGPASSFILE=$passfile PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-30}

facts=$(psql --no-psqlrc --no-password --tuples-only --no-align --set ON_ERROR_STOP=on <<'SQL'
select split_part(current_setting('server_version'), ' ', 1), pg_database_size(current_database()),
  (select version from version_history order by "createdAt" desc limit 1);
SQL
) || fail 60 "$PGUSER@$PGHOST/$PGDATABASE does not answer, or is not Immich's database"
IFS='|' read -r postgres size immich <<<"$facts"
immich=${immich#v}
[[ $immich =~ ^[0-9A-Za-z.+-]+$ ]] || fail 60 "$PGDATABASE names no version of Immich: has its server ever started?"

# The shell sorts the files, and their names begin with the time: the last one is the newest.
shopt -s nullglob
dumps=(immich-db-backup-*.sql.gz)
need=$size
if ((${#dumps[@]})); then
  need=$((2 * $(stat -c %s "${dumps[-1]}")))
fi
free=$(df --block-size=1 --output=avail . | tail -n 1)
((free >= need)) || fail 62 "$BACKUP_DIR has $((free)) bytes free, wanted $need"

# The same name format as Immich's own dumps, so that Immich's restore page lists the file. The time is UTC.
dump=immich-db-backup-$(date -u +%Y%m%dT%H%M%S)-v$immich-pg$postgres.sql.gz
part=$dump.tmp
# In the background, so that bash handles SIGTERM at once; in a subshell, so that `wait` gets a failure of either side of the pipe.
(pg_dump --no-password --clean --if-exists | gzip --rsyncable >"$part") 9>&- &
wait $! || {
  free=$(df --block-size=1 --output=avail . | tail -n 1)
  ((free >= 1048576)) || fail 62 "$BACKUP_DIR ran full during the dump"
  fail 60 "pg_dump did not end well: nothing is kept of this run"
}

# Writes the dump to the disk first, then reads it back: the checksum of gzip, the last line of pg_dump, and the tables.
sync "$part"
rows=$(gzip -dc "$part" | awk -f "$here/rows.awk") || fail 61 "$dump is not whole: nothing is kept of this run"
names=$(cut -f 2 <<<"$rows")
for table in "${TABLES[@]}"; do
  grep -qxF -- "$table" <<<"$names" || fail 61 "$dump has no table $table: nothing is kept of this run"
done
# A database without a user is a newly created one. Fourteen such dumps would replace every useful dump.
grep -qE '^[1-9][0-9]*'$'\t''public\."user"$' <<<"$rows" || fail 61 "$PGDATABASE has no user: not a library worth keeping, nothing is pruned"

# The checksum file comes first, so that every dump with its final name has one. Both files are renamed only when they are complete.
sum=$(sha256sum "$part")
printf '%s  %s\n' "${sum%% *}" "$dump" >"$dump.sha256.tmp"
sync "$dump.sha256.tmp"
mv "$dump.sha256.tmp" "$dump.sha256"
mv "$part" "$dump"
part=
sync .

# Deletes old dumps only after a new one is complete, and only files that this script wrote.
dumps=(immich-db-backup-*.sql.gz)
for ((old = 0; old < ${#dumps[@]} - BACKUP_KEEP; old++)); do
  rm -f "${dumps[old]}" "${dumps[old]}.sha256"
done
for sum in immich-db-backup-*.sql.gz.sha256; do
  [[ -e ${sum%.sha256} ]] || rm -f "$sum"
done
echo "$dump: $(stat -c %s "$dump") bytes, $(wc -l <<<"$rows") tables, $(awk '{ n += $1 } END { print n }' <<<"$rows") rows;" \
  "$((${#dumps[@]} > BACKUP_KEEP ? BACKUP_KEEP : ${#dumps[@]})) kept"
