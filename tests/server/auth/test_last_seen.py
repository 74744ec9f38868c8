import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from server.auth.last_seen import LastSeen
from server.auth.sessions.queries import mark_seen
from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft, new_database, start_croft
from tests.server.auth.sessions.signing import device_of, new_account, stored, superuser


class Written:
    """Takes what is written; the first `failures` times it cannot."""

    def __init__(self, failures: int = 0) -> None:
        self.calls: list[Mapping[str, datetime]] = []
        self.failures = failures
        self.called = asyncio.Event()

    async def __call__(self, noted: Mapping[str, datetime]) -> None:
        self.called.set()
        if self.failures:
            self.failures -= 1
            raise OSError("no database")
        self.calls.append(noted)


async def test_however_often_it_is_seen_it_is_written_once() -> None:
    written = Written()
    seen = LastSeen[str](written)
    for number in range(100):
        seen.mark(str(number % 3))
    await seen.flush()
    await seen.flush()
    [noted] = written.calls
    assert set(noted) == {"0", "1", "2"}


async def test_what_could_not_be_written_is_written_with_the_next() -> None:
    written = Written(failures=1)
    seen = LastSeen[str](written)
    seen.mark("one")
    seen.mark("two")
    await seen.flush()
    assert not written.calls
    seen.mark("two")
    seen.mark("three")
    await seen.flush()
    [noted] = written.calls
    assert list(noted) == ["one", "two", "three"]
    assert noted["two"] >= noted["one"]


async def test_end_of_the_server_writes_what_was_noted() -> None:
    written = Written()
    seen = LastSeen[str](written)
    running = asyncio.create_task(seen.run())
    await asyncio.sleep(0)
    seen.mark("one")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [set(noted) for noted in written.calls] == [{"one"}]


async def test_it_is_written_every_so_often() -> None:
    written = Written()
    seen = LastSeen[str](written, seconds=0.001)
    running = asyncio.create_task(seen.run())
    seen.mark("one")
    await asyncio.wait_for(written.called.wait(), 10)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [set(noted) for noted in written.calls] == [{"one"}]


async def test_requests_of_a_session_write_nothing_and_are_noted_behind_them(cluster: EmbeddedPostgres) -> None:
    async with start_croft(await new_database(cluster)) as server:
        user_id, email = await new_account(server)
        device = await device_of(server, email)
        await device.ask()
        [opened] = await stored(server, user_id)
        for _ in range(3):
            await device.ask()
        assert await stored(server, user_id) == [opened]
    [seen] = await stored(server, user_id)
    assert seen["last_seen_at"] > opened["last_seen_at"]
    assert {**dict(seen), "last_seen_at": None} == {**dict(opened), "last_seen_at": None}


async def test_moment_that_is_noted_late_does_not_put_a_session_back(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    [before] = await stored(croft, user_id)
    async with superuser(croft) as db:
        await db.execute("SET search_path = croft")
        moments = [before["last_seen_at"] + timedelta(minutes=5), before["last_seen_at"] - timedelta(minutes=5)]
        for moment in moments:
            await mark_seen(db, [UUID(device.session), uuid4()], [moment, moment])
    [after] = await stored(croft, user_id)
    assert after["last_seen_at"] == moments[0]
