"""The pool, and the transactions handed out of it: each begins in its scope and ends with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from server.db.connection import Connection, close_at_once, is_closed
from server.db.scope import Scope, enter_statement, narrow
from server.db.shares import Shares
from server.kit.sight import EVERYTHING, Sight

TENANTS_PER_CONNECTION = 200

if TYPE_CHECKING:
    _BareConnection = asyncpg.Connection[asyncpg.Record]
else:
    _BareConnection = asyncpg.Connection


class NoConnectionFree(OSError):
    """All connections of the pool were in use for as long as one was waited for."""


class _PlainConnection(_BareConnection):
    """Nothing is ever set on a session, so there is nothing to reset between borrowers: one round trip saved.

    `schemas` are those of the tenants that it has served: the memory of its backend grows with each of them.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.schemas: set[str] = set()

    def get_reset_query(self) -> str:
        return ""


_PLAN_ANEW = "SET LOCAL plan_cache_mode = force_custom_plan"
"""A kept plan would be the one of the tenant for which the statement ran first, and of tables that were small then."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a statement may run and wait for a lock, in seconds, and how long a transaction waits to begin.

    wait_seconds: first for a share of the tenant's, then for a connection, as long each; None waits without end.
    """

    statement_seconds: float = 30.0
    lock_seconds: float = 10.0
    wait_seconds: float | None = None


class Database:
    """One pool of connections to one PostgreSQL, shared by all tenants.

    `async with Database(dsn) as database` opens it; `shared()` and `inside(scope)` give a transaction. Leaving the
    block normally commits, leaving it by an exception rolls back. Where none can begin in time, `shared` raises
    NoConnectionFree and `inside` that or NoShareFree. A connection that has served `tenants_per_connection` tenants is
    closed, and a new one opened when it is needed.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int = 10,
        prepared_statements: bool = True,
        limits: Limits | None = None,
        tenants_per_connection: int = TENANTS_PER_CONNECTION,
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._cache = 1024 if prepared_statements else 0
        self._limits = limits or Limits()
        self._tenants_per_connection = tenants_per_connection
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._waiting = 0
        self._shares = Shares(max(1, size // 2))

    async def __aenter__(self) -> "Database":
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=self._size,
            statement_cache_size=self._cache,
            connection_class=_PlainConnection,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        pool = self.pool
        self._pool = None
        await pool.close()

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The open pool. Raises RuntimeError before it is opened and after it is closed."""
        if self._pool is None:
            raise RuntimeError("the database pool is not open")
        return self._pool

    @property
    def waiting(self) -> int:
        """How many transactions wait for a connection at this moment."""
        return self._waiting

    @asynccontextmanager
    async def shared(self, *, readonly: bool = False, patience: float | None = None) -> AsyncIterator[Connection]:
        """A transaction on the shared schema, as the serving login."""
        async with self._transaction(None, readonly, patience) as db:
            yield db

    @asynccontextmanager
    async def single(self) -> AsyncIterator[Connection]:
        """A connection for one statement that reads the shared schema and names it, as the serving login.

        It is a transaction by itself and saves the round trips of one. Without prepared statements asyncpg takes two
        round trips for a statement, which a PgBouncer may send to two connections: then it gets a transaction.
        """
        if not self._cache:
            async with self.shared(readonly=True) as db:
                yield db
            return
        async with self._acquired() as db, _losing_told(db):
            yield db

    @asynccontextmanager
    async def inside(
        self,
        scope: Scope,
        *,
        readonly: bool = False,
        patience: float | None = None,
        sight: Sight = EVERYTHING,
        sees_everything: bool = False,
    ) -> AsyncIterator[Connection]:
        """A transaction in a tenant's schema, as the tenant's role. What the sight hides is not there.

        With `sees_everything` it is, and whoever works in it looks after the sight himself.

        One tenant gets at most half of the connections: however many of its requests wait for each other, the others'
        find one.
        """
        share = self._shares.one_of(scope.schema, wait_seconds=self._limits.wait_seconds)
        async with share, self._transaction(scope, readonly, patience) as db:
            if sight != EVERYTHING:
                await narrow(db, sight, lifted=sees_everything)
            yield db

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        db = await self._wait_for_connection()
        schemas = db.schemas
        try:
            yield db
        finally:
            if len(schemas) >= self._tenants_per_connection:
                close_at_once(db)
            await self.pool.release(db)

    async def _wait_for_connection(self) -> Any:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                return await self.pool.acquire()
        except TimeoutError:
            raise NoConnectionFree from None
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _transaction(
        self, scope: Scope | None, readonly: bool, patience: float | None
    ) -> AsyncIterator[Connection]:
        statement_seconds = self._limits.statement_seconds if patience is None else patience
        async with self._acquired() as db:
            if scope is not None:
                db.schemas.add(scope.schema)
            try:
                await db.execute(
                    f"BEGIN{' READ ONLY' if readonly else ''}; "
                    f"SET LOCAL statement_timeout = {int(statement_seconds * 1000)}; "
                    f"SET LOCAL lock_timeout = {int(self._limits.lock_seconds * 1000)}; "
                    f"{_PLAN_ANEW}; {enter_statement(scope)}"
                )
                yield db
                await _commit(db)
            except BaseException as error:
                await _roll_back(db)
                _tell_loss(db, error)
                raise


@asynccontextmanager
async def _losing_told(db: Connection) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        _tell_loss(db, error)
        raise


def _tell_loss(db: Connection, error: BaseException) -> None:
    """Raises what says that the connection was lost, where asyncpg says it in words that mean other things, too."""
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and is_closed(db):
        raise asyncpg.ConnectionDoesNotExistError("the connection to the database was lost") from error


async def _commit(db: Connection) -> None:
    if await db.execute("COMMIT") != "COMMIT":
        # PostgreSQL rolls back without complaint; the caller must not take that for success.
        raise asyncpg.InFailedSQLTransactionError("an error in the transaction was passed over: nothing of it is kept")


async def _roll_back(db: Connection) -> None:
    """Ends the transaction; a connection that can no longer answer is closed instead, which ends it too."""
    try:
        await db.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        close_at_once(db)
    except asyncio.CancelledError:
        close_at_once(db)
        raise
