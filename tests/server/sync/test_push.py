"""Whatever is pushed in whatever order and batches by whomever at once: the rows are what the fold says of all of it."""

from collections import Counter
from hashlib import sha256
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.sync.event import Event
from server.sync.fold import Entity, Folded, fold
from server.sync.rebuilding import rebuild
from server.sync.records import digest_of, form_of
from tests.server.sync.conftest import Log
from tests.server.sync.strategies import batches, histories, state_of


async def assert_holds(log: Log, events: list[Event]) -> None:
    """The whole log is as the fold of all the events says, and consistent in itself."""
    expected: dict[str, Entity] = {}
    folded = fold(expected, events)
    entities = await log.entities()
    assert state_of(entities) == state_of(expected)
    await assert_counts(log, expected)
    await assert_outcomes(log, folded)
    await assert_numbers(log, events)
    await assert_mentions(log, events, entities)


async def assert_counts(log: Log, entities: dict[str, Entity]) -> None:
    counted = Counter(form for each in entities.values() if (form := form_of(each)) is not None)
    rows = await log.fetch("SELECT form, n FROM entity_counts WHERE n <> 0")
    assert {row["form"]: row["n"] for row in rows} == dict(counted)


async def assert_outcomes(log: Log, folded: Folded) -> None:
    rows = await log.fetch("SELECT guid, outcome, reason FROM events")
    assert {row["guid"]: (row["outcome"], row["reason"]) for row in rows} == {
        guid: (outcome.kind, outcome.reason) for guid, outcome in folded.outcomes.items()
    }


async def assert_numbers(log: Log, events: list[Event]) -> None:
    """Numbers without a gap, and a chain that can be computed again from the digests."""
    rows = await log.fetch("SELECT seq, guid, digest FROM events ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, len(events) + 1))
    assert await log.fetchval("SELECT head FROM sync_head") == len(events)
    by_guid = {event.guid: event for event in events}
    assert all(row["digest"] == digest_of(by_guid[row["guid"]]) for row in rows)
    link, last = b"", 0
    for row in await log.fetch("SELECT first_seq, last_seq, link FROM pushes ORDER BY last_seq"):
        assert row["first_seq"] == last + 1
        last = row["last_seq"]
        digests = b"".join(each["digest"] for each in rows[row["first_seq"] - 1 : last])
        link = sha256(link + row["first_seq"].to_bytes(8, "big") + digests).digest()
        assert row["link"] == link
    assert last == len(events)
    assert await log.fetchval("SELECT link FROM sync_head") == link


async def assert_mentions(log: Log, events: list[Event], entities: dict[str, Entity]) -> None:
    """Every mention is noted, and every entity is fed at or after the last event that mentions it."""
    rows = await log.fetch("SELECT m.entity_guid, e.guid, m.seq FROM mentions m JOIN events e USING (seq)")
    assert sorted((row["entity_guid"], row["guid"]) for row in rows) == sorted(
        (guid, event.guid) for event in events for guid in event.mentions
    )
    assert all(entities[row["entity_guid"]].fed_seq >= row["seq"] for row in rows)


async def assert_rebuilt_the_same(log: Log, events: list[Event]) -> None:
    before = await log.entities()
    async with log.inside() as db:
        report = await rebuild(db)
    assert (report.events, report.entities, report.differing) == (len(events), len(before), [])
    assert await log.entities() == before


@settings(max_examples=int(__import__("os").environ.get("N", "100")), deadline=None)
@given(data=st.data(), events=histories(max_size=18))
async def test_any_order_and_batching_by_several_at_once_gives_the_fold_of_all(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    await shared_log.push_at_once(data.draw(batches(events)))
    await assert_holds(shared_log, events)
    await assert_rebuilt_the_same(shared_log, events)


@settings(max_examples=int(__import__("os").environ.get("N", "100")), deadline=None)
@given(data=st.data(), events=histories(min_size=6, max_size=24))
async def test_events_one_batch_after_the_other_give_the_fold_of_all(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    seen: list[Event] = []
    for batch in data.draw(batches(events)):
        pushed = await shared_log.push(batch)
        seen += batch
        expected: dict[str, Entity] = {}
        folded = fold(expected, seen)
        assert pushed.outcomes == {event.guid: folded.outcomes[event.guid] for event in batch}
        entities = await shared_log.entities()
        assert state_of(entities) == state_of(expected)
        assert pushed.entities == {guid: entities[guid] for guid in pushed.entities}
    await assert_holds(shared_log, events)
