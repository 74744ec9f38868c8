"""Pages, one after the other, from a real log: nothing is lost on the way, and every phone ends at the log's state."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.kit.strict_json import dump_json
from server.sync.epoch import begin_epoch
from server.sync.event import Event
from server.sync.old_clients import feed
from server.sync.old_clients.axis import logical_time, position_of
from server.sync.old_clients.feed import Served, pull
from server.sync.queries import list_feed
from tests.server.sync.conftest import BASE, SOURCE, Log
from tests.server.sync.old_clients.phones import Phone, assert_shows
from tests.server.sync.strategies import batches, event, histories


@pytest.fixture(scope="module", autouse=True)
def _small_pages() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "PAGE", 3)
        yield


async def served(log: Log, since: str = "") -> Served:
    async with log.inside() as db:
        return await pull(db, since, SOURCE)


async def pages(log: Log, since: str = "") -> AsyncIterator[Served]:
    """The pages a phone is given from there to the end."""
    cursor: str | None = since
    while cursor is not None:
        page = await served(log, cursor)
        yield page
        cursor = page.next_cursor


async def bring(log: Log, phone: Phone, since: str = "") -> str:
    """Lets the phone pull to the end; answers the position it remembers."""
    async for page in pages(log, since):
        phone.apply(page.events)
        since = remembered(page, since)
    return since


def remembered(page: Served, since: str) -> str:
    """What a phone asks with next time: the greatest timestamp it was given."""
    return max((each["timestamp"] for each in page.events), default=since)


def created(guid: str, *, at: int = 0, **data: Any) -> Event:
    return event("create-individual", guid, data or {"name": guid}, at=at)


# For all histories


@settings(max_examples=60, deadline=None)
@given(st.data(), histories(max_size=18), st.integers(1, 5), st.integers(1, 2000))
async def test_feed_gives_every_entity_once_and_cuts_no_number(
    shared_log: Log, data: st.DataObject, events: list[Event], limit: int, most_bytes: int
) -> None:
    await shared_log.empty()
    for batch in data.draw(batches(events)):
        await shared_log.push(batch)
    fed: list[tuple[int, str]] = []
    async with shared_log.inside() as db:
        while rows := await list_feed(db, fed[-1][0] if fed else 0, limit, most_bytes):
            fed += [(row["fed_seq"], row["guid"]) for row in rows]
    assert fed == sorted((each.fed_seq, each.guid) for each in (await shared_log.entities()).values())


@settings(max_examples=100, deadline=None)
@given(st.data(), histories(max_size=18))
async def test_fresh_phone_ends_at_the_servers_state_and_free_to_sync(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    for batch in data.draw(batches(events)):
        await shared_log.push(batch)
    phone = Phone()
    since = await bring(shared_log, phone)
    entities = await shared_log.entities()
    assert_shows(phone, entities, entities)
    assert phone.entities.open_pairs == []
    assert (await served(shared_log, since)) == Served([], None)


@settings(max_examples=100, deadline=None)
@given(st.data(), histories(max_size=18))
async def test_phone_that_pulls_between_pushes_ends_at_the_servers_state(
    shared_log: Log, data: st.DataObject, events: list[Event]
) -> None:
    await shared_log.empty()
    events = [each for each in events if "externalId" not in dump_json(each.data).decode()]
    phone, since = Phone(), ""
    for batch in data.draw(batches(events)):
        await shared_log.push(batch)
        if data.draw(st.booleans()):
            page = await served(shared_log, since)
            phone.apply(page.events)
            since = (data.draw(st.booleans()) and page.next_cursor) or remembered(page, since)
    await bring(shared_log, phone, since)
    entities = await shared_log.entities()
    assert_shows(phone, entities, entities)


# Positions


async def test_late_event_is_fed_to_a_phone_that_has_pulled_past_its_time(log: Log) -> None:
    await log.push([created("ann", name="Ann"), event("update-individual", "ann", {"name": "Anna"}, at=9)])
    phone = Phone()
    since = await bring(log, phone)
    await log.push([event("update-individual", "ann", {"village": 3}, at=5), created("ben", at=1)])
    await bring(log, phone, since)
    held = phone.pair("ann")
    assert held is not None
    assert held.modified["data"] == {"name": "Anna", "village": 3}
    assert phone.pair("ben") is not None


async def test_many_events_with_one_timestamp_all_arrive(log: Log) -> None:
    guids = [f"person-{number}" for number in range(25)]
    for start in range(0, 25, 10):
        await log.push([created(guid) for guid in guids[start : start + 10]])
    phone = Phone()
    await bring(log, phone)
    assert phone.everything().keys() == set(guids)


async def test_what_one_event_changed_comes_on_one_page(log: Log) -> None:
    members = [{"guid": f"person-{number}", "name": "P"} for number in range(20)]
    await log.push([created("ann"), event("create-group", "camp", {"name": "Camp", "members": members})])
    page = await served(log)
    phone = Phone()
    phone.apply(page.events)
    assert len(phone.everything()) == 22
    assert page.next_cursor is None


async def test_empty_log_gives_an_empty_page(log: Log) -> None:
    assert await served(log) == Served([], None)


@pytest.mark.parametrize(
    "since",
    [
        "2026-01-31T08:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        logical_time(BASE - 1, 0),
        logical_time(BASE + 3, 0),
        logical_time(0, 0),
        logical_time(BASE + 10**9, 0),
    ],
)
async def test_position_that_is_not_of_this_log_is_answered_from_the_start(log: Log, since: str) -> None:
    await log.push([created("ann"), created("ben")])
    assert told_guids(await served(log, since)) == {"ann", "ben"}


async def test_positions_of_an_epoch_before_are_answered_from_the_start(log: Log) -> None:
    await log.push([created("ann"), created("ben")])
    phone = Phone()
    since = await bring(log, phone)
    async with log.inside() as db:
        await begin_epoch(db)
    page = await served(log, since)
    assert told_guids(page) == {"ann", "ben"}
    assert (await served(log, remembered(page, since))) == Served([], None)
    assert remembered(page, since) > since


async def test_garbage_as_position_is_a_value_error(log: Log) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await served(log, "garbage")


async def test_cursor_and_remembered_timestamp_lead_to_the_same_page(log: Log) -> None:
    for number in range(7):
        await log.push([created(f"person-{number}")])
    first = await served(log)
    assert first.next_cursor is not None
    after_cursor, after_timestamp = await served(log, first.next_cursor), await served(log, remembered(first, ""))
    assert told_guids(after_cursor) == told_guids(after_timestamp)
    assert position_of(first.next_cursor) == BASE + 3


async def test_what_a_device_was_served_is_noted(log: Log) -> None:
    await log.push([created("ann"), created("ben")])
    await served(log)
    (row,) = await log.fetch("SELECT id, account, served_seq, last_pull FROM devices")
    assert tuple(row) == (SOURCE.device_id, SOURCE.account, 2, SOURCE.at)


# Duplicates and custom types


async def test_settled_pair_reaches_phones_whichever_way_round_they_recorded_it(log: Log) -> None:
    await log.push([created("ann", name="Ann"), created("annabel", name="Annabel")])
    pair = {"entityGuid": "annabel", "duplicateGuid": "ann"}
    await log.push([event("resolve-duplicate", "annabel", {"duplicates": [pair], "shouldDelete": False}, at=1)])
    phone = Phone()
    phone.entities.flag("ann", "annabel")
    phone.entities.flag("annabel", "ann")
    await bring(log, phone)
    assert phone.entities.open_pairs == []


@pytest.mark.parametrize("name", ["Camp", "C", "ca", "É", "éc", "中", "中村", "", None, 7])
async def test_groups_whose_name_is_in_others_leave_no_open_pair(log: Log, name: Any) -> None:
    names = ["Camp0", "CAMPING", "École", "éCole", "中村健太", "Rue de l'École", "", "7", 7, "Unnamed Group"]
    await log.push([created(f"person-{number}", name=each) for number, each in enumerate(names)])
    await log.push([event("create-group", f"group-{number}", {"name": each}) for number, each in enumerate(names)])
    await log.push([event("create-group", "camp", {"name": name})])
    phone = Phone()
    await bring(log, phone)
    assert phone.entities.open_pairs == []
    assert len(phone.everything()) == 21


@pytest.mark.parametrize("name", ["Ana", "A"])
async def test_group_whose_name_is_in_thousands_of_others_is_never_flagged(log: Log, name: str) -> None:
    await log.push([created(f"person-{number}", name=f"Ana {number}", village=1) for number in range(1_000)])
    members = [{"guid": "person-7", "name": "Ana 7"}, {"guid": "tent", "type": "group", "name": "A"}]
    await log.push([event("create-group", "camp", {"name": name, "village": 1, "members": members})])
    phone = Phone()
    await bring(log, phone)
    assert phone.entities.ever_flagged == set()
    assert len(phone.everything()) == 1_002
    camp = phone.everything()["camp"].modified
    assert (camp["name"], camp["data"]["village"], sorted(camp["memberIds"])) == (name, 1, ["person-7", "tent"])


async def test_record_that_is_no_members_entry_leaves_no_open_pair_inside_a_group(log: Log) -> None:
    await log.push([created("odd", name="Ann", type="group")])
    await log.push([event("create-group", "camp", {"name": "Annexe", "members": [{"guid": "odd"}]}, at=1)])
    phone = Phone()
    await bring(log, phone)
    entities = await log.entities()
    assert_shows(phone, entities, entities)
    assert phone.entities.ever_flagged == {("odd", "camp")}
    assert phone.entities.open_pairs == []


async def test_two_that_claim_one_external_id_come_together_whenever_one_is_fed(log: Log) -> None:
    await log.push([created("ben", name="Ben", externalId="x")])
    phone = Phone()
    since = await bring(log, phone)
    await log.push([created("ann", name="Ann", externalId="x")])
    since = await bring(log, phone, since)
    await log.push([event("update-individual", "ben", {"village": 1}, at=1)])
    await bring(log, phone, since)
    entities = await log.entities()
    assert_shows(phone, entities, entities)
    assert [guid for guid, pair in phone.everything().items() if "externalId" in pair.modified] == ["ann"]


async def test_events_of_custom_types_follow_on_the_page_of_their_number(log: Log) -> None:
    await set_custom_types(log, ["immunised"])
    await log.push([created("ann"), event("immunised", "ann", {"vaccine": "BCG"}, at=1, guid="jab")])
    (page,) = [page async for page in pages(log) if page.events]
    assert (page.events[-1]["guid"], page.events[-1]["data"]) == ("jab", {"vaccine": "BCG"})
    await log.push([created("ben")])
    later = await served(log, remembered(page, ""))
    assert "jab" not in {each["guid"] for each in later.events}


async def test_events_of_unknown_types_are_not_fed_because_phones_stop_at_them(log: Log) -> None:
    await log.push([created("ann"), event("immunised", "ann", {"vaccine": "BCG"}, at=1)])
    assert "immunised" not in {each["type"] for each in (await served(log)).events}


async def set_custom_types(log: Log, types: list[str]) -> None:
    async with log.inside() as db:
        value = dump_json(types).decode()
        await db.execute("INSERT INTO settings (name, value) VALUES ('custom-event-types', $1)", value)


def told_guids(page: Served) -> set[str]:
    """The people a page tells of."""
    return {
        entry["guid"]
        for each in page.events
        for entry in each["data"].get("members", ())
        if entry.get("type") != "group"
    }
