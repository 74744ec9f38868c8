"""A tenant's room, and the listeners in it.

The room has the newest head that is known. A listener holds nothing but the head it has been told of; so however slow
it is and however much happens meanwhile, what it gets next is the newest head alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from weakref import WeakSet

from server.db import Scope
from server.sync.v2.cursor import Head

ReadHead = Callable[[Scope], Awaitable[Head]]
"""Reads where the log in a scope ends."""


@dataclass(frozen=True, slots=True)
class Credential:
    """By what an account listens: a session, or the API key of a service account, by the part of it that may be shown.

    Of somebody who has neither, nobody can look up later whether he may go on.
    """

    account: str
    session_id: str = ""
    api_key: str = ""


class Room:
    """The listeners of one tenant. `head` is the newest that is known, None before the first look.

    looked_at, quiet_until: by the monotonic clock, when it was last read, and until when a newer one wakes nobody.
    """

    __slots__ = (
        "_looks",
        "_reading",
        "head",
        "is_to_be_told",
        "listeners",
        "looked_at",
        "quiet_until",
        "scope",
        "tenant_id",
    )

    def __init__(self, tenant_id: int, scope: Scope) -> None:
        self.tenant_id = tenant_id
        self.scope = scope
        self.head: Head | None = None
        # Weak, because a stream that is given up before its first piece tells nobody.
        self.listeners: WeakSet[Listener] = WeakSet()
        self.looked_at = 0.0
        self.quiet_until = 0.0
        self.is_to_be_told = False
        self._looks = 0
        self._reading = asyncio.Lock()

    async def look(self, read: ReadHead) -> bool:
        """Reads the head, not earlier than now. Answers whether it is another one than was known.

        Those who ask while one reads share the next reading. As there is one at a time, a later one is never older.
        """
        wanted = self._looks + (2 if self._reading.locked() else 1)
        async with self._reading:
            if self._looks >= wanted:
                return False
            self.looked_at, before = monotonic(), self.head
            found = await read(self.scope)
            self._looks += 1
            return self._learn(found, before)

    def _learn(self, found: Head, before: Head | None) -> bool:
        """Takes over what was read, unless the head has been heard to go further since it was `before`.

        A head that lies behind the one from before the reading is true as well: the database has lost something.
        """
        known = self.head
        was_set_back = before is not None and before.epoch == found.epoch and found.seq < before.seq
        if known is None or known.epoch != found.epoch or known.seq < found.seq or was_set_back:
            self.head = found
            return known is not None
        return False

    def advance(self, head: Head) -> bool:
        """Takes over a head that was heard of. Answers False where it is no help: only a look can tell what is so."""
        if self.head is None or self.head.epoch != head.epoch:
            return False
        if self.head.seq < head.seq:
            self.head = head
        return True


class Listener:
    """Iterates over what a device is to be told: the newest head, or None for a sign of life. Over when it is ended.

    credential: what it came with, in which tenant it may be good no longer. told: the head that the device knows.
    ends_at, spoke_at: by the monotonic clock, when it is to end and when it last had something to say.
    """

    __slots__ = (
        "__weakref__",
        "_room",
        "_waiter",
        "credential",
        "ends_at",
        "is_due",
        "is_over",
        "spoke_at",
        "told",
    )

    def __init__(self, room: Room, credential: Credential, ends_at: float) -> None:
        self._room = room
        self._waiter: asyncio.Future[None] | None = None
        self.credential = credential
        self.ends_at = ends_at
        self.spoke_at = monotonic()
        self.is_due = False
        self.is_over = False
        self.told: Head | None = None

    @property
    def tenant_id(self) -> int:
        """The number of the tenant it listens to."""
        return self._room.tenant_id

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> Head | None:
        while not (self.is_over or self.is_due or self.has_news):
            await self._woken()
        if self.is_over:
            raise StopAsyncIteration
        self.is_due, self.spoke_at = False, monotonic()
        if not self.has_news:
            return None
        self.told = self._room.head
        return self.told

    @property
    def has_news(self) -> bool:
        """Whether the head is another one than the device knows."""
        return self._room.head != self.told

    async def _woken(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Lets it see what there is to say."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def leave(self) -> None:
        """Takes it out of its room."""
        self.is_over = True
        self._room.listeners.discard(self)
