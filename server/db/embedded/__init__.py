"""A PostgreSQL of our own, run from the binaries that come with the installed packages.

Used when no database is configured, and by the tests. Only the operating system's user who owns the server (and root)
reaches it: it listens on a Unix socket inside a directory of mode 0700 and nowhere else. PostgreSQL refuses to run as
root, so root runs it as a system user made for it. Permissions of directories above the home are never touched: where
that user cannot pass, the data gets a directory of its own and `postgres.location` in the home says which.
"""

from server.db.embedded.errors import EmbeddedPostgresError, HomeInUse
from server.db.embedded.place import make_home
from server.db.embedded.processes import MOST_CONNECTIONS
from server.db.embedded.server import EmbeddedPostgres

__all__ = ["MOST_CONNECTIONS", "EmbeddedPostgres", "EmbeddedPostgresError", "HomeInUse", "make_home"]
