#!/bin/sh
# kubectl, which notes each restore, and with ABORT ends guardctl when BYTES bytes of the SQL are on their way.
folder=$(dirname "$0")
case " $* " in
*" -o /dev/null "*) ;;
*) exec "$REAL_KUBECTL" "$@" ;;
esac
echo restore >>"$folder/restores"
case ${ABORT:-} in
"input ends")
  head -c "$BYTES" | "$REAL_KUBECTL" "$@"
  kill -INT $PPID
  ;;
"kubectl dies")
  mkfifo "$folder/input"
  "$REAL_KUBECTL" "$@" <"$folder/input" &
  exec 3>"$folder/input"
  head -c "$BYTES" >&3
  # The transaction has written when it has an id.
  writing="select count(*) from pg_stat_activity where backend_xid is not null"
  until [ "$("$REAL_KUBECTL" -n immich exec deploy/immich-postgres -- psql -U immich -d immich -XAtc "$writing")" = 1 ]; do :; done
  kill -KILL $!
  rm "$folder/input"
  kill -KILL $PPID
  ;;
*) exec "$REAL_KUBECTL" "$@" ;;
esac
