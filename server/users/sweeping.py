"""Clearing away what says nothing any more: forgotten attempts, old places and sessions, tokens and invitations."""

import asyncio
import logging
from typing import Final

import asyncpg

from server.auth.mailed_tokens.queries import delete_expired_tokens
from server.auth.sessions.queries import delete_long_expired_sessions
from server.auth.throttling.queries import delete_gone_buckets, delete_old_places
from server.db import Database
from server.kit.clock import utc_now
from server.users.invitations.queries import delete_expired_invitations

log = logging.getLogger(__name__)

SECONDS: Final = 300.0
MOST_BUCKETS: Final = 20_000
"""At a time. How many can come in so many seconds is bounded by what is counted overall, far below."""

MOST_SESSIONS: Final = 5_000
"""At a time: what is left is cleared away the next times."""

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def sweep(database: Database) -> None:
    """Clears away once."""
    at = utc_now()
    async with database.shared() as db:
        await delete_gone_buckets(db, at, MOST_BUCKETS)
        await delete_old_places(db, at)
        await delete_expired_tokens(db, at)
        await delete_expired_invitations(db, at)
        await delete_long_expired_sessions(db, at, MOST_SESSIONS)


async def run(database: Database) -> None:
    """Clears away every few minutes. Any number of processes may do so."""
    while True:
        await asyncio.sleep(SECONDS)
        try:
            await sweep(database)
        except _FAILURES as error:
            log.warning("What is over could not be cleared away: %s", error)
