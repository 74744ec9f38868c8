"""When sessions were last seen."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from server.auth.sessions.queries import mark_seen
from server.db import Database


async def note_sessions_seen(database: Database, noted: Mapping[UUID, datetime]) -> None:
    """Writes down when each of these sessions was last seen."""
    async with database.shared() as db:
        await mark_seen(db, list(noted), list(noted.values()))
