"""Making the data directory, with the login and the database that croft serves from."""

import shutil

from server.db.embedded.files import sync_directory
from server.db.embedded.place import Place, make_private_directory
from server.db.embedded.processes import run

SUPERUSER = "postgres"
DATABASE = "croft"
LOGIN = "croft"

_HBA = """\
# Written by croft when the data directory was made. The socket's directory lets in its owner alone.
local all all                trust
host  all all 127.0.0.1/32   scram-sha-256
"""

# Lines of `postgres --single`: one statement each.
# Large objects belong to no schema, and some advisory locks to no transaction: both would outlive what made them.
# Nobody here needs them, and everybody might have them.
_TEMPLATE_STATEMENTS = """\
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION lo_open(oid, integer), lo_get(oid), lo_get(oid, bigint, integer) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION lo_put(oid, bigint, bytea), lo_unlink(oid) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_lock(integer, integer) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION pg_advisory_lock_shared(bigint), pg_advisory_lock_shared(integer, integer) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(bigint), pg_try_advisory_lock(integer, integer) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock_shared(bigint), pg_try_advisory_lock_shared(int, int) FROM PUBLIC
"""

_FIRST_STATEMENTS = f"""\
CREATE ROLE {LOGIN} LOGIN CREATEROLE NOSUPERUSER NOINHERIT
CREATE DATABASE {DATABASE} OWNER {LOGIN}
REVOKE TEMP, CONNECT ON DATABASE {DATABASE} FROM PUBLIC
REVOKE TEMP, CONNECT ON DATABASE postgres FROM PUBLIC
REVOKE TEMP, CONNECT ON DATABASE template1 FROM PUBLIC
"""


def initialize(place: Place, durable: bool) -> None:
    """Make the data directory with our login and database in it: whole, or not at all."""
    staging = place.directory / "postgres.new"
    shutil.rmtree(staging, ignore_errors=True)
    make_private_directory(staging, place.account)
    run(
        place, "initdb", "-D", str(staging), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=trust", "--no-instructions",
        *([] if durable else ["--no-sync"]),
    )  # fmt: skip
    (staging / "pg_hba.conf").write_text(_HBA)
    fsync = "on" if durable else "off"
    # In this order: our database is made as a copy of the template.
    for database, statements in (("template1", _TEMPLATE_STATEMENTS), ("postgres", _FIRST_STATEMENTS)):
        run(
            place, "postgres", "--single", "-D", str(staging), "-c", "exit_on_error=on", "-c", f"fsync={fsync}",
            database, standard_input=statements,
        )  # fmt: skip
    staging.rename(place.data)
    if durable:
        sync_directory(place.directory)
