"""The names by which the rest of the server knows a database connection and a row."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Row = asyncpg.Record

Opening = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens a transaction that ends with the block, in a schema that is settled already."""

T = TypeVar("T")
R = TypeVar("R")

_TURNS_UNTIL_SENT = 3
"""After so many turns of the event loop a query has left for the database."""


async def beside(query: Coroutine[Any, Any, T], work: Callable[[], R]) -> tuple[T, R]:
    """Does the work while the database is busy with the query; the results of both. The work needs no database."""
    querying = asyncio.ensure_future(query)
    try:
        for _ in range(_TURNS_UNTIL_SENT):
            await asyncio.sleep(0)
        done = work()
        return await querying, done
    except BaseException:
        # Nobody may use the connection while the query is still under way.
        querying.cancel()
        await asyncio.wait([querying])
        raise


def close_at_once(db: Any) -> None:
    """Closes a connection without another word, which ends its transaction; one that was lost has left its pool."""
    with suppress(asyncpg.InterfaceError):
        db.terminate()


def is_closed(db: Any) -> bool:
    """Whether the connection is no more, be it that it was closed or lost."""
    try:
        return bool(db.is_closed())
    except asyncpg.InterfaceError:
        return True
