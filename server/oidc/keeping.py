"""Keeping what an issuer said: fetched once for all who wait, renewed in time, and used a while longer in an outage."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from server.kit.problem import ProblemKind
from server.outbound import Unreachable

PROVIDER_UNAVAILABLE = ProblemKind(
    "auth.provider-unavailable", 503, "The organization's sign-in service cannot be reached. Try again in a while."
)

RETRY: Final = {"Retry-After": "30"}

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Clock = Callable[[], float]
"""Seconds that only go forward."""


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds. fresh: how long a value is used without another look. usable: how long, where no other can be had.

    pause: between two tries after a failure; calm: between two looks that somebody's token made seem necessary.
    """

    fresh: float = 300
    usable: float = 24 * 3600
    pause: float = 15
    calm: float = 10


class Kept(Generic[V]):
    """One value that is fetched when it is needed. Whoever comes while it is fetched waits for the same answer."""

    def __init__(self, fetch: Callable[[], Awaitable[V]], times: Times, clock: Clock) -> None:
        self._fetch = fetch
        self._times = times
        self._clock = clock
        self._value: tuple[V, float] | None = None
        self._tried_at: float | None = None
        self._looked_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def get(self) -> V:
        """The value, not older than `fresh`, or than `usable` in an outage. Raises `auth.provider-unavailable`."""
        value = self._within(self._times.fresh)
        if value is None and self._has_passed(self._times.pause, self._tried_at):
            await self._renew()
        value = self._within(self._times.usable)
        if value is None:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        return value

    async def look_again(self) -> V:
        """The value as it is now, unless it was looked at a moment ago. Raises as `get` does."""
        if self._has_passed(self._times.calm, self._looked_at):
            self._looked_at = self._clock()
            await self._renew()
        return await self.get()

    def _within(self, seconds: float) -> V | None:
        if self._value is None or self._clock() - self._value[1] >= seconds:
            return None
        return self._value[0]

    def _has_passed(self, pause: float, since: float | None) -> bool:
        """Whether it may be asked again, or is being asked already."""
        return self._fetching is not None or since is None or self._clock() - since >= pause

    async def _renew(self) -> None:
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch_once())
        # Who gives up waiting does not take the answer away from the others.
        await asyncio.shield(self._fetching)

    async def _fetch_once(self) -> None:
        try:
            self._value = (await self._fetch(), self._clock())
        except Unreachable:
            pass  # why has been logged; what is kept goes on
        finally:
            self._fetching = None


class Recent(Generic[K, V]):
    """A number of values by key, those used last; each is forgotten when its time is over."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._values: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, None where there is none or its time is over."""
        found = self._values.get(key)
        if found is None:
            return None
        value, ends = found
        if self._clock() >= ends:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V, *, seconds: float = float("inf")) -> None:
        """Keeps the value for so many seconds at most."""
        self._values[key] = (value, self._clock() + seconds)
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
