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
    run(
        place, "postgres", "--single", "-D", str(staging), "-c", "exit_on_error=on", "-c", f"fsync={fsync}", SUPERUSER,
        standard_input=_FIRST_STATEMENTS,
    )  # fmt: skip
    staging.rename(place.data)
    if durable:
        sync_directory(place.directory)
