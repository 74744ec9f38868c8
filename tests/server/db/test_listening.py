"""What one process says and another hears, over connections that are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest

from server.db.listening import MOST_PAYLOAD_BYTES, Listening
from tests.conftest import Croft

CHANNEL = "a_channel_of_the_tests"
SECONDS = 10.0


class Process:
    """One that listens; what it has heard, and each time it could hear anew."""

    def __init__(self, dsn: str, *, keepalive_seconds: float = 15.0, answer_seconds: float = 10.0) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.connected = asyncio.Semaphore(0)
        self.listening = Listening(
            dsn,
            CHANNEL,
            heard=self.heard.put_nowait,
            connected=self.connected.release,
            keepalive_seconds=keepalive_seconds,
            answer_seconds=answer_seconds,
        )

    async def hears(self) -> str:
        async with asyncio.timeout(SECONDS):
            return await self.heard.get()

    async def connects(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.connected.acquire()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        task = asyncio.create_task(self.listening.run())
        try:
            await self.connects()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_each_hears_the_others_and_not_itself(croft: Croft) -> None:
    one, other = Process(croft.addresses.direct), Process(croft.addresses.direct)
    async with one.running(), other.running():
        longest = "x" * MOST_PAYLOAD_BYTES
        await one.listening.say(["first", longest])
        await other.listening.say(["back"])
        assert [await other.hears(), await other.hears()] == ["first", longest]
        assert await one.hears() == "back"
        assert one.heard.empty()


async def test_nothing_can_be_said_without_a_connection(croft: Croft) -> None:
    silent = Process(croft.addresses.direct)
    with pytest.raises(ConnectionError):
        await silent.listening.say(["nobody hears"])


async def test_lost_connection_is_replaced_and_says_so(croft: Croft) -> None:
    one, other = Process(croft.addresses.direct), Process(croft.addresses.direct)
    async with one.running(), other.running():
        db = await asyncpg.connect(croft.addresses.direct)
        try:
            for number in range(3):
                assert await db.fetchval(
                    "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE '%pg_notify($1%' AND pid <> pg_backend_pid()"
                )
                await one.connects()
                await other.connects()
                await one.listening.say([str(number)])
                assert await other.hears() == str(number)
        finally:
            await db.close()


async def test_connection_that_is_dead_without_a_word_is_noticed_and_replaced(croft: Croft, tmp_path: Path) -> None:
    database = urlsplit(croft.addresses.direct)
    directory = parse_qs(database.query)["host"][0]
    valve = Valve(f"{directory}/.s.PGSQL.5432")
    proxy = await asyncio.start_unix_server(valve.serve, tmp_path / ".s.PGSQL.5432")
    dsn = f"postgresql://croft@{database.path}?host={quote(str(tmp_path), safe='')}"
    one = Process(dsn, keepalive_seconds=0.05, answer_seconds=0.3)
    other = Process(croft.addresses.direct)
    async with proxy, one.running(), other.running():
        valve.shut_behind_those_who_came()
        await one.connects()
        await other.listening.say(["heard again"])
        assert await one.hears() == "heard again"
        valve.let_go()


class Valve:
    """A way to the database that can be shut, so that nothing comes through any more and nobody is told."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._passes = asyncio.Event()
        self._passes.set()
        self._shut: list[asyncio.Event] = []

    def shut_behind_those_who_came(self) -> None:
        """Whoever connects later comes through."""
        self._passes.clear()
        self._shut.append(self._passes)
        self._passes = asyncio.Event()
        self._passes.set()

    def let_go(self) -> None:
        """Ends what was shut."""
        for each in self._shut:
            each.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways."""
        passes = self._passes
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        with suppress(ConnectionError):
            await asyncio.gather(pass_on(reader, far_writer, passes), pass_on(far_reader, writer, passes))


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
    while data := await reader.read(65536):
        await passes.wait()
        writer.write(data)
    writer.close()
