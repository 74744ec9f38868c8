"""Connections of the benchmark's own, told from those of the server by their name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

APPLICATION: Final = "croft-bench"


async def connect(dsn: str, **settings: str) -> Connection:
    """A plain connection with these settings."""
    return await asyncpg.connect(dsn, server_settings={"application_name": APPLICATION, **settings})


@asynccontextmanager
async def connected(dsn: str, **settings: str) -> AsyncIterator[Connection]:
    """The same for a block."""
    db = await connect(dsn, **settings)
    try:
        yield db
    finally:
        await db.close()
