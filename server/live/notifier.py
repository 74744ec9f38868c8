"""The notifier: tells this process and the others which tenants' logs have grown, after the commit and apart from it.

PostgreSQL lets transactions that notify commit only one after the other, all over the cluster. So no push does it;
what was marked within a moment goes out in one statement of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import asyncpg

from server.live.notices import payloads_of
from server.sync.v2.cursor import Head

_COLLECTING_SECONDS = 0.03
_PAUSE_SECONDS = 1.0
_LAST_SECONDS = 2.0
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Tell = Callable[[int, Head | None], None]
Say = Callable[[Sequence[str]], Awaitable[None]]


class Notifier:
    """There is one in a process. `tell` reaches its own listeners, `say` sends payloads to the other processes."""

    def __init__(self, tell: Tell, say: Say) -> None:
        self._tell = tell
        self._say = say
        self._marked: dict[int, Head | None] = {}
        self._has_marked = asyncio.Event()

    def mark(self, tenant_id: int, head: Head | None = None) -> None:
        """Says that something was committed in a tenant's schema, and where its log then ended, if that is known."""
        self._tell(tenant_id, head)
        self._marked[tenant_id] = _newer(self._marked.get(tenant_id), head)
        self._has_marked.set()

    async def run(self) -> None:
        """Sends notices until cancelled, and what is left then."""
        try:
            while True:
                await self._has_marked.wait()
                await asyncio.sleep(_COLLECTING_SECONDS)
                try:
                    await self._flush()
                except _FAILURES:
                    # Listening tells of a lost connection. Whoever listens elsewhere looks at the log by himself.
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            with suppress(*_FAILURES):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._flush()

    async def _flush(self) -> None:
        marked, self._marked = self._marked, {}
        self._has_marked.clear()
        try:
            if marked:
                await self._say(payloads_of(marked))
        except BaseException:
            self._marked = marked | self._marked
            self._has_marked.set()
            raise


def _newer(known: Head | None, head: Head | None) -> Head | None:
    """The newer of two heads. Of one that is not known, or of two epochs, whoever hears of it has to look."""
    if known is None or head is None or known.epoch != head.epoch:
        return head
    return max(known, head, key=lambda each: each.seq)
