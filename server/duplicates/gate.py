"""Whether open pairs keep devices from pulling."""

from datetime import datetime
from typing import Final

from server.db import Connection
from server.duplicates import queries
from server.duplicates.finding import catch_up

DUPLICATES_EXIST: Final = "Duplicates exist! Please resolve them on admin page."


async def blocking(db: Connection, at: datetime) -> str | None:
    """Why nothing may be pulled now: only where the config says `blockSync` and a pair is open."""
    if not await queries.blocks_sync(db):
        return None
    await catch_up(db, at)
    return DUPLICATES_EXIST if await queries.has_open_pair(db) else None
