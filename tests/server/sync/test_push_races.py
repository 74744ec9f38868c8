"""Pushes that meet in the worst moment: something else happens in between any two statements of a push."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orjson import dumps

from server.db import Connection
from server.sync import queries
from server.sync.event import Data, Event
from server.sync.push import Source, push
from server.sync.rebuilding import rebuild
from server.sync.v2.push import receive
from tests.server.sync.conftest import AT, SOURCE, Log
from tests.server.sync.slow_fold import SlowFold
from tests.server.sync.strategies import event, histories, state_of, workload
from tests.server.sync.test_push import assert_holds

OTHER = Source("ben@example.org", "another phone", AT)


@dataclass
class Interrupted:
    """A connection before each of whose statements something else happens; it is told how many there were before."""

    db: Connection
    interrupt: Callable[[int], Awaitable[None]]
    statements: int = 0

    async def _next(self) -> None:
        await self.interrupt(self.statements)
        self.statements += 1

    async def fetch(self, *query: Any) -> Any:
        await self._next()
        return await self.db.fetch(*query)

    async def fetchrow(self, *query: Any) -> Any:
        await self._next()
        return await self.db.fetchrow(*query)

    async def execute(self, *query: Any) -> Any:
        await self._next()
        return await self.db.execute(*query)


async def push_interrupted(log: Log, batch: Sequence[Event], others: Sequence[tuple[int, Sequence[Event]]]) -> None:
    """Pushes the batch; the others are pushed before the statements with these numbers, or wait there for the batch."""
    begun: list[asyncio.Task[Any]] = []

    async def interrupt(number: int) -> None:
        for place, other in others:
            if place == number:
                begun.append(asyncio.create_task(log.push(other, OTHER)))
                await ended_or_waiting(log, begun[-1])

    async with log.inside() as db:
        connection: Any = Interrupted(db, interrupt)
        await push(connection, batch, SOURCE)
        total = connection.statements
    for task in begun:
        await task
    for place, other in others:
        if place >= total:
            await log.push(other, OTHER)


async def ended_or_waiting(log: Log, task: asyncio.Task[Any]) -> None:
    """Returns when the task has come to its end, or as soon as somebody waits for a lock."""
    async with asyncio.timeout(20), log.database.shared() as db:
        while not task.done():
            if await db.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                return


async def assert_fed(log: Log, pushed: Sequence[Event]) -> None:
    """Every entity has the number of the last push that mentioned or changed it: not before, and not after."""
    rows = await log.fetch("SELECT seq, guid FROM events ORDER BY seq")
    events = {each.guid: each for each in pushed}
    ordered = [events[row["guid"]] for row in rows]
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    before: dict[str, tuple[object, ...]] = {}
    for row in await log.fetch("SELECT first_seq, last_seq FROM pushes ORDER BY last_seq"):
        after = state_of(SlowFold(ordered[: row["last_seq"]]).entities())
        for guid in [guid for guid, state in after.items() if before.get(guid) != state]:
            least[guid], most[guid] = row["first_seq"], row["last_seq"]
        for seq in range(row["first_seq"], row["last_seq"] + 1):
            for guid in ordered[seq - 1].mentions:
                least[guid], most[guid] = seq, max(seq, most.get(guid, 0))
        before = after
    for guid, entity in (await log.entities()).items():
        assert least[guid] <= entity.fed_seq <= most[guid]


# Another push in between


@settings(max_examples=40, deadline=None)
@given(data=st.data(), events=histories(min_size=3, max_size=14))
async def test_pushes_that_come_in_between_any_two_statements_give_the_fold_of_all(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    places = st.integers(0, len(events))
    one, two, three = sorted((data.draw(places), data.draw(places), data.draw(places)))
    await shared_log.push(events[:one])
    others = [(data.draw(st.integers(0, 8)), each) for each in (events[two:three], events[three:]) if each]
    await push_interrupted(shared_log, events[one:two], others)
    await assert_holds(shared_log, events)
    await assert_fed(shared_log, events)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), events=histories(min_size=3, max_size=10))
async def test_pushes_that_bring_some_of_the_same_events_in_between_give_the_fold_of_all(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    batches = [data.draw(st.lists(st.sampled_from(events), min_size=1, unique_by=id)) for _ in range(3)]
    await push_interrupted(shared_log, batches[0], [(data.draw(st.integers(0, 8)), each) for each in batches[1:]])
    known = [each for each in events if any(each is pushed for batch in batches for pushed in batch)]
    await assert_holds(shared_log, known)
    await assert_fed(shared_log, known)


async def test_deletion_gets_through_though_the_group_grows_before_each_of_its_rounds(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    camp = event("create-group", "camp", {"name": "Camp"})
    late = event("remove-member", "camp", {"memberId": "dorm"}, at=2)
    gone = event("delete-entity", "camp", {"guid": "camp"}, at=1)
    await log.push([camp, late])
    grown: list[Event] = []
    nobody_else = asyncio.Event()
    lock_all = queries.lock_all_entities

    async def lock_all_entities(db: Connection) -> None:
        await lock_all(db)
        nobody_else.set()

    class Growing(Interrupted):
        async def fetch(self, *query: Any) -> Any:
            if "FOR UPDATE" in query[0] and not nobody_else.is_set():
                member = {"guid": f"person {len(grown)}", "name": "Ann"}
                grown.append(event("add-member", "camp", {"members": [member]}, guid=f"adding {len(grown)}", at=3))
                await log.push(grown[-1:])
            return await super().fetch(*query)

    monkeypatch.setattr(queries, "lock_all_entities", lock_all_entities)
    async with asyncio.timeout(20), log.inside() as db:
        connection: Any = Growing(db, quiet)
        await push(connection, [gone], SOURCE)
    await assert_holds(log, [camp, late, gone, *grown])


async def quiet(_: int) -> None:
    """Nothing happens."""


async def test_event_whose_guid_another_push_just_took_for_other_content_is_put_aside_and_the_same_is_known(
    log: Log,
) -> None:
    def raw(guid: str, name: str) -> Data:
        return {
            "guid": guid,
            "entityGuid": name,
            "type": "create-individual",
            "data": {"name": name},
            "timestamp": "2026-01-31T08:00:00Z",
            "userId": "7",
        }

    async def received(raws: Sequence[Data], source: Source) -> list[tuple[str, str, int | None]]:
        async with log.inside() as db:
            taken, _ = await receive(db, raws, source, timedelta(), epoch=None)
        return [(each.status, each.code, each.seq) for each in taken.fates]

    async with log.inside() as db:
        await receive(db, [raw("one", "ann"), raw("two", "ben")], SOURCE, timedelta(), epoch=None)
        other = asyncio.create_task(received([raw("one", "cleo"), raw("two", "ben"), raw("three", "dan")], OTHER))
        await ended_or_waiting(log, other)
    assert await other == [("quarantined", "event.guid-reused", None), ("known", "", 2), ("accepted", "", 3)]
    assert await log.fetchval("SELECT raw FROM quarantine") == dumps(raw("one", "cleo")).decode()


# Something else in between


@pytest.mark.parametrize("place", range(8))
async def test_rebuilding_in_between_any_two_statements_changes_nothing(log: Log, place: int) -> None:
    events = workload(Random(5), 60)
    await log.push(events[:40])
    begun: list[asyncio.Task[None]] = []

    async def interrupt(number: int) -> None:
        if number == place:
            begun.append(asyncio.create_task(rebuilt(log)))
            await ended_or_waiting(log, begun[-1])

    async with log.inside() as db:
        connection: Any = Interrupted(db, interrupt)
        await push(connection, events[40:], SOURCE)
    for task in begun:
        await task
    assert begun, "the push has fewer statements"
    await assert_holds(log, events)


async def rebuilt(log: Log) -> None:
    async with log.inside() as db:
        assert (await rebuild(db)).differing == []


async def test_push_that_is_given_up_before_any_of_its_statements_leaves_nothing(log: Log) -> None:
    events = workload(Random(6), 50)
    await log.push(events[:30])
    given_up, place = True, 0
    while given_up:
        given_up = await is_given_up(log, events[30:], place)
        place += 1
        await assert_holds(log, events[:30] if given_up else events)
    assert place > 4


async def is_given_up(log: Log, batch: Sequence[Event], place: int) -> bool:
    """Whether a push was cancelled while the database was busy with the statement of this number."""
    pushing: asyncio.Task[None]

    async def interrupt(number: int) -> None:
        if number == place:
            asyncio.get_running_loop().call_soon(pushing.cancel)

    async def work() -> None:
        async with log.inside() as db:
            connection: Any = Interrupted(db, interrupt)
            await push(connection, batch, SOURCE)

    pushing = asyncio.create_task(work())
    await asyncio.wait([pushing])
    return pushing.cancelled()


# Many at once


@pytest.mark.parametrize("seed", range(3))
async def test_pushes_of_many_with_readers_beside_them_give_the_slow_fold_and_nobody_misses_anything(
    log: Log, seed: int
) -> None:
    random = Random(seed)
    events = workload(random, 150)
    batches: list[list[Event]] = []
    while sum(map(len, batches)) < len(events) * 2:
        batches.append(random.sample(events, random.choice((1, 2, 5, 12))))
    batches += [[each] for each in events]
    done = asyncio.Event()
    held: dict[str, Any] = {}

    async def read() -> None:
        after, is_last = 0, False
        while not is_last:
            is_last = done.is_set()
            async with log.inside() as db:
                while rows := await queries.list_feed(db, after, 7, 100_000):
                    held.update((row["guid"], (row["fed_seq"], row["version"], row["data"])) for row in rows)
                    after = rows[-1]["fed_seq"]

    async def write() -> None:
        await log.push_at_once(batches, writers=4)
        done.set()

    await asyncio.gather(write(), read())
    slow = SlowFold(events)
    entities = await log.entities()
    assert state_of(entities) == state_of(slow.entities())
    await assert_holds(log, events)
    await assert_fed(log, events)
    rows = await log.fetch("SELECT guid, fed_seq, version, data FROM entities")
    assert held == {row["guid"]: (row["fed_seq"], row["version"], row["data"]) for row in rows}
