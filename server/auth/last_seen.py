"""When something was last seen: noted in memory, and written down now and then by one statement for all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, Generic, TypeVar

import asyncpg

from server.kit.clock import utc_now

log = logging.getLogger(__name__)

Key = TypeVar("Key")

SECONDS: Final = 60.0
"""How far what is written down may be behind, as long as the database can be reached."""

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class LastSeen(Generic[Key]):
    """Notes moments by key. `write` gets all that were noted since it was called last; nothing is written per request.

    A process that is killed loses what it noted in the last minute, one that ends writes it down. What could not be
    written is tried again with the next.
    """

    def __init__(self, write: Callable[[Mapping[Key, datetime]], Awaitable[None]], *, seconds: float = SECONDS) -> None:
        self._write = write
        self._seconds = seconds
        self._noted: dict[Key, datetime] = {}

    def mark(self, key: Key) -> None:
        """Notes that it was seen now. `key` has to be known to exist: a stranger must not fill the memory."""
        self._noted[key] = utc_now()

    async def flush(self) -> None:
        """Writes down what was noted. Never raises for a database that cannot be reached."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            await self._write(noted)
        except asyncio.CancelledError:
            self._noted = noted | self._noted
            raise
        except _FAILURES as error:
            self._noted = noted | self._noted
            log.warning("When %d were last seen could not be written down: %s", len(noted), error)

    async def run(self) -> None:
        """Writes every so many seconds, and once more when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(self._seconds)
                await self.flush()
        finally:
            await self.flush()
