"""A lane for slow traffic: large requests are worked on in a thread of their own.

What is done in the event loop has to end before anything else there goes on. A push of a thousand events takes tens of
milliseconds again and again, and would make every small request wait as often as it asks the database. Threads are
changed while they work, so beside a lane nobody waits for longer than PATIENCE_SECONDS at a time.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from server.db import Database

PATIENCE_SECONDS = 0.0005
"""How long a thread may go on while others wait, in the whole process."""

T = TypeVar("T")


class Lane:
    """`async with Lane(database)` opens the database within the lane; nobody else may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    async def __aenter__(self) -> "Lane":
        sys.setswitchinterval(PATIENCE_SECONDS)
        # As the one that serves, be it asyncio's own or a faster one.
        self._loop = type(asyncio.get_running_loop())()
        self._thread = Thread(target=self._loop.run_forever, name="lane", daemon=True)
        self._thread.start()
        try:
            await self._do(self._database.__aenter__())
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._do(self._database.__aexit__())
        finally:
            await self._end()

    async def run(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Does the work in the lane, with the lane's database; cancelled there when it is cancelled here."""
        return await self._do(work(self._database))

    async def _do(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        doing: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return await asyncio.wrap_future(doing)

    async def _end(self) -> None:
        loop, thread = self._loop, self._thread
        assert loop is not None
        assert thread is not None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()
