"""Turns: whose large requests are worked on.

Large requests keep the processors and the disk busy, which all tenants share. A tenant that is alone may have several
worked on at once. As soon as others are there too, each has one at a time, so that small requests find their gaps.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

_ALONE = 2
_BESIDE_OTHERS = 1
_SECONDS = 1.0
"""How long somebody is there after his last request."""


@dataclass(slots=True)
class _Line:
    """Those of one owner: how many have their turn, and who waits for one, in their order."""

    inside: int = 0
    waiting: "deque[asyncio.Future[None]]" = field(default_factory=deque)


class Turns:
    """`clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lines: dict[str, _Line] = {}

    def saw(self, owner: str) -> None:
        """Says that the owner has sent a request, be it large or small."""
        now = self._clock()
        self._seen.pop(owner, None)
        self._seen[owner] = now
        while (first := next(iter(self._seen))) != owner and self._seen[first] < now - _SECONDS:
            del self._seen[first]

    @asynccontextmanager
    async def turn_of(self, owner: str) -> AsyncIterator[None]:
        """Waits for a turn of the owner's, and holds it for as long as the block runs."""
        line = self._lines.setdefault(owner, _Line())
        if line.waiting or line.inside >= self._most(owner):
            await self._wait(owner, line)
        else:
            line.inside += 1
        try:
            yield
        finally:
            self._leave(owner, line)

    async def _wait(self, owner: str, line: _Line) -> None:
        """Whoever wakes us has counted us in."""
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(owner, line)
            else:
                line.waiting.remove(turn)
            raise

    def _leave(self, owner: str, line: _Line) -> None:
        line.inside -= 1
        while line.waiting and line.inside < self._most(owner):
            turn = line.waiting.popleft()
            if not turn.done():
                line.inside += 1
                turn.set_result(None)
        if not line.inside and not line.waiting:
            self._lines.pop(owner, None)

    def _most(self, owner: str) -> int:
        since = self._clock() - _SECONDS
        has_company = any(at >= since for name, at in reversed(self._seen.items()) if name != owner)
        return _BESIDE_OTHERS if has_company else _ALONE
