"""PostgreSQL: the pool, the scope of a transaction, migrations, and the embedded server."""

from server.db.connection import Connection
from server.db.pool import Database
from server.db.scope import Scope, scoped

__all__ = ["Connection", "Database", "Scope", "scoped"]
