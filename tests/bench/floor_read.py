"""The floor of reading: the same rows by plain asyncpg, written as they are to a bare socket.

A caller sends a line, `WHAT AFTER ROWS`. The answer comes in pieces of at most 1,000 rows, each behind its length, and
ends with a length of zero and what the next request goes on behind. Columns are parted by tabs, rows by newlines.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from time import perf_counter
from typing import Final

from server.db import Scope
from server.db.connection import Row
from server.db.scope import quoted
from tests.bench.connection import Connection, connected
from tests.bench.timing import Run

PIECE: Final = 1_000
LENGTH: Final = Struct("!I")

EVENTS: Final = "events"
ENTITIES: Final = "entities"
FEED: Final = "feed"
HEAD: Final = "head"

BEGINNING: Final = "-"


@dataclass(frozen=True, slots=True)
class Query:
    """How rows are read on behind a place: the values of the first columns, `start` before all of them."""

    sql: str
    start: tuple[int | str, ...]

    def place_from(self, text: str) -> tuple[int | str, ...]:
        """A place as `place_of` wrote it."""
        if text == BEGINNING:
            return self.start
        return tuple(type(kind)(part) for kind, part in zip(self.start, text.split(","), strict=True))

    def place_of(self, row: Row) -> tuple[int | str, ...]:
        """The place of a row."""
        return tuple(row[: len(self.start)])


QUERIES: Final = {
    EVENTS: Query(
        "SELECT seq, guid, entity_guid, type, data, timestamp, user_id, received_at, device_id, account, outcome,"
        " reason FROM events WHERE seq > $1 ORDER BY seq LIMIT $2",
        (0,),
    ),
    ENTITIES: Query(
        "SELECT updated_ms, guid, fed_seq, state, type, entity_name, name, external_id, data, member_ids, parent_ids"
        " FROM entities WHERE state = 'live' AND (updated_ms, guid) > ($1, $2) ORDER BY updated_ms, guid LIMIT $3",
        (0, ""),
    ),
    FEED: Query(
        "SELECT fed_seq, guid, state, type, entity_name, name, external_id, version, data, member_ids, parent_ids,"
        " updated_ms FROM entities WHERE (fed_seq, guid) > ($1, $2) ORDER BY fed_seq, guid LIMIT $3",
        (0, ""),
    ),
    HEAD: Query("SELECT head, epoch FROM sync_head WHERE head >= $1 LIMIT $2", (0,)),
}


class FloorServer:
    """Serves rows on a loopback port."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listens; the port."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def run(self) -> None:
        """Serves until this process is ended."""
        assert self._server is not None
        await self._server.serve_forever()

    async def end(self) -> None:
        """Waits until everybody who was connected has hung up and been forgotten."""
        await asyncio.gather(*self._conversations)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(self._talk(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        schema, role = (await reader.readline()).decode().split()
        async with connected(self._dsn, search_path=quoted(schema)) as db:
            await db.execute(f"SET ROLE {quoted(role)}")
            while line := await reader.readline():
                what, after, rows = line.decode().split()
                await _answer(db, writer, QUERIES[what], after, int(rows))
        writer.close()


class FloorReader:
    """Reads from the server on this port, one connection for each client."""

    def __init__(self, port: int, scope: Scope) -> None:
        self._port = port
        self._scope = scope
        self._clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self, clients: int) -> None:
        """Opens as many connections, where there are fewer, and lets each ask once."""
        while len(self._clients) < clients:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
            writer.write(f"{self._scope.schema} {self._scope.role}\n".encode())
            self._clients.append((reader, writer))
            await _ask(reader, writer, HEAD, BEGINNING, 1, Run())

    async def read(self, what: str, starts: Sequence[str], *, requests: int, rows: int) -> Run:
        """From each of the starts at once: so many requests one behind the other, for so many rows each."""
        run = Run(rows=len(starts) * requests * rows)
        began = perf_counter()
        await asyncio.gather(
            *(
                self._follow(client, what, start, requests, rows, run)
                for client, start in zip(self._clients, starts, strict=False)
            )
        )
        run.seconds = perf_counter() - began
        return run

    async def close(self) -> None:
        """Hangs up."""
        for _, writer in self._clients:
            writer.close()
            await writer.wait_closed()

    async def _follow(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        what: str,
        start: str,
        requests: int,
        rows: int,
        run: Run,
    ) -> None:
        for _ in range(requests):
            began = perf_counter()
            following = await _ask(*client, what, start, rows, run)
            run.took.append(perf_counter() - began)
            start = start if what == HEAD else following


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str, after: str, rows: int, run: Run
) -> str:
    """Reads one answer; where to go on. Fails where there are fewer rows than asked for."""
    writer.write(f"{what} {after} {rows}\n".encode())
    while length := LENGTH.unpack(await reader.readexactly(LENGTH.size))[0]:
        piece = await reader.readexactly(length)
        run.bytes += length
        rows -= piece.count(b"\n") + 1
    end = LENGTH.unpack(await reader.readexactly(LENGTH.size))[0]
    place = await reader.readexactly(end)
    assert rows == 0, f"{rows} rows of {what} behind {after} are missing"
    return place.decode()


async def _answer(db: Connection, writer: asyncio.StreamWriter, query: Query, after: str, rows: int) -> None:
    place = query.place_from(after)
    while rows > 0:
        found = await db.fetch(query.sql, *place, min(rows, PIECE))
        if found:
            place = query.place_of(found[-1])
            piece = "\n".join(["\t".join([str(value) for value in row]) for row in found]).encode()
            writer.writelines((LENGTH.pack(len(piece)), piece))
            await writer.drain()
        rows = rows - len(found) if len(found) == PIECE else 0
    end = ",".join(map(str, place)).encode()
    writer.writelines((LENGTH.pack(0), LENGTH.pack(len(end)), end))
    await writer.drain()
