"""Whatever is pushed in whatever order and batches by whomever at once: the rows are what the fold says of it all."""

import asyncio
import tracemalloc
from collections import Counter
from hashlib import sha256
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.sync.event import Event
from server.sync.fold import Entity, Folded, fold
from server.sync.push import Source, push
from server.sync.queries import get_head, list_all_entities, lock_entities
from server.sync.rebuilding import rebuild
from server.sync.records import digest_of, form_of
from tests.server.sync.conftest import AT, SOURCE, Log
from tests.server.sync.strategies import batches, event, histories, state_of, workload


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


@settings(max_examples=100, deadline=None)
@given(data=st.data(), events=histories(max_size=18))
async def test_any_order_and_batching_by_several_at_once_gives_the_fold_of_all(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    await shared_log.push_at_once(data.draw(batches(events)))
    await assert_holds(shared_log, events)
    await assert_rebuilt_the_same(shared_log, events)


@settings(max_examples=100, deadline=None)
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


@pytest.mark.parametrize("seed", range(3))
async def test_weeks_of_work_pushed_by_many_at_once_give_the_fold_of_all(log: Log, seed: int) -> None:
    random = Random(seed)
    events = workload(random, 300)
    arriving = list(events)
    random.shuffle(arriving)
    pushes = []
    while arriving:
        size = random.choice((1, 2, 10, 25))
        pushes.append(arriving[:size])
        arriving = arriving[size:]
    await log.push_at_once(pushes, writers=5)
    await assert_holds(log, events)
    await assert_rebuilt_the_same(log, events)


# Where one batch's events meet each other and what stands below


def person(guid: str, **data: object) -> dict[str, object]:
    return {"guid": guid, **data}


def listing(guid: str, *members: dict[str, object]) -> dict[str, object]:
    return {"guid": guid, "type": "group", "members": list(members)}


def creating(guid: str, *members: dict[str, object], at: int = 0) -> Event:
    return event("create-group", guid, {"name": guid, "members": list(members)}, at=at)


def adding(guid: str, member: dict[str, object], *, at: int) -> Event:
    return event("add-member", guid, {"members": [member]}, at=at)


def deleting(guid: str, *, at: int) -> Event:
    return event("delete-entity", guid, {"guid": guid}, at=at)


def changing(guid: str, *, at: int, **data: object) -> Event:
    return event("update-individual", guid, data, at=at)


MEETINGS = {
    "a group joins below by a nested listing and is deleted from above": [
        [creating("east", person("ann"))],
        [creating("camp", listing("dorm", {"guid": "east", "type": "group"}), at=1), deleting("dorm", at=2)],
    ],
    "a group joins below one that is below already and is deleted from above": [
        [creating("camp", listing("dorm")), creating("east", person("ann"))],
        [adding("dorm", {"guid": "east", "type": "group"}, at=1), deleting("camp", at=2)],
    ],
    "a late edit comes beside a later listing further down": [
        [event("create-individual", "ann", {"name": "Ann"}), changing("ann", at=9, x=9)],
        [changing("ann", at=3, v=3), creating("camp", listing("dorm", person("ann", v=10)), at=10)],
    ],
    "a late edit comes beside an addition that waits": [
        [event("create-individual", "ann", {"name": "Ann"}), changing("ann", at=9, x=9)],
        [changing("ann", at=3, v=3), adding("camp", person("ann", v=7), at=10), changing("ann", at=11, v=11)],
        [creating("camp", at=12)],
    ],
    "a late edit comes beside an addition that its group released": [
        [event("create-individual", "ann", {"name": "Ann"}), changing("ann", at=9, x=9)],
        [
            changing("ann", at=3, v=3),
            adding("camp", person("ann", v=7), at=10),
            changing("ann", at=11, v=11),
            creating("camp", at=12),
        ],
    ],
    "a late update lists its own group in its member": [
        [creating("camp"), event("update-group", "camp", {"x": 9}, at=9)],
        [event("update-group", "camp", {"members": [listing("dorm", person("camp", v=2))]}, at=3)],
    ],
    "an edit falls between an addition that waited and the creation that released it": [
        [event("create-individual", "ann", {"name": "Ann"})],
        [adding("camp", person("ann", v=1), at=1)],
        [creating("camp", at=5)],
        [changing("ann", at=3, v=2)],
    ],
    "a member is changed after an update that waits for a group that never comes": [
        [event("create-individual", "ann", {"name": "Ann"}), adding("nowhere", listing("camp"), at=1)],
        [event("update-group", "camp", {"members": [person("ann", v=1)]}, at=2)],
        [changing("ann", at=7, v=7)],
    ],
    "a custom event and a settled pair come late": [
        [event("create-individual", "ann", {"name": "Ann"}), changing("ann", at=9, x=9)],
        [event("immunised", "ann", {"vaccine": "BCG"}, at=3)],
        [event("resolve-duplicate", "ann", {"duplicates": [{"entityGuid": "ann", "duplicateGuid": "ben"}]}, at=4)],
        [event("create-individual", "ben", {"name": "Ben"}, at=5)],
    ],
}


@pytest.mark.parametrize("name", MEETINGS)
async def test_meeting_events_give_the_fold_of_all(log: Log, name: str) -> None:
    pushes = MEETINGS[name]
    for order in permutations(pushes):
        await log.empty()
        for batch in order:
            await log.push(batch)
        await assert_holds(log, [each for batch in pushes for each in batch])


# What is known


async def test_event_counts_once_however_often_it_comes(log: Log) -> None:
    first, again = event("create-individual", "ann", {"name": "Ann"}), changing("ann", at=1, v=1)
    assert (await log.push([first, first])).outcomes.keys() == {first.guid}
    pushed = await log.push([first, again, first])
    assert [each.guid for each in pushed.events] == [again.guid]
    assert (await log.push([again, first])).events == []
    await assert_holds(log, [first, again])


async def test_first_of_two_events_with_one_guid_stands(log: Log) -> None:
    first = event("create-individual", "ann", {"name": "Ann"}, guid="one")
    other = event("create-individual", "ben", {"name": "Ben"}, guid="one")
    await log.push([first, other])
    await log.push([other])
    await log.push([other, event("create-individual", "cleo", {"name": "Cleo"}, guid="two")])
    assert (await log.entities()).keys() == {"ann", "cleo"}


async def test_same_events_pushed_by_many_at_once_count_once(log: Log) -> None:
    events = workload(Random(7), 40)
    await log.push_at_once([events[start : start + 20] for start in (0, 5, 10, 15, 20)] * 3, writers=5)
    await assert_holds(log, events)


async def test_pushing_nothing_leaves_no_trace(log: Log) -> None:
    assert (await log.push([])).events == []
    assert await log.fetchval("SELECT count(*) FROM pushes") == 0


async def test_push_that_rolls_back_leaves_no_gap(log: Log) -> None:
    async with log.inside() as db:
        await db.execute("SAVEPOINT before_push")
        await push(db, [event("create-individual", "ann", {"name": "Ann"})], SOURCE)
        await db.execute("ROLLBACK TO SAVEPOINT before_push")
    events = [event("create-individual", "ben", {"name": "Ben"})]
    await log.push(events)
    await assert_holds(log, events)


async def test_account_device_and_arrival_are_recorded(log: Log) -> None:
    await log.push([event("create-individual", "ann", {"name": "Ann"})], Source("7", "phone 7", AT))
    for table in ("events", "pushes"):
        (row,) = await log.fetch(f"SELECT account, device_id, received_at FROM {table}")
        assert (row["account"], row["device_id"], row["received_at"]) == ("7", "phone 7", AT)


# Who waits for whom


async def test_two_pushes_on_one_new_entity_see_each_other(log: Log) -> None:
    events = [adding("camp", person("ann", v=1), at=1), creating("camp")]
    async with log.inside() as db:
        await push(db, events[:1], SOURCE)
        other = asyncio.create_task(log.push(events[1:]))
        await waiting_for_a_lock(log)
    await other
    await assert_holds(log, events)


async def test_guid_that_another_push_is_just_using_counts_once_and_the_first_stands(log: Log) -> None:
    first = event("create-individual", "ann", {"name": "Ann"}, guid="one")
    async with log.inside() as db:
        await push(db, [first], SOURCE)
        second = event("create-individual", "ben", {"name": "Ben"}, guid="one")
        other = asyncio.create_task(log.push([second, event("create-individual", "cy", {"name": "Cy"}, guid="two")]))
        await waiting_for_a_lock(log)
    pushed = await other
    assert [each.guid for each in pushed.events] == ["two"]
    await assert_holds(log, [first, event("create-individual", "cy", {"name": "Cy"}, guid="two")])


async def test_rebuilding_waits_for_pushes_and_they_for_it(log: Log) -> None:
    events = [event("create-individual", "ann", {"name": "Ann"}), changing("ann", at=1, v=1)]
    await log.push(events[:1])
    async with log.inside() as db:
        await lock_entities(db, ["ann"])
        rebuilding = asyncio.create_task(rebuilt(log))
        await waiting_for_a_lock(log)
        await push(db, events[1:], SOURCE)
    await rebuilding
    await assert_holds(log, events)


async def test_rebuilding_while_many_push_changes_nothing(log: Log) -> None:
    events = workload(Random(11), 120)
    pushes = [events[start : start + 10] for start in range(0, 120, 10)]
    async with asyncio.TaskGroup() as group:
        group.create_task(log.push_at_once(pushes, writers=3))
        for _ in range(4):
            group.create_task(rebuilt(log))
    await assert_holds(log, events)


async def rebuilt(log: Log) -> None:
    async with log.inside() as db:
        assert (await rebuild(db)).differing == []


async def waiting_for_a_lock(log: Log) -> None:
    """Returns when somebody waits for a lock."""
    async with asyncio.timeout(20), log.database.shared() as db:
        while not await db.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            pass


# Much at once


async def test_ten_thousand_events_in_one_push_take_seconds(log: Log) -> None:
    guids = [f"person-{number:05}" for number in range(5_000)]
    events = [creating("camp", *(person(guid, name=guid) for guid in guids))]
    events += [changing(guid, at=2, v=1) for guid in guids[:4_999]]
    events += [event("remove-member", "camp", {"memberId": guid}, at=1, guid=f"without {guid}") for guid in guids]
    async with asyncio.timeout(60):
        await log.push([events[0]])
        await log.push(events[1:5_000])
        await log.push(events[5_000:])
    await assert_holds(log, events)


async def test_text_that_no_index_could_hold_is_taken(log: Log) -> None:
    huge = "😀" * 100_000
    events = [event("create-individual", "ann", {"name": huge, "entityName": huge, "externalId": huge})]
    events.append(event("create-individual", "€" * 256, {"name": huge}, guid="€" * 256))
    await log.push(events)
    await assert_holds(log, events)


# Rebuilding


async def test_rebuilding_puts_right_what_stands_wrong_and_begins_an_epoch_that_feeds_it_again(log: Log) -> None:
    events = workload(Random(3), 60)
    await log.push(events)
    changed, unfed, lost, *_ = sorted(await log.entities())
    async with log.inside() as db:
        await db.execute("UPDATE entities SET name = 'wrong', version = 99 WHERE guid = $1", changed)
        await db.execute("UPDATE entities SET fed_seq = 0, data = '{\"wrong\": 1}' WHERE guid = $1", unfed)
        await db.execute("DELETE FROM entities WHERE guid = $1", lost)
        await db.execute("INSERT INTO entities (guid, state, name) VALUES ('nobody', 'live', 'Nobody')")
        await db.execute("UPDATE entity_counts SET n = 1000")
        await db.execute("UPDATE events SET outcome = 'waiting', reason = 'wrong'")
    async with log.inside() as db:
        before = await get_head(db)
        report = await rebuild(db)
        after = await get_head(db)
        assert (await rebuild(db)).differing == []
        assert (await get_head(db))["epoch"] == after["epoch"]
    assert report.differing == sorted([changed, unfed, lost, "nobody"])
    assert (report.events, report.entities) == (60, len(await log.entities()))
    assert after["epoch"] != before["epoch"]
    assert after["base"] > before["base"] + before["head"]
    assert (await log.entities())["nobody"].state == "missing", "devices that hold it are told that it is gone"
    async with log.inside() as db:
        await db.execute("DELETE FROM entities WHERE guid = 'nobody'")
    await assert_holds(log, events)


async def test_rebuilding_an_empty_log_finds_nothing(log: Log) -> None:
    async with log.inside() as db:
        report = await rebuild(db)
        assert await list_all_entities(db) == []
    assert (report.events, report.entities, report.differing) == (0, 0, [])


async def test_many_removals_of_one_group_share_what_goes_with_them(log: Log) -> None:
    members = [{"guid": f"person-{number}", "name": "Ann"} for number in range(5_000)]
    await log.push([event("create-group", "camp", {"name": "Camp", "members": members})])
    removals = [event("delete-entity", "camp", {"x": 1}, at=1 + number) for number in range(1_000)]
    tracemalloc.start()
    try:
        await log.push(removals)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150_000_000
    assert {each.state for each in (await log.entities()).values()} == {"deleted"}
