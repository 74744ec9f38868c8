"""How much may be under way at once, altogether and of one tenant: requests, live listeners, bytes of bodies.

Whatever is refused here was not begun: the caller sends it again after the pause that he is told.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from server.http.turns import Turns
from server.kit.problem import ProblemKind

OVERLOADED = ProblemKind("server.overloaded", 503, "The server has too many requests at once. Try again in a moment.")
TENANT_BUSY = ProblemKind("tenants.busy", 429, "This tenant has too many requests at once. Try again in a moment.")

SOON = {"Retry-After": "5"}

MIB = 1024 * 1024

LARGE_BODY = 64 * 1024
"""More bytes than this are much work."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process works on at once; `body_bytes` are those of bodies from their first byte to their answer.

    wait_seconds: how long a large body waits for others of its tenant.

    A tenant may have half of the listeners and a quarter of the bytes, but always one whole body.
    """

    tenant_requests: int = 500
    listeners: int = 10_000
    body_bytes: int = 128 * MIB
    one_body: int = 16 * MIB
    wait_seconds: float = 20

    @property
    def tenant_listeners(self) -> int:
        return max(1, self.listeners // 2)

    @property
    def tenant_body_bytes(self) -> int:
        return max(self.one_body, self.body_bytes // 4)


class Load:
    """What is under way in this process."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._requests = _Tally()
        self._listeners = _Tally()
        self._body_bytes = _Tally()
        self._turns = Turns()

    @asynccontextmanager
    async def turn_of(self, owner: str, size: int) -> AsyncIterator[None]:
        """The owner's turn to have a body of so many bytes worked on, which a small one does not wait for.

        Raises `tenants.busy` when it does not come in time.
        """
        async with AsyncExitStack() as held:
            if size > LARGE_BODY:
                try:
                    async with asyncio.timeout(self._bounds.wait_seconds):
                        await held.enter_async_context(self._turns.turn_of(owner))
                except TimeoutError:
                    raise TENANT_BUSY(headers=SOON) from None
            yield

    @contextmanager
    def request_of(self, tenant: str) -> Iterator[None]:
        """Counts a request of the tenant for as long as the block runs. Raises `tenants.busy`."""
        if self._requests.of(tenant) >= self._bounds.tenant_requests:
            raise TENANT_BUSY(headers=SOON)
        self._turns.saw(tenant)
        with self._requests.counted(tenant):
            yield

    @contextmanager
    def listener_of(self, tenant: str) -> Iterator[None]:
        """Counts a live listener for as long as the block runs. Raises `tenants.busy` and `server.overloaded`."""
        if self._listeners.of(tenant) >= self._bounds.tenant_listeners:
            raise TENANT_BUSY("This tenant has too many live listeners. Try again in a moment.", headers=SOON)
        if self._listeners.total >= self._bounds.listeners:
            raise OVERLOADED("The server has too many live listeners. Try again in a moment.", headers=SOON)
        with self._listeners.counted(tenant):
            yield

    @contextmanager
    def body_of(self, owner: str) -> "Iterator[HeldBody]":
        """A body whose bytes count for as long as the block runs. `owner` is the tenant, or else the account."""
        body = HeldBody(self._body_bytes, self._bounds, owner)
        try:
            yield body
        finally:
            body.let_go()


class HeldBody:
    """The bytes of one body that are in memory, unpacked."""

    def __init__(self, held: "_Tally", bounds: Bounds, owner: str) -> None:
        self._held = held
        self._bounds = bounds
        self._owner = owner
        self._size = 0

    @classmethod
    def of_nobody(cls) -> "HeldBody":
        """For bodies that are so small that their number bounds them."""
        return cls(_Tally(), Bounds(), "")

    def check(self, more: int) -> None:
        """Raises `tenants.busy` or `server.overloaded` where `more` bytes would be too many now."""
        if self._held.of(self._owner) + more > self._bounds.tenant_body_bytes:
            raise TENANT_BUSY(headers=SOON)
        if self._held.total + more > max(self._bounds.body_bytes, self._bounds.one_body):
            raise OVERLOADED(headers=SOON)

    def add(self, more: int) -> None:
        """Counts `more` bytes. Raises as `check` does."""
        self.check(more)
        self._held.add(self._owner, more)
        self._size += more

    def let_go(self) -> None:
        """Gives back what was counted."""
        self._held.add(self._owner, -self._size)
        self._size = 0


class _Tally:
    """A number for each name, and their sum. A name with nothing is forgotten: there may be thousands of them."""

    def __init__(self) -> None:
        self.total = 0
        self._by_name: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self._by_name.get(name, 0)

    def add(self, name: str, number: int) -> None:
        self.total += number
        self._by_name[name] = self.of(name) + number
        if not self._by_name[name]:
            del self._by_name[name]

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        self.add(name, 1)
        try:
            yield
        finally:
            self.add(name, -1)
