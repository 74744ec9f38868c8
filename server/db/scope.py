"""The scope of a transaction: whose schema unqualified names mean, and as which role the SQL runs.

Everything is SET LOCAL, so nothing outlives the transaction and nothing leaks to the next borrower of a connection,
also behind a PgBouncer in transaction mode. A tenant's role may use its own schema and nothing of any other, so SQL
that names a neighbour's schema is refused by PostgreSQL itself.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from server.db.connection import Connection, close_at_once
from server.kit.sight import EVERYTHING, Sight

SHARED_SCHEMA = "croft"


@dataclass(frozen=True, slots=True)
class Scope:
    """A schema and the role that works in it, both as stored when the schema was made."""

    schema: str
    role: str


def quoted(identifier: str) -> str:
    """A stored identifier, quoted for SQL. Never feed it what a caller sent."""
    return '"' + identifier.replace('"', '""') + '"'


def enter_statement(scope: Scope | None) -> str:
    """The SQL that puts the open transaction into the scope; None is the shared schema as the serving login."""
    if scope is None:
        return f"SET LOCAL ROLE NONE; SET LOCAL search_path = {quoted(SHARED_SCHEMA)}, pg_temp"
    return f"SET LOCAL search_path = {quoted(scope.schema)}, pg_temp; SET LOCAL ROLE {quoted(scope.role)}"


async def narrow(db: Connection, sight: Sight, *, lifted: bool = False) -> None:
    """Hides from the rest of the transaction what the sight hides. `lifted`: nothing, yet the log keeps its name.

    The policies of the tenant's tables read croft.hidden_forms; the names of epochs end with croft.sight.
    """
    await db.execute(
        "SELECT set_config('croft.hidden_forms', $1, true), set_config('croft.sight', $2, true)",
        "" if lifted else sight.forms,
        sight.mark,
    )


@asynccontextmanager
async def seeing_everything(db: Connection, sight: Sight) -> AsyncIterator[None]:
    """Lifts what the transaction was narrowed by, for work of the server's own whose result is seen by others, too."""
    if sight == EVERYTHING:
        yield
        return
    await narrow(db, sight, lifted=True)
    # After an error of the database the transaction is aborted: nothing is seen in it any more.
    yield
    await narrow(db, sight)


@asynccontextmanager
async def scoped(db: Connection, scope: Scope | None) -> AsyncIterator[None]:
    """Enters another scope within an open transaction and returns to the one before, also after an error.

    The settings of SET LOCAL survive a released savepoint, hence the explicit way back. After a database error the
    transaction is aborted and everything rolls back with it, so no way back is needed, nor possible.
    """
    before = await db.fetchrow("SELECT current_setting('search_path') AS path, current_setting('role') AS role")
    assert before is not None
    try:
        await db.execute(enter_statement(scope))
        yield
    except BaseException:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await _return_to(db, before["path"], before["role"])
        raise
    await _return_to(db, before["path"], before["role"])


async def _return_to(db: Connection, path: str, role: str) -> None:
    try:
        await db.execute("SELECT set_config('role', $2, true), set_config('search_path', $1, true)", path, role)
    except asyncpg.PostgresError:
        raise
    except BaseException:
        # Given up on the way: nobody may go on with this transaction in a scope that he believes to have left.
        close_at_once(db)
        raise
