#!/usr/bin/env bash
# Dumps Immich's database to BACKUP_DIR: a dump that is there under its name is whole, was read back, and has its .sha256. docs/backup.md.
# In: PGHOST, PGUSER, PGDATABASE, PASSWORD_FILE, BACKUP_DIR, BACKUP_KEEP, and the gate's GUARD_NAS_ID. Runs below `guard nas exec`.
# Exit: 2 configuration, 60 database, 61 the dump is not whole, 62 no space, 63 another run, 64 the directory.
set -euo pipefail
umask 077
export LC_ALL=C

# What Immich cannot do without. A dump that lacks one of them is not a dump of Immich.
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
# A local file system is allowed here, and the machine's own disk has one too: only the id tells the two apart.
[[ -n ${GUARD_NAS_ID:-} ]] || fail 2 "no id of the disk: run \`guard nas init\` on it and set the annotation guard.immich/backup-id"
[[ -r $PASSWORD_FILE ]] || fail 2 "PASSWORD_FILE $PASSWORD_FILE cannot be read"
cd "$BACKUP_DIR" || fail 64 "BACKUP_DIR $BACKUP_DIR cannot be entered"

# One at a time, across restarts and pods: the lock ends with the process that holds it.
{ exec 9>.lock; } 2>/dev/null || fail 64 "$BACKUP_DIR cannot be written to by user $(id -u)"
flock --nonblock 9 || fail 63 "another run is under way in $BACKUP_DIR"

# What a run that was killed left. The lock says that nobody is at it.
rm -f immich-db-backup-*.tmp
passfile=$(mktemp)
part=
# For SIGTERM too, and as PID 1: bash listens as soon as there is something to do at the end.
trap 'rm -f "$passfile" ${part:+"$part"}' EXIT

# Not in argv, not in the environment. A backslash and a colon are written with a backslash there.
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

# A glob is sorted, and the names begin with the time: the newest is the last.
shopt -s nullglob
dumps=(immich-db-backup-*.sql.gz)
need=$size
if ((${#dumps[@]})); then
  need=$((2 * $(stat -c %s "${dumps[-1]}")))
fi
free=$(df --block-size=1 --output=avail . | tail -n 1)
((free >= need)) || fail 62 "$BACKUP_DIR has $((free)) bytes free, wanted $need"

# The name that Immich gives its own, so that its restore page takes it. The time is UTC.
dump=immich-db-backup-$(date -u +%Y%m%dT%H%M%S)-v$immich-pg$postgres.sql.gz
part=$dump.tmp
# In the background, so that a SIGTERM is heard at once; in a subshell, so that `wait` learns of either end of the pipe.
(pg_dump --no-password --clean --if-exists | gzip --rsyncable >"$part") 9>&- &
wait $! || {
  free=$(df --block-size=1 --output=avail . | tail -n 1)
  ((free >= 1048576)) || fail 62 "$BACKUP_DIR ran full during the dump"
  fail 60 "pg_dump did not end well: nothing is kept of this run"
}

# On the disk first, then read back as a whole: gzip's own sum, pg_dump's last line, the tables.
sync "$part"
rows=$(gzip -dc "$part" | awk -f "$here/rows.awk") || fail 61 "$dump is not whole: nothing is kept of this run"
names=$(cut -f 2 <<<"$rows")
for table in "${TABLES[@]}"; do
  grep -qxF -- "$table" <<<"$names" || fail 61 "$dump has no table $table: nothing is kept of this run"
done
# A database without a user is one that was set up anew. Fourteen nights of that would push out every dump worth having.
grep -qE '^[1-9][0-9]*'$'\t''public\."user"$' <<<"$rows" || fail 61 "$PGDATABASE has no user: not a library worth keeping, nothing is pruned"

# The sum first: a dump that is there has one. Both names appear whole.
sum=$(sha256sum "$part")
printf '%s  %s\n' "${sum%% *}" "$dump" >"$dump.sha256.tmp"
sync "$dump.sha256.tmp"
mv "$dump.sha256.tmp" "$dump.sha256"
mv "$part" "$dump"
part=
sync .

# Only now, and only what this script wrote.
dumps=(immich-db-backup-*.sql.gz)
for ((old = 0; old < ${#dumps[@]} - BACKUP_KEEP; old++)); do
  rm -f "${dumps[old]}" "${dumps[old]}.sha256"
done
for sum in immich-db-backup-*.sql.gz.sha256; do
  [[ -e ${sum%.sha256} ]] || rm -f "$sum"
done
echo "$dump: $(stat -c %s "$dump") bytes, $(wc -l <<<"$rows") tables, $(awk '{ n += $1 } END { print n }' <<<"$rows") rows;" \
  "$((${#dumps[@]} > BACKUP_KEEP ? BACKUP_KEEP : ${#dumps[@]})) kept"
