#!/bin/bash
# Writes the login's password where pgbouncer.ini expects it, and starts PgBouncer.
set -euo pipefail
umask 077
printf '"croft" "%s"\n' "${DATABASE_PASSWORD//\"/\"\"}" >/tmp/userlist.txt
unset DATABASE_PASSWORD
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
