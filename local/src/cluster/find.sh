#!/bin/sh
# Prints the folder of PostgreSQL's server programs: of version $1, or of 13 or later when none is given. The programs
# on PATH come first, then the newest that are installed in a usual place.
found='' versions=''
for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /usr/libexec/postgresql*/initdb \
  /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb \
  /Applications/Postgres.app/Contents/Versions/*/bin/initdb "$(command -v initdb)"; do
  folder=${initdb%/*}
  [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/pg_ctl" ] || continue
  version=$("$folder/postgres" --version | sed -n 's/^[^0-9]*\([0-9]*\).*/\1/p')
  versions="$versions $version"
  if [ "$version" = "${1:-$version}" ] && [ "$version" -ge 13 ]; then found=$folder; fi
done
if [ -n "$found" ]; then
  printf '%s\n' "$found"
  exit
fi
echo "PostgreSQL ${1:-13 or later} (initdb, pg_ctl, postgres) is missing, found:${versions:- none}. Debian and Ubuntu:" \
  "sudo apt-get install postgresql; Fedora: sudo dnf install postgresql-server; macOS: brew install postgresql@17" >&2
exit 1
