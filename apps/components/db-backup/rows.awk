# Reads a plain-text dump of pg_dump and prints "ROWS<TAB>TABLE" for each table. Exit code 1: the dump is not complete.
# No value is the line `\.`, and a line break inside a value is written as `
# `. So each line is one row.
copying && $0 == "\\." { print rows "\t" table; copying = 0; next }
copying { rows++; next }
/^COPY .* FROM stdin;$/ { table = $0; sub(/^COPY /, "", table); sub(/ \(.*$/, "", table); rows = 0; copying = 1; next }
/^-- PostgreSQL database dump complete$/ { complete = 1 }
END { exit !complete || copying }
