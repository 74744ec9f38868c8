"""Both sides of pushing and of reading, driven in turn."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from server.db import Scope
from server.db.scope import quoted
from tests.bench.apart import Apart
from tests.bench.connection import connected
from tests.bench.floor_push import FloorPush
from tests.bench.floor_read import FloorReader, FloorServer
from tests.bench.likeness import check_likeness
from tests.bench.load import HttpLoad
from tests.bench.people import FIRST_NEW
from tests.bench.reading import HttpReader
from tests.bench.rounds import Rounds
from tests.bench.servers import Bench, Pair
from tests.bench.timing import Run


@dataclass(frozen=True, slots=True)
class Shape:
    """How a round pushes: batches of `size` by `clients` at once, about `events` in all."""

    size: int
    clients: int
    events: int

    @property
    def pushes(self) -> int:
        """How many batches a round has: as many for each client."""
        return max(1, self.events // self.size // self.clients) * self.clients


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages from several places at once, so many of `rows` rows from each. `path` ends where the cursor belongs.

    Rows of Croft's are counted by the marker; without one, answers are. `floor` is what the floor is asked for.
    """

    path: str
    marker: str
    starts: list[str]
    floor: str
    floor_starts: list[str]
    requests: int
    rows: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of so many rows."""

    path: str
    headers: str
    floor: str
    floor_start: str
    rows: int
    encoding: str = "identity"


class PushSides:
    """A load on Croft and its floor, each in a process of its own until the block is left."""

    def __init__(self, bench: Bench, path: str) -> None:
        self.bench = bench
        self.path = path
        self._next_person = FIRST_NEW
        self._processes = ExitStack()

    def __enter__(self) -> Self:
        self._load = self._processes.enter_context(
            Apart(HttpLoad, self.bench.url, self.bench.token, self.bench.superuser_dsn)
        )
        self._floor = self._processes.enter_context(Apart(FloorPush, self.bench.dsn, self.bench.superuser_dsn))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._processes.close()

    def rounds(self, pairs: list[Pair], shape: Shape, amount: int) -> Rounds:
        """So many rounds over the pairs of tenants; both sides have written the same at the end."""
        rounds = Rounds()
        for _ in range(amount):
            rounds.add(*self.round(pairs, shape, shape.pushes))
        self.check(pairs)
        return rounds

    def check(self, pairs: list[Pair]) -> None:
        """Fails unless both sides have written the same."""
        for pair in pairs:
            asyncio.run(check_likeness(self.bench.superuser_dsn, *pair.scopes))

    def round(self, pairs: list[Pair], shape: Shape, pushes: int) -> tuple[Run, Run]:
        """Croft takes so many batches, then the floor writes the rows that came of them."""
        self.prepare(pairs, shape, pushes)
        croft = self.push()
        self._floor.call(FloorPush.prepare, [pair.scopes for pair in pairs], clients=shape.clients)
        return croft, self._floor.call(FloorPush.push)

    def prepare(self, pairs: list[Pair], shape: Shape, pushes: int) -> None:
        """Makes so many batches for Croft."""
        self._load.call(
            HttpLoad.prepare,
            [pair.croft for pair in pairs],
            first=self._next_person,
            size=shape.size,
            count=pushes,
            clients=shape.clients,
        )
        self._next_person += pushes * shape.size

    def push(self) -> Run:
        """Croft takes what was prepared."""
        return self._load.call(HttpLoad.push, self.path)


class ReadSides:
    """A reader of Croft's, one of the floor's, and the floor's server, each in a process of its own until the end.

    `epoch` is that of Croft's tenant, `head` the number of the last event in both, `live` how many entities live.
    """

    def __init__(self, bench: Bench, pair: Pair) -> None:
        self._bench = bench
        self._pair = pair
        self._processes = ExitStack()
        self.epoch, self.head, self.live = asyncio.run(_extent(bench.superuser_dsn, pair.croft.scope))

    def __enter__(self) -> Self:
        bench, enter = self._bench, self._processes.enter_context
        server = enter(Apart(FloorServer, bench.dsn))
        port = server.call(FloorServer.start)
        server.begin(FloorServer.run)
        self._croft = enter(Apart(HttpReader, bench.url, bench.token, self._pair.croft.config_id))
        self._floor = enter(Apart(FloorReader, port, self._pair.floor.scope))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._processes.close()

    def pages(self, wanted: Pages, amount: int) -> Rounds:
        """So many rounds of pages, after one that does not count."""
        self._floor.call(FloorReader.connect, len(wanted.starts))
        return self._rounds(lambda: self._pages(wanted), amount)

    def stream(self, wanted: Stream, amount: int) -> Rounds:
        """So many rounds of a stream, after one that does not count where there are several."""
        self._floor.call(FloorReader.connect, 1)
        return self._rounds(lambda: self._stream(wanted), amount)

    def _rounds(self, round_: Callable[[], tuple[Run, Run]], amount: int) -> Rounds:
        if amount > 1:
            round_()
        rounds = Rounds()
        for _ in range(amount):
            rounds.add(*round_())
        return rounds

    def _pages(self, wanted: Pages) -> tuple[Run, Run]:
        croft = self._croft.call(
            HttpReader.pages, wanted.path, wanted.starts, requests=wanted.requests, marker=wanted.marker
        )
        floor = self._floor.call(
            FloorReader.read, wanted.floor, wanted.floor_starts, requests=wanted.requests, rows=wanted.rows
        )
        return croft, floor

    def _stream(self, wanted: Stream) -> tuple[Run, Run]:
        croft = self._croft.call(
            HttpReader.stream, wanted.path, wanted.headers, encoding=wanted.encoding, rows=wanted.rows
        )
        floor = self._floor.call(FloorReader.read, wanted.floor, [wanted.floor_start], requests=1, rows=wanted.rows)
        return croft, floor


async def _extent(dsn: str, scope: Scope) -> tuple[str, int, int]:
    async with connected(dsn, search_path=quoted(scope.schema)) as db:
        row = await db.fetchrow(
            "SELECT epoch, head, (SELECT count(*) FROM entities WHERE state = 'live') AS live FROM sync_head"
        )
    assert row is not None
    return row["epoch"], row["head"], row["live"]
