"""Shares: how much of something that all tenants use one of them may hold at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoShareFree(OSError):
    """All shares of a name were held for as long as one was waited for."""


class Shares:
    """Lets at most `most` holders of each name in at once; others of that name wait in their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._doors: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def one_of(self, name: str, *, wait_seconds: float | None = None) -> AsyncIterator[None]:
        """Holds one share of the name for as long as the block runs.

        Raises NoShareFree after having waited `wait_seconds`; None waits without end.
        """
        door, users = self._doors.get(name) or (asyncio.Semaphore(self._most), 0)
        self._doors[name] = (door, users + 1)
        try:
            await _enter(door, wait_seconds)
            try:
                yield
            finally:
                door.release()
        finally:
            self._leave(name)

    def _leave(self, name: str) -> None:
        """Forgets a name that nobody uses: there may be thousands of them."""
        door, users = self._doors[name]
        if users > 1:
            self._doors[name] = (door, users - 1)
        else:
            del self._doors[name]


async def _enter(door: asyncio.Semaphore, wait_seconds: float | None) -> None:
    try:
        async with asyncio.timeout(wait_seconds):
            await door.acquire()
    except TimeoutError:
        raise NoShareFree from None
