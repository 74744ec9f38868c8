"""The names by which the rest of the server knows a database connection and a row."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Row = asyncpg.Record


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
