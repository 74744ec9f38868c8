"""The hub: who in this process listens to which tenant's log, and how each learns of its newest head."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice
from math import ceil
from random import uniform
from time import monotonic

import asyncpg

from server.db import Scope
from server.kit.problem import ProblemKind
from server.live.room import Credential, Listener, ReadHead, Room
from server.sync.v2.cursor import Head

log = logging.getLogger(__name__)

TOO_MANY = ProblemKind("live.too-many", 429, "This account has too many live connections. Close some.")

MOST_OF_AN_ACCOUNT = 1000
"""How many listeners one account may have at one tenant in one process; the phones of a team may share an account."""

_WOKEN_AT_ONCE = 50
_BREATH_SECONDS = 0.005
"""So many listeners are woken before others get their turn for so long: a push may have thousands of them."""

_SPACING_OF_A_LISTENER = 0.0002

_READ_AT_ONCE = 4
_BETWEEN_ANSWERS_SECONDS = 0.03
_LOOKS_A_SECOND = 50
"""Looks of their own accord, in all: where thousands of tenants are listened to, each is looked at more seldom."""

_TICKS = 15
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two signs of life, of a listener's life, and between two looks at a head of their own accord.

    Lives end by chance up to a tenth earlier, so that not all who came at once come back at once. `spacing` lies
    between two news of one tenant, and some more where it has many listeners: whoever is told of one comes to pull.
    """

    heartbeat: float = 15.0
    lifetime: float = 3600.0
    look: float = 15.0
    spacing: float = 0.1


class Hub:
    """All listeners of this process. Its tasks, `waking`, `beating`, `answering` and `looking`, have to run beside."""

    def __init__(self, read: ReadHead, pace: Pace | None = None) -> None:
        self._read = read
        self._pace = pace or Pace()
        self._rooms: dict[int, Room] = {}
        self._asked: dict[int, Room] = {}
        self._has_asked = asyncio.Event()
        self._to_wake: dict[Listener, None] = {}
        self._has_to_wake = asyncio.Event()
        self._is_stopping = False

    def __len__(self) -> int:
        return sum(len(room.listeners) for room in self._rooms.values())

    def __iter__(self) -> Iterator[Listener]:
        for room in self._rooms.values():
            yield from room.listeners

    async def listen(self, tenant_id: int, scope: Scope, credential: Credential) -> tuple[Listener, Head]:
        """A new listener, and the head as it stands; the caller then sets what is `told` already.

        It is in its room before the head is read, so that whatever is committed later is heard. Raises `live.too-many`.
        """
        room = self._rooms.setdefault(tenant_id, Room(tenant_id, scope))
        if sum(other.credential.account == credential.account for other in room.listeners) >= MOST_OF_AN_ACCOUNT:
            raise TOO_MANY(headers={"Retry-After": "60"})
        life = self._pace.lifetime * uniform(0.9, 1.0)  # noqa: S311 - spreads, protects nothing
        listener = Listener(room, credential, monotonic() + life)
        listener.is_over = self._is_stopping
        room.listeners.add(listener)
        await self._look(room)
        assert room.head is not None
        return listener, room.head

    def tell(self, tenant_id: int, head: Head | None) -> None:
        """Says that a tenant's log now has this head; None is one that has to be looked up.

        So is one of another epoch than the known one: it may be the old one as well as a new one.
        """
        room = self._rooms.get(tenant_id)
        if room is None:
            return
        if head is not None and room.advance(head):
            self._tell_room(room)
        else:
            self._ask([room])

    def look_again(self) -> None:
        """Looks at every log that is listened to: something may have been missed."""
        self._ask(self._rooms.values())

    def end(self, listener: Listener) -> None:
        """Ends one listener soon."""
        listener.is_over = True
        self._wake([listener])

    def stop(self) -> None:
        """Ends every listener soon, and each that comes later at once."""
        self._is_stopping = True
        for listener in self:
            self.end(listener)

    async def waking(self) -> None:
        """Wakes listeners in the order of their news, a few at a time; once, however much happened to one meanwhile."""
        while True:
            await self._has_to_wake.wait()
            for listener in list(islice(self._to_wake, _WOKEN_AT_ONCE)):
                del self._to_wake[listener]
                listener.wake()
            if not self._to_wake:
                self._has_to_wake.clear()
            await asyncio.sleep(_BREATH_SECONDS)

    async def beating(self) -> None:
        """Lets listeners give signs of life, ends those whose time has come, and forgets rooms that are empty."""
        tick = self._pace.heartbeat / _TICKS
        while True:
            await asyncio.sleep(tick)
            now = monotonic()
            silent_since = now - self._pace.heartbeat + tick
            due = []
            for listener in self:
                listener.is_over = listener.is_over or listener.ends_at <= now
                listener.is_due = listener.is_due or listener.spoke_at <= silent_since
                if listener.is_over or listener.is_due:
                    due.append(listener)
            self._wake(due)
            self._rooms = {number: room for number, room in self._rooms.items() if room.listeners}

    async def answering(self) -> None:
        """Looks at the heads that somebody asked for. Those that cannot be read are tried again until they can."""
        while True:
            await self._has_asked.wait()
            self._has_asked.clear()
            asked, self._asked = self._asked, {}
            failed = await self._look_at(asked.values())
            await asyncio.sleep(_BETWEEN_ANSWERS_SECONDS)
            if failed:
                await asyncio.sleep(self._pace.look / _TICKS)
                self._ask(failed)

    async def looking(self) -> None:
        """Looks at every head now and then, for what nobody told of: a command line, or a notice that was lost."""
        tick = self._pace.look / _TICKS
        while True:
            await asyncio.sleep(tick)
            before = monotonic() - self._pace.look
            overdue = [room for room in self._rooms.values() if room.looked_at <= before]
            await self._look_at(nsmallest(ceil(_LOOKS_A_SECOND * tick), overdue, key=lambda room: room.looked_at))

    def _wake(self, listeners: Iterable[Listener]) -> None:
        self._to_wake.update(dict.fromkeys(listeners))
        self._has_to_wake.set()

    def _ask(self, rooms: Iterable[Room]) -> None:
        self._asked.update((room.tenant_id, room) for room in rooms)
        self._has_asked.set()

    async def _look(self, room: Room) -> None:
        if await room.look(self._read):
            self._tell_room(room)

    def _tell_room(self, room: Room) -> None:
        """Wakes the room's listeners, at once or as soon as their last news are long enough ago."""
        if room.is_to_be_told:
            return
        room.is_to_be_told = True
        asyncio.get_running_loop().call_later(max(0.0, room.quiet_until - monotonic()), self._wake_room, room)

    def _wake_room(self, room: Room) -> None:
        room.is_to_be_told = False
        room.quiet_until = monotonic() + self._pace.spacing + len(room.listeners) * _SPACING_OF_A_LISTENER
        self._wake(room.listeners)

    async def _look_at(self, rooms: Iterable[Room]) -> list[Room]:
        """Looks at the rooms, a few at a time, and answers those whose head could not be read."""
        failed: list[Room] = []
        left = [room for room in rooms if room.listeners]
        while left:
            some, left = left[:_READ_AT_ONCE], left[_READ_AT_ONCE:]
            results = await asyncio.gather(*map(self._tried_look, some))
            failed += [room for room, done in zip(some, results, strict=True) if not done]
        return failed

    async def _tried_look(self, room: Room) -> bool:
        try:
            await self._look(room)
        except _FAILURES as error:
            log.warning("The head of tenant %d could not be read: %s", room.tenant_id, error)
            return False
        return True
