#!/bin/bash
# What the entry points of docker-library/postgres and of immich-app/base-images do, as far as the manifests rely on it: a new data
# directory with the user, the database and the password of the environment, created by a server that listens on a socket only; a
# configuration in /etc/postgresql; then the server, as process 1. VectorChord is not here: nothing is preloaded.
set -Eeuo pipefail

[[ ${1:-postgres} == postgres ]] || exec "$@"

mkdir -p "$PGDATA" /etc/postgresql
chmod 0700 "$PGDATA"
printf '%s\n' "data_directory = '$PGDATA'" "hba_file = '$PGDATA/pg_hba.conf'" "listen_addresses = '*'" \
  "unix_socket_directories = '/var/run/postgresql'" >/etc/postgresql/postgresql.conf

if [[ ! -s $PGDATA/PG_VERSION ]]; then
  # A password is in a file, or in the environment.
  password=${POSTGRES_PASSWORD_FILE:-}
  if [[ -z $password ]]; then
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
  fi
  # shellcheck disable=SC2086 # the arguments are words
  initdb --encoding=UTF8 --locale=C --username="$POSTGRES_USER" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" --wait --options="-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" start
  createdb --host=/var/run/postgresql --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop
fi
exec postgres -c config_file=/etc/postgresql/postgresql.conf
