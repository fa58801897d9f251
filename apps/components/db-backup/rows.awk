# A plain-text dump of pg_dump enters; "ROWS<TAB>TABLE" a table leaves. Exit 1: the dump does not end as a whole one does.
# A value is never the line \. itself, and a line break in one is written as \n: so a line is a row.
copying && $0 == "\\." { print rows "\t" table; copying = 0; next }
copying { rows++; next }
/^COPY .* FROM stdin;$/ { table = $0; sub(/^COPY /, "", table); sub(/ \(.*$/, "", table); rows = 0; copying = 1; next }
/^-- PostgreSQL database dump complete$/ { complete = 1 }
END { exit !complete || copying }
