"""LISTEN and NOTIFY: one connection by which a process hears what others say on a channel, and speaks itself."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg

from server.db.connection import Connection, close_at_once

log = logging.getLogger(__name__)

MOST_PAYLOAD_BYTES = 7_999
"""What PostgreSQL carries in one notification."""

_NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"
_PING = ""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 15.0
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Listening:
    """Hears a channel of one database on a connection of its own, which `run` keeps up.

    dsn: has to lead past any PgBouncer: LISTEN belongs to a session.
    heard: is called with each payload that another session sent. Whatever is sent while there is no connection is
    lost, hence `connected`: it is called each time the channel has been proven to be heard, from then on.
    keepalive_seconds, answer_seconds: between two proofs, and how long one may take before the connection is given up.
    """

    def __init__(
        self,
        dsn: str,
        channel: str,
        *,
        heard: Callable[[str], None],
        connected: Callable[[], None],
        keepalive_seconds: float = 15.0,
        answer_seconds: float = 10.0,
    ) -> None:
        self._dsn = dsn
        self._channel = channel
        self._heard = heard
        self._connected = connected
        self._keepalive_seconds = keepalive_seconds
        self._answer_seconds = answer_seconds
        self._db: Connection | None = None
        self._speaking = asyncio.Lock()
        self._lost = asyncio.Event()
        self._echo = asyncio.Event()

    async def run(self) -> None:
        """Listens until cancelled. A connection that is lost, or hears nothing of what it says itself, is replaced."""
        pause = _FIRST_PAUSE
        while True:
            try:
                async with self._connection() as db:
                    await self._ping(db)
                    pause = _FIRST_PAUSE
                    self._connected()
                    await self._stay(db)
            except _LOST as error:
                # It would be without effect at a PgBouncer, where nothing comes back.
                log.warning(
                    "News of other processes are not heard: %s. POSTGRES_DIRECT has to allow LISTEN.", _name(error)
                )
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads, protects nothing
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def say(self, payloads: Sequence[str]) -> None:
        """Sends the payloads to every other session that listens, in one transaction that does nothing else.

        Raises ConnectionError while there is no connection, and whatever the database says.
        """
        if self._db is None:
            raise ConnectionError("there is no connection to speak on")
        await self._send(self._db, payloads)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        # Without named statements, which a PgBouncer given by mistake would spread among others' connections.
        db = await asyncpg.connect(self._dsn, statement_cache_size=0, timeout=self._answer_seconds)
        self._lost.clear()
        try:
            db.add_termination_listener(lambda _: self._lost.set())
            await db.add_listener(self._channel, self._take)
            self._db = db
            yield db
        finally:
            self._db = None
            await _close(db)

    async def _stay(self, db: Connection) -> None:
        """Returns when the connection was lost; raises when it turns out to be dead."""
        while not self._lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), self._keepalive_seconds)
                raise ConnectionResetError("the connection was closed")
            await self._ping(db)

    async def _ping(self, db: Connection) -> None:
        """Proves that what is said on the channel is heard here. Raises TimeoutError if it is not."""
        self._echo.clear()
        await self._send(db, [_PING])
        async with asyncio.timeout(self._answer_seconds):
            await self._echo.wait()

    async def _send(self, db: Connection, payloads: Sequence[str]) -> None:
        async with self._speaking:
            await db.execute(_NOTIFY, self._channel, payloads, timeout=self._answer_seconds)

    def _take(self, db: object, pid: int, _: str, payload: object) -> None:
        if self._db is not None and pid == self._db.get_server_pid():
            self._echo.set()
        elif payload != _PING:
            self._heard(str(payload))


def _name(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


async def _close(db: Connection) -> None:
    try:
        await db.close(timeout=2)
    except (*_LOST, asyncio.CancelledError):
        close_at_once(db)
