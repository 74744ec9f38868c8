from datetime import timedelta
from typing import Any

import pytest

from server.kit.strict_json import dump_json
from server.sync.old_clients.feed import pull
from server.sync.old_clients.marks import CARRIERS, GROUP_CARRIER, new_mark
from server.sync.old_clients.receive import receive
from server.sync.receiving import Fate
from tests.server.sync.conftest import KEY, SOURCE, Log

TOLERANCE = timedelta(minutes=5)


def raw(guid: str, **changes: Any) -> dict[str, Any]:
    return {
        "guid": guid,
        "entityGuid": "ann",
        "type": "create-individual",
        "data": {"name": "Ann"},
        "timestamp": "2026-01-31T08:00:00.000Z",
        "userId": "7",
        "syncLevel": 0,
        **changes,
    }


async def fates_of(log: Log, *raws: Any) -> list[Fate]:
    async with log.inside() as db:
        return (await receive(db, raws, SOURCE, TOLERANCE)).fates


async def statuses(log: Log, *raws: Any) -> list[tuple[str, str]]:
    return [(fate.status, fate.code) for fate in await fates_of(log, *raws)]


async def test_fate_of_each_event_is_told_in_order(log: Log) -> None:
    assert await statuses(
        log,
        raw("one"),
        {"guid": "two"},
        raw("three", type="add-member", entityGuid="camp", data={"members": [{"guid": "ann"}]}),
        raw("four", type="remove-member", data={"memberId": "ben"}),
        raw("one"),
    ) == [
        ("accepted", ""),
        ("quarantined", "event.invalid"),
        ("waiting", "event.entity-unknown"),
        ("without-effect", "event.not-a-member"),
        ("known", ""),
    ]
    assert await statuses(log, raw("one")) == [("known", "")]


async def test_what_is_refused_is_kept_in_its_own_words_once(log: Log) -> None:
    bad = raw("bad", data={"members": "none"}, type="create-group")
    await fates_of(log, bad, raw("good"), 7)
    (fate, *_) = await fates_of(log, bad)
    assert (fate.guid, fate.path) == ("bad", "data.members")
    rows = await log.fetch("SELECT guid, raw FROM quarantine ORDER BY id")
    assert [tuple(row) for row in rows] == [("bad", dump_json(bad).decode()), ("", "7")]


async def test_other_content_under_a_known_guid_is_put_aside(log: Log) -> None:
    await fates_of(log, raw("one"))
    other = raw("one", data={"name": "Somebody else"})
    assert await statuses(log, other, raw("two"), raw("two", data={"name": "Else"})) == [
        ("quarantined", "event.guid-reused"),
        ("accepted", ""),
        ("quarantined", "event.guid-reused"),
    ]
    assert await log.fetchval("SELECT count(*) FROM quarantine") == 2


async def test_what_the_server_served_comes_back_as_known_and_is_not_stored(log: Log) -> None:
    async with log.inside() as db:
        await db.execute("INSERT INTO settings (name, value) VALUES ('custom-event-types', '[\"immunised\"]')")
    await fates_of(log, raw("one"), raw("jab", type="immunised", data={"vaccine": "BCG"}))
    async with log.inside() as db:
        events = (await pull(db, "", SOURCE)).events
    assert {each["type"] for each in events} >= {"create-group", "immunised"}
    assert {fate.status for fate in await fates_of(log, *events)} == {"known"}
    assert await log.fetchval("SELECT count(*) FROM events") == 2
    assert await log.fetchval("SELECT count(*) FROM quarantine") == 0


async def test_carriers_of_another_log_are_not_ours_unless_they_say_so(log: Log) -> None:
    strangers = new_mark(b"another log's key")
    assert await statuses(log, raw(strangers)) == [("accepted", "")]
    assert await statuses(log, raw(new_mark(KEY)), raw("x", entityGuid=GROUP_CARRIER)) == [("known", "")] * 2


async def test_what_the_library_itself_makes_changes_nothing_but_sends_the_group_again(log: Log) -> None:
    group = {"name": "Camp", "members": [{"guid": "ann", "name": "Ann"}]}
    await fates_of(log, raw("one", entityGuid="camp", type="create-group", data=group))
    before = (await log.entities())["camp"]
    made = {"name": "Old name", "memberIds": [], "version": 3}
    assert await statuses(log, raw("two", entityGuid="camp", type="update-group", data=made, userId="system")) == [
        ("without-effect", "event.nothing-changed")
    ]
    after = (await log.entities())["camp"]
    assert (after.data, after.member_ids, after.version) == (before.data, before.member_ids, before.version)
    assert after.fed_seq == 2


async def test_clock_ahead_counts_as_arrival(log: Log) -> None:
    ahead = raw("ahead", timestamp="2027-01-01T00:00:00.000Z")
    await fates_of(log, ahead)
    late = SOURCE.at + timedelta(hours=1)
    later = raw("later", type="update-individual", data={"name": "Anna"}, timestamp=late.isoformat())
    async with log.inside() as db:
        await receive(db, [later], type(SOURCE)(SOURCE.account, SOURCE.device_id, late), TOLERANCE)
    assert (await log.entities())["ann"].name == "Anna"


@pytest.mark.parametrize("raws", [[], [None], [raw("one")]])
async def test_every_push_is_noted_with_its_device(log: Log, raws: list[Any]) -> None:
    await fates_of(log, *raws)
    (row,) = await log.fetch("SELECT id, account, last_push, served_seq FROM devices")
    assert tuple(row) == (SOURCE.device_id, SOURCE.account, SOURCE.at, None)


@pytest.mark.parametrize("carrier", sorted(CARRIERS))
async def test_event_that_speaks_of_a_carrier_without_being_one_is_put_aside(log: Log, carrier: str) -> None:
    """Let in, it would make every phone fail at the page on which the carrier came."""
    inner = {"guid": "tent", "type": "group", "members": [{"guid": carrier}]}
    pair = {"entityGuid": "ann", "duplicateGuid": carrier}
    assert (
        await statuses(
            log,
            raw("one", type="add-member", data={"members": [{"guid": carrier, "type": "group", "name": "-"}]}),
            raw("two", type="create-group", data={"members": [inner]}),
            raw("three", type="resolve-duplicate", data={"duplicates": [pair]}),
            raw("four", type="remove-member", data={"memberId": carrier}),
        )
        == [("quarantined", "event.reserved-guid")] * 4
    )
    assert await log.entities() == {}
