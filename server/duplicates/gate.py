"""Whether open pairs keep devices from pulling."""

from typing import Final

from server.db import Connection
from server.duplicates import queries

DUPLICATES_EXIST: Final = "Duplicates exist! Please resolve them on admin page."


async def blocking(db: Connection) -> str | None:
    """Why nothing may be pulled now: only where the config says `blockSync` and a pair is open."""
    return DUPLICATES_EXIST if await queries.is_sync_blocked(db) else None
