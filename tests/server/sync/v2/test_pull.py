"""However a log is pulled: each event comes once, in order, and the entities as the server has them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.kit.problem import Problem
from server.sync.epoch import begin_epoch
from server.sync.event import Event
from server.sync.push import Source
from server.sync.v2 import pull
from server.sync.v2.cursor import Head
from server.sync.v2.queries import Wanted
from tests.server.sync.conftest import AT, Log
from tests.server.sync.strategies import GROUPS, PEOPLE, batches, event, histories, workload
from tests.server.sync.v2.conftest import ACCOUNT, DEVICE, Json, Reader, events_on, states_on

MINE = Source(ACCOUNT, DEVICE, AT)
OTHERS = Source(ACCOUNT, "another device", AT)


@contextmanager
def steps_of(
    step: int = 2, window: int = 20_000, step_bytes: int = 1 << 21, page_bytes: int = 1 << 23
) -> Iterator[None]:
    """Parts of the log as small as this log needs them."""
    with (
        patch.object(pull, "_STEP", step),
        patch.object(pull, "_WINDOW", window),
        patch.object(pull, "_STEP_BYTES", step_bytes),
        patch.object(pull, "_PAGE_BYTES", page_bytes),
    ):
        yield


async def push_each(log: Log, pushes: Sequence[Sequence[Event]], random: Random) -> None:
    for events in pushes:
        await log.push(events, random.choice((MINE, OTHERS)))


wanted_by_device = st.builds(
    Wanted,
    st.just(ACCOUNT),
    st.just(DEVICE),
    events=st.booleans(),
    entities=st.just(True),
    form=st.sampled_from((None, None, "household", "person", "group")),
    entity=st.sampled_from((None, None, PEOPLE[0], GROUPS[0], "nobody")),
    others=st.booleans(),
)


async def expected_events(log: Log, wanted: Wanted) -> list[Json]:
    """The events that the filters leave, found out by looking at each."""
    if not wanted.events:
        return []
    forms = {guid: state["form"] for guid, state in (await states_on(log)).items()}
    about = {row["seq"] for row in await log.fetch("SELECT seq FROM mentions WHERE entity_guid = $1", wanted.entity)}
    return [
        each
        for each in await events_on(log)
        if (wanted.form is None or forms[each["entityGuid"]] == wanted.form)
        and (wanted.entity is None or each["seq"] in about)
        and not (wanted.others and each["deviceId"] == DEVICE)
    ]


async def expected_states(log: Log, wanted: Wanted) -> dict[str, Json]:
    return {
        guid: state
        for guid, state in (await states_on(log)).items()
        if wanted.form in (None, state["form"]) and wanted.entity in (None, guid)
    }


@settings(max_examples=60, deadline=None)
@given(data=st.data(), events=histories(max_size=16), wanted=wanted_by_device, limit=st.integers(1, 8))
async def test_pages_hold_each_event_once_in_order_and_all_states(
    shared_log: Log, data: st.DataObject, events: list[Event], wanted: Wanted, limit: int
) -> None:
    await shared_log.empty()
    await push_each(shared_log, data.draw(batches(events)), Random(limit))
    reader = Reader(shared_log, wanted)
    with steps_of(window=data.draw(st.integers(1, 6))):
        await reader.pages(limit)
    assert reader.events == await expected_events(shared_log, wanted)
    assert reader.entities == await expected_states(shared_log, wanted)
    assert reader.cursor == f"one.{len(events)}"


@settings(max_examples=40, deadline=None)
@given(data=st.data(), events=histories(max_size=16), wanted=wanted_by_device, limit=st.none() | st.integers(1, 5))
async def test_stream_that_breaks_off_anywhere_goes_on_from_its_last_cursor(
    shared_log: Log, data: st.DataObject, events: list[Event], wanted: Wanted, limit: int | None
) -> None:
    await shared_log.empty()
    await push_each(shared_log, data.draw(batches(events)), Random(len(events)))
    reader = Reader(shared_log, wanted)
    more: bool | None = None
    with steps_of(window=data.draw(st.integers(1, 6)), step_bytes=data.draw(st.sampled_from((1, 200, 1 << 21)))):
        while more is not False:
            more = None
            breaks_after = data.draw(st.none() | st.integers(3, 9))
            async with aclosing(reader.stream(limit)) as lines:
                number = 0
                async for line in lines:
                    more = reader.take(line)
                    number += 1
                    if number == breaks_after and reader.cursor is not None:
                        break
    once = {each["seq"]: each for each in reader.events}
    assert list(once.values()) == await expected_events(shared_log, wanted)
    assert reader.entities == await expected_states(shared_log, wanted)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), events=histories(max_size=16), seed=st.integers(0, 99))
async def test_device_at_the_end_holds_the_state_of_that_moment_whatever_was_pushed_between_its_pages(
    shared_log: Log, data: st.DataObject, events: list[Event], seed: int
) -> None:
    await shared_log.empty()
    random = Random(seed)
    reader = Reader(shared_log)
    left = data.draw(batches(events))
    while left:
        if random.random() < 0.4:
            await shared_log.push(left.pop(0), OTHERS)
        elif not await reader.page(random.randint(1, 4)):
            assert reader.entities == await states_on(shared_log)
    await reader.pages(2)
    assert reader.entities == await states_on(shared_log)
    assert reader.events == await expected_as_pulled(shared_log, reader.events)


async def expected_as_pulled(log: Log, pulled: Sequence[Json]) -> list[Json]:
    """The log's events, with outcomes as they were when they were pulled: later events may change these."""
    then = [(each["outcome"], each["reason"]) for each in pulled]
    return [
        {**each, "outcome": outcome, "reason": reason}
        for each, (outcome, reason) in zip(await events_on(log), then, strict=True)
    ]


async def test_reader_beside_writers_ends_with_every_event_once_and_the_servers_state(log: Log) -> None:
    events = workload(Random(5), 300)
    pushes = [events[at : at + 3] for at in range(0, len(events), 3)]
    readers = [Reader(log) for _ in range(2)]
    writing = asyncio.create_task(log.push_at_once(pushes, writers=3))
    while not writing.done():
        for limit, reader in enumerate(readers, 3):
            await reader.page(limit)
    await writing
    with steps_of(step=7):
        await readers[0].pages(50)
        async for line in readers[1].stream():
            readers[1].take(line)
    states = await states_on(log)
    for reader in readers:
        assert [each["seq"] for each in reader.events] == list(range(1, len(events) + 1))
        assert reader.entities == states


async def test_stream_ends_at_the_head_it_began_with_and_says_that_there_is_more(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}) for number in range(5)])
    reader = Reader(log)
    with steps_of(step=2):
        more = None
        async for line in reader.stream():
            more = reader.take(line)
            if len(reader.events) == 3 and "event" in line:
                await log.push([event("update-individual", "person-0", {"n": 7}, at=1)])
    assert (reader.cursor, more) == ("one.5", True)
    assert "person-0" in reader.entities
    await reader.pages(10)
    assert reader.entities == await states_on(log)


async def new_epoch(log: Log) -> None:
    async with log.inside() as db:
        await begin_epoch(db)


async def test_stream_breaks_off_when_a_new_epoch_begins(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}) for number in range(5)])
    reader = Reader(log)

    async def read() -> None:
        async for line in reader.stream():
            reader.take(line)
            if "cursor" in line:
                await new_epoch(log)

    with steps_of(step=2), pytest.raises(Problem) as raised:
        await read()
    assert raised.value.code == "sync.epoch-changed"
    assert len(reader.events) == 2


HEAVY = "a" * 100_000
"""Data that the database packs to a hundredth."""


@pytest.mark.parametrize("text", [HEAVY, "".join(chr(Random(1).randrange(0x4E00, 0x9FFF)) for _ in range(1)) * 9000])
async def test_page_is_bounded_in_bytes_and_holds_one_event_at_least(log: Log, text: str) -> None:
    size = len(orjson.dumps(text))
    await log.push([event("create-individual", f"person-{number}", {"text": text}) for number in range(9)])
    reader = Reader(log, Wanted(ACCOUNT, DEVICE, entities=False))
    with steps_of(page_bytes=3 * size + 1000):
        assert await reader.page(1000)
        assert 1 <= len(reader.events) <= 3
        await reader.pages(1000)
    with steps_of(page_bytes=10):
        one = Reader(log)
        assert await one.page(1000)
        assert len(one.events) == len(one.entities) == 1
    assert [each["seq"] for each in reader.events] == list(range(1, 10))


@settings(max_examples=25, deadline=None)
@given(data=st.data(), events=histories(min_size=3, max_size=12), wanted=wanted_by_device, most=st.integers(1, 400))
async def test_pages_cut_by_their_weight_hold_each_event_once_too(
    shared_log: Log, data: st.DataObject, events: list[Event], wanted: Wanted, most: int
) -> None:
    await shared_log.empty()
    await push_each(shared_log, data.draw(batches(events)), Random(most))
    reader = Reader(shared_log, wanted)
    with steps_of(page_bytes=most):
        await reader.pages(1000)
    assert reader.events == await expected_events(shared_log, wanted)
    assert reader.entities == await expected_states(shared_log, wanted)


async def test_data_comes_to_the_letter_and_every_text_is_escaped(log: Log) -> None:
    data: dict[str, Any] = {"b": 1.0, "a": [1e300, {"z": None}], "\u2028": '"\\\n\u0001é😀'}
    odd = 'a "guid"\\ with\ttabs\n'
    await log.push([event("create-individual", odd, data, guid=f"{odd}1")], Source(odd, odd, AT))
    async with log.inside() as db:
        part = await pull.read_part(db, Reader(log).wanted, pull.page_span(Reader(log).wanted, None, 0, 10), AT)
    assert orjson.dumps(data) in part.events[0]
    found = orjson.loads(part.events[0])
    assert (found["guid"], found["entityGuid"], found["account"], found["deviceId"]) == (f"{odd}1", odd, odd, odd)
    assert orjson.loads(part.entities[0])["guid"] == odd


async def test_device_is_noted_at_the_end_of_the_log_and_now_and_then(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}) for number in range(5)])
    reader = Reader(log)

    async def noted() -> list[tuple[Any, ...]]:
        rows = await log.fetch("SELECT id, served_seq, last_pull FROM devices WHERE id = $1", DEVICE)
        return [tuple(row) for row in rows]

    with steps_of(step=2):
        _ = [line async for line in reader.stream()]
    assert await noted() == [(DEVICE, 5, AT)]
    async with log.inside() as db:
        part = await pull.read_part(db, reader.wanted, pull.page_span(reader.wanted, None, 0, 3), AT)
        assert (part.served, part.is_stale) == (5, False)
        later = await pull.read_part(
            db, reader.wanted, pull.page_span(reader.wanted, None, 0, 3), AT + 2 * pull.NOTED_AGAIN
        )
        assert later.is_stale


async def test_device_that_asks_in_vain_is_seen_too(log: Log) -> None:
    await log.push([event("create-individual", "ann", {"n": 1})])
    reader = Reader(log)
    span = pull.page_span(reader.wanted, None, 0, 10)
    await reader.puller.note_served(1)
    later = replace(reader.puller, at=AT + 2 * pull.NOTED_AGAIN)
    assert await later.unchanged(span, '"one.0"') is None
    row = "SELECT served_seq, last_pull FROM devices WHERE id = $1"
    assert tuple((await log.fetch(row, DEVICE))[0]) == (1, AT)
    assert await later.unchanged(span, 'W/"one.1"') == Head("one", 1)
    assert tuple((await log.fetch(row, DEVICE))[0]) == (1, later.at)


async def test_pull_does_not_wait_for_a_push_of_the_same_device(log: Log) -> None:
    await log.push([event("create-individual", "ann", {"n": 1})])
    reader = Reader(log)
    await reader.puller.note_served(0)
    async with log.inside() as db:
        await db.execute("SELECT FROM devices WHERE id = $1 FOR UPDATE", DEVICE)
        async with asyncio.timeout(5):
            await reader.puller.note_served(1)
    assert await log.fetchval("SELECT served_seq FROM devices WHERE id = $1", DEVICE) == 0


async def test_filter_by_entity_tells_nothing_of_how_far_the_device_has_come(log: Log) -> None:
    await log.push([event("create-individual", "ann", {"n": 1})])
    reader = Reader(log, Wanted(ACCOUNT, DEVICE, entity="ann"))
    _ = [line async for line in reader.stream()]
    assert await log.fetchval("SELECT last_pull FROM devices WHERE id = $1", DEVICE) == AT
    assert await log.fetchval("SELECT served_seq FROM devices WHERE id = $1", DEVICE) is None
