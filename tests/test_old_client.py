"""The simulated field device itself: each quirk that the server's answers depend on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.old_client import (
    CannotApply,
    DeviceClock,
    Entity,
    EntityStore,
    Event,
    InvalidEvent,
    OldClient,
    OpenDuplicates,
    SyncFailed,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
BEFORE, AFTER = "2024-05-01T11:00:00.000Z", "2024-05-01T13:00:00.000Z"


@dataclass
class Wire:
    """Answers the device from scripted pages; push number n fails when `fails(n)`."""

    pages: list[Mapping[str, Any]] = field(default_factory=list)
    fails: Callable[[int], bool] = lambda number: False
    pushes: list[list[Event]] = field(default_factory=list)
    pulls: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/sync/push":
            self.pushes.append(json.loads(request.content)["events"])
            return httpx.Response(503 if self.fails(len(self.pushes)) else 200, json={"status": "success"})
        self.pulls.append(request.url.raw_path.decode())
        page = self.pages.pop(0) if self.pages else {"events": [], "nextCursor": None}
        return httpx.Response(200, json=page)


def device(wire: Wire | None = None) -> OldClient:
    return OldClient("http://croft.test", "north", now=lambda: NOON, transport=httpx.MockTransport(wire or Wire()))


def pulled(kind: str, entity_guid: str, data: Mapping[str, Any], at: str = AFTER, guid: str = "") -> Event:
    guid = guid or f"{kind}-{entity_guid}-{at}-{data}"
    stamp = {"timestamp": at, "userId": "server", "syncLevel": 1}
    return {"guid": guid, "entityGuid": entity_guid, "type": kind, "data": dict(data), **stamp}


def data_of(client: OldClient, guid: str) -> dict[str, Any]:
    return dict(client.entities()[guid]["data"])


def members_of(client: OldClient, guid: str) -> list[str]:
    return list(client.entities()[guid]["memberIds"])


def copies(client: OldClient, guid: str) -> tuple[Entity, Entity]:
    pair = client.pair(guid)
    assert pair
    return pair.initial, pair.modified


# The clock


@given(readings=st.lists(st.integers(-5_000, 5_000), min_size=2), skews=st.lists(st.integers(-600, 600), min_size=1))
def test_a_clock_that_is_not_touched_never_tells_the_same_millisecond_twice(
    readings: list[int], skews: list[int]
) -> None:
    source = iter([NOON + timedelta(milliseconds=reading) for reading in readings])
    clock = DeviceClock(timedelta(seconds=skews[0]), lambda: next(source))
    told = [clock.now() for _ in readings]
    assert told == sorted(set(told))


def test_a_frozen_clock_stands_still_and_goes_on_afterwards() -> None:
    clock = DeviceClock(source=lambda: NOON)
    with clock.frozen():
        assert clock.now() == clock.now() == "2024-05-01T12:00:00.000Z"
    assert clock.now() == "2024-05-01T12:00:00.001Z"


def test_a_clock_ten_minutes_ahead_can_be_set_back() -> None:
    clock = DeviceClock(timedelta(minutes=10), lambda: NOON)
    assert clock.now() == "2024-05-01T12:10:00.000Z"
    clock.skew = timedelta(0)
    assert clock.now() == "2024-05-01T12:00:00.001Z"


def test_a_clock_that_follows_another_tells_later_times() -> None:
    first, second = DeviceClock(source=lambda: NOON), DeviceClock(source=lambda: NOON - timedelta(hours=1))
    told = [first.now() for _ in range(3)]
    second.follow(first)
    assert second.now() > told[-1]


# Individuals and the two copies


def test_a_created_individual_has_two_equal_copies() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann", "age": 3})
    initial, modified = copies(client, guid)
    assert initial is modified
    assert modified == {
        "id": guid,
        "guid": guid,
        "type": "individual",
        "name": "Ann",
        "version": 1,
        "data": {"name": "Ann", "age": 3},
        "lastUpdated": "2024-05-01T12:00:00.001Z",
    }


def test_an_individual_without_a_name_is_unnamed() -> None:
    client = device()
    guid = client.create_individual({"age": 3})
    assert client.entities()[guid]["name"] == data_of(client, guid)["name"] == "Unnamed Individual"


def test_an_update_keeps_the_previous_copy_as_initial() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann", "age": 3})
    client.update_individual(guid, {"age": 4})
    initial, modified = copies(client, guid)
    assert (initial["version"], initial["data"]["age"]) == (1, 3)
    assert (modified["version"], modified["data"]) == (2, {"name": "Ann", "age": 4})


def test_an_update_of_nobody_creates() -> None:
    client = device()
    client.update_individual("ann", {"age": 4, "externalId": "X1"})
    assert client.entities()["ann"]["externalId"] == "X1"
    assert data_of(client, "ann")["age"] == 4


def test_a_whole_form_holds_the_fields_that_did_not_change() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann", "age": 3})
    client.whole_form_update(guid, age=4)
    assert list(client.events)[-1]["data"] == {"name": "Ann", "age": 4}


def test_a_pulled_update_of_equal_copies_lands_on_modified() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann", "age": 3})
    client.submit(pulled("update-individual", guid, {"age": 9}, BEFORE))
    assert data_of(client, guid) == {"name": "Ann", "age": 9}


def test_a_pulled_update_of_differing_copies_that_is_older_is_ignored_but_kept() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann", "age": 3})
    client.update_individual(guid, {"age": 4})
    event = pulled("update-individual", guid, {"age": 9}, BEFORE)
    client.submit(event)
    assert data_of(client, guid)["age"] == 4
    assert event["guid"] in client.events


def test_even_a_pulled_deletion_of_differing_copies_is_ignored_when_it_is_older() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann"})
    client.update_individual(guid, {"age": 4})
    client.submit(pulled("delete-entity", guid, {"guid": guid}, BEFORE))
    assert guid in client.entities()
    client.submit(pulled("delete-entity", guid, {"guid": guid}, AFTER))
    assert guid not in client.entities()


def test_a_pulled_update_of_differing_copies_that_is_newer_lands_on_initial_and_loses_the_change() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann", "age": 3})
    client.update_individual(guid, {"age": 4, "village": "Iten"})
    client.submit(pulled("update-individual", guid, {"phone": "1"}, AFTER))
    assert data_of(client, guid) == {"name": "Ann", "age": 3, "phone": "1"}
    initial, modified = copies(client, guid)
    assert (initial["version"], modified["version"]) == (1, 2)


def test_a_second_local_update_builds_on_the_first() -> None:
    client = device()
    guid = client.create_individual({"name": "Ann"})
    client.update_individual(guid, {"age": 4})
    client.update_individual(guid, {"village": "Iten"})
    assert data_of(client, guid) == {"name": "Ann", "age": 4, "village": "Iten"}


# Groups and members


def test_a_group_writes_its_members_and_keeps_only_their_guids() -> None:
    client = device()
    inner = {"guid": "inner", "type": "group", "name": "Inner", "members": [{"guid": "ben", "name": "Ben"}]}
    guid = client.create_group({"name": "Camp"}, [{"guid": "ann", "type": "individual", "name": "Ann"}, inner])
    assert members_of(client, guid) == ["ann", "inner"]
    assert members_of(client, "inner") == ["ben"]
    assert data_of(client, guid) == {"name": "Camp"}
    assert data_of(client, "inner") == {"type": "group", "name": "Inner"}
    assert data_of(client, "ann") == {"type": "individual", "name": "Ann"}
    initial, modified = copies(client, guid)
    assert initial is modified


def test_a_member_entry_writes_its_entity_anew_whatever_the_clocks_say() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"}, [{"guid": "inner", "type": "group", "name": "Inner"}])
    client.add_member("inner", {"guid": "ann", "name": "Ann", "age": 3})
    client.update_individual("ann", {"age": 4})
    client.submit(pulled("update-group", camp, {"members": [{"guid": "inner", "type": "group", "name": "I"}]}, BEFORE))
    assert members_of(client, "inner") == []
    client.submit(pulled("update-group", camp, {"members": [{"guid": "ann", "name": "Ann"}]}, BEFORE))
    assert data_of(client, "ann") == {"name": "Ann"}
    assert client.entities()["ann"]["version"] == 1
    assert members_of(client, camp) == ["inner", "ann"]


def test_an_update_of_a_group_only_ever_adds_members() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"}, [{"guid": "ann", "name": "Ann"}])
    client.update_group(camp, {"size": 2}, [{"guid": "ben", "name": "Ben"}, {"guid": "ann", "name": "Ann"}])
    assert members_of(client, camp) == ["ann", "ben"]
    assert data_of(client, camp) == {"name": "Camp", "size": 2}


def test_a_bad_member_entry_fails_the_event_after_the_other_entries_were_written() -> None:
    client = device()
    members = [{"name": "nobody"}, {"guid": "empty"}, {"guid": "ann", "name": "Ann"}]
    with pytest.raises(CannotApply):
        client.submit(pulled("create-group", "camp", {"name": "Camp", "members": members}))
    assert list(client.entities()) == ["ann"]
    assert len(client.events) == 1


def test_adding_a_member_after_a_group_event_leaves_the_copies_one_object() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"})
    client.add_member(camp, {"guid": "ann", "name": "Ann"})
    initial, modified = copies(client, camp)
    assert initial is modified
    assert modified["version"] == 2


def test_removing_a_member_makes_the_copies_differ_and_keeps_the_person() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"}, [{"guid": "ann", "name": "Ann"}])
    client.remove_member(camp, "ann")
    initial, modified = copies(client, camp)
    assert (initial["memberIds"], modified["memberIds"]) == (["ann"], [])
    assert "ann" in client.entities()


def test_a_newer_pulled_addition_works_on_modified_where_a_group_update_works_on_initial() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"}, [{"guid": "ann", "name": "Ann"}])
    client.remove_member(camp, "ann")
    client.submit(pulled("add-member", camp, {"members": [{"guid": "ben", "name": "Ben"}]}))
    assert members_of(client, camp) == ["ben"]
    client.submit(pulled("update-group", camp, {"size": 1}))
    assert members_of(client, camp) == ["ann"]


def test_removing_a_group_from_a_group_deletes_all_below_it() -> None:
    client = device()
    inner = {"guid": "inner", "type": "group", "name": "Inner", "members": [{"guid": "ben", "name": "Ben"}]}
    camp = client.create_group({"name": "Camp"}, [inner])
    client.remove_member(camp, "inner")
    assert list(client.entities()) == [camp]


def test_deleting_a_group_takes_its_members_and_deleting_nobody_does_nothing() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"}, [{"guid": "ann", "name": "Ann"}])
    client.delete(camp)
    client.delete("stranger")
    assert client.entities() == {}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("add-member", {"members": [{"guid": "ann", "name": "Ann"}]}),
        ("remove-member", {"memberId": "ann"}),
        ("vaccinate", {"dose": 1}),
    ],
)
def test_an_event_that_cannot_be_applied_stays_stored(kind: str, data: dict[str, Any]) -> None:
    client = device()
    event = pulled(kind, "camp", data)
    with pytest.raises(CannotApply):
        client.submit(event)
    assert event["guid"] in client.events


@pytest.mark.parametrize(("key", "value"), [("userId", ""), ("timestamp", None), ("type", ""), ("data", {})])
def test_an_invalid_event_is_refused_before_it_is_stored(key: str, value: Any) -> None:
    client = device()
    with pytest.raises(InvalidEvent):
        client.submit({**pulled("create-individual", "ann", {"name": "Ann"}), key: value})
    assert len(client.events) == 0


def test_a_registered_applier_takes_its_custom_type() -> None:
    client = device()

    def vaccinate(entity: Entity, event: Event, store: EntityStore) -> Entity:
        changed = {**entity, "data": {**entity["data"], **event["data"]}, "version": entity["version"] + 1}
        store.save(entity, changed)
        return changed

    client.custom_appliers["vaccinate"] = vaccinate
    ann = client.create_individual({"name": "Ann"})
    client.submit(pulled("vaccinate", ann, {"dose": 1}))
    assert data_of(client, ann) == {"name": "Ann", "dose": 1}


def test_two_records_cannot_hold_one_external_id_until_the_first_is_deleted() -> None:
    client = device()
    client.create_individual({"name": "Ann", "externalId": "X1"}, "ann")
    with pytest.raises(CannotApply):
        client.create_individual({"name": "Ben", "externalId": "X1"}, "ben")
    client.create_individual({"name": "Cyd", "externalId": 1}, "cyd")
    client.delete("ann")
    client.create_individual({"name": "Dan", "externalId": "X1"}, "dan")
    assert sorted(client.entities()) == ["cyd", "dan"]


def test_opening_a_group_with_a_vanished_member_submits_the_whole_document_as_system() -> None:
    client = device()
    camp = client.create_group({"name": "Camp"}, [{"guid": "ann", "name": "Ann"}, {"guid": "ben", "name": "Ben"}])
    client.load_group(camp)
    assert len(client.events) == 1
    client.delete("ann")
    client.load_group(camp)
    event = list(client.events)[-1]
    assert (event["type"], event["userId"], event["data"]["memberIds"]) == ("update-group", "system", ["ben"])
    assert event["data"]["data"] == {"name": "Camp"}
    assert members_of(client, camp) == ["ann", "ben"]


# Duplicates as the device sees them


def test_a_record_contained_in_another_is_flagged_in_one_direction() -> None:
    client = device()
    client.create_individual({"name": "Annabel", "village": "Iten"}, "annabel")
    client.create_individual({"name": "ANN"}, "ann")
    assert client.open_pairs == [("ann", "annabel")]


@pytest.mark.parametrize(
    ("other", "own", "is_flagged"),
    [
        ({"name": "Ann", "age": 3}, {"name": "Ann", "age": 3}, True),
        ({"name": "Ann", "age": 31}, {"name": "Ann", "age": 3}, False),
        ({"name": "Ann", "age": "3"}, {"name": "Ann", "age": 3}, False),
        ({"name": "Ann", "is_head": True}, {"name": "Ann", "is_head": True}, False),
        ({"name": "Ann", "at": {"place": "X"}}, {"name": "Ann", "at": {"place": "X"}}, False),
        ({"name": "Ann", "at.place": "X"}, {"name": "Ann", "at": {"place": "X"}}, True),
        ({"name": "Ann"}, {"name": "Ann", "tags": ["x"], "note": "", "phone": None}, True),
        ({"name": "Ann"}, {"name": "Ann", "type": "individual"}, True),
        ({"name": "Ann", "type": "x"}, {"name": "Ann", "type": "x"}, False),
    ],
)
def test_flags_compare_each_primitive_field(other: dict[str, Any], own: dict[str, Any], is_flagged: bool) -> None:
    client = device()
    client.create_individual(other, "other")
    client.create_individual(own, "own")
    assert (("own", "other") in client.open_pairs) is is_flagged


def test_a_search_sees_the_initial_copy_first() -> None:
    client = device()
    client.create_individual({"name": "Ann"}, "ann")
    client.update_individual("ann", {"name": "Zoe"})
    client.create_individual({"name": "Ann"}, "other")
    assert client.open_pairs == [("other", "ann")]


def test_members_of_a_group_event_are_not_checked_but_the_group_is() -> None:
    client = device()
    client.create_individual({"name": "Camp0"}, "person")
    client.create_group({"name": "Camp"}, [{"guid": "member", "name": "Camp0"}], "camp")
    assert client.open_pairs == [("camp", "person"), ("camp", "member")]


async def test_a_device_with_an_open_pair_makes_no_request() -> None:
    wire = Wire()
    client = device(wire)
    client.create_individual({"name": "Annabel"}, "annabel")
    client.create_individual({"name": "Ann"}, "ann")
    with pytest.raises(OpenDuplicates):
        await client.sync()
    assert (wire.pushes, wire.pulls) == ([], [])


def test_only_the_named_direction_of_a_pair_is_settled() -> None:
    client = device()
    client.create_individual({"name": "Ann"}, "one")
    client.create_individual({"name": "Ann"}, "two")
    client.update_individual("one", {"name": "Ann"})
    assert client.open_pairs == [("two", "one"), ("one", "two")]
    client.resolve_duplicate("two", "one", should_delete=False)
    assert client.open_pairs == [("one", "two")]


def test_settling_by_deletion_deletes_the_entity_of_the_event_and_its_pairs() -> None:
    client = device()
    client.create_individual({"name": "Ann"}, "one")
    client.create_individual({"name": "Ann"}, "two")
    client.update_individual("one", {"name": "Ann"})
    client.resolve_duplicate("two", "one", should_delete=True)
    assert list(client.entities()) == ["one"]
    assert client.open_pairs == []


# Push


def record_people(client: OldClient, count: int) -> None:
    for number in range(count):
        client.create_individual({"name": "Person", "serial": number})


@given(count=st.integers(1, 45))
async def test_every_event_is_pushed_once_oldest_first_in_chunks_of_ten(count: int) -> None:
    wire = Wire()
    client = device(wire)
    record_people(client, count)
    await client.push_only()
    stamps = [event["timestamp"] for chunk in wire.pushes for event in chunk]
    assert stamps == sorted(stamps)
    assert len(stamps) == count
    assert [len(chunk) for chunk in wire.pushes[:-1]] == [10] * (len(wire.pushes) - 1)
    await client.push_only()
    assert sum(map(len, wire.pushes)) == count


async def test_pushed_events_carry_the_row_number_of_the_device() -> None:
    wire = Wire()
    client = device(wire)
    record_people(client, 2)
    await client.push_only()
    assert [event["id"] for event in wire.pushes[0]] == [1, 2]
    assert [event["syncLevel"] for event in wire.pushes[0]] == [0, 0]
    assert [event["syncLevel"] for event in client.events] == [1, 1]


async def test_an_event_older_than_the_last_push_is_never_pushed() -> None:
    wire = Wire()
    client = device(wire)
    record_people(client, 1)
    await client.push_only()
    client.clock.skew = timedelta(minutes=-10)
    client.create_individual({"name": "Late"})
    await client.push_only()
    assert sum(map(len, wire.pushes)) == 1


async def test_a_chunk_is_tried_three_times() -> None:
    wire = Wire(fails=lambda number: number < 3)
    client = device(wire)
    record_people(client, 1)
    await client.push_only()
    assert len(wire.pushes) == 3


async def test_after_a_failed_chunk_the_next_push_starts_behind_the_last_good_one() -> None:
    wire = Wire(fails=lambda number: 2 < number <= 5)
    client = device(wire)
    record_people(client, 35)
    with pytest.raises(SyncFailed):
        await client.sync()
    assert client.events.last_push == wire.pushes[1][-1]["timestamp"]
    assert wire.pulls == []
    await client.sync()
    assert [len(chunk) for chunk in wire.pushes[5:]] == [10, 5]


async def test_events_with_the_time_of_the_last_good_chunk_are_lost_by_the_device() -> None:
    wire = Wire(fails=lambda number: 1 < number <= 4)
    client = device(wire)
    with client.clock.frozen():
        record_people(client, 25)
    with pytest.raises(SyncFailed):
        await client.push_only()
    await client.push_only()
    assert len(wire.pushes) == 4


async def test_a_lone_surrogate_leaves_the_device_escaped() -> None:
    wire = Wire()
    client = device(wire)
    client.create_individual({"name": "\ud800"})
    await client.push_only()
    assert wire.pushes[0][0]["data"]["name"] == "\ud800"


async def test_pulled_events_later_than_the_last_push_are_pushed_again() -> None:
    wire = Wire([{"events": [pulled("create-individual", "ann", {"name": "Ann"}, AFTER)], "nextCursor": None}])
    client = device(wire)
    record_people(client, 1)
    await client.sync()
    await client.sync()
    assert [event["entityGuid"] for event in wire.pushes[1]] == ["ann"]


async def test_a_device_that_never_pushed_anything_offers_all_it_pulled() -> None:
    early = pulled("create-individual", "ann", {"name": "Ann"}, "1000-01-01T00:00:01.000Z")
    wire = Wire([{"events": [early], "nextCursor": None}])
    client = device(wire)
    await client.sync()
    assert wire.pushes == []
    await client.sync()
    assert [event["guid"] for event in wire.pushes[0]] == [early["guid"]]


# Pull


async def test_since_and_cursor_go_into_the_url_as_they_are() -> None:
    pages: list[Mapping[str, Any]] = [
        {"events": [pulled("create-individual", "ann", {"name": "Ann"})], "nextCursor": "1.2+3:x"},
        {"events": [], "nextCursor": None},
    ]
    wire = Wire(pages)
    client = device(wire)
    await client.sync()
    await client.pull_only()
    assert [unquote(path) for path in wire.pulls] == [
        "/api/sync/pull?since=&configId=north",
        "/api/sync/pull?since=1.2+3:x&configId=north",
        f"/api/sync/pull?since={AFTER}&configId=north",
    ]


@given(order=st.permutations(range(4)))
async def test_a_page_is_sorted_by_time_before_it_is_applied(order: list[int]) -> None:
    events = [
        pulled("create-group", "camp", {"name": "Camp"}, "2024-05-01T13:00:00.001Z"),
        pulled("add-member", "camp", {"members": [{"guid": "ann", "name": "Ann"}]}, "2024-05-01T13:00:00.002Z"),
        pulled("remove-member", "camp", {"memberId": "ann"}, "2024-05-01T13:00:00.003Z"),
        pulled("delete-entity", "ann", {"guid": "ann"}, "2024-05-01T13:00:00.004Z"),
    ]
    client = device(Wire([{"events": [events[place] for place in order], "nextCursor": None}]))
    await client.sync()
    assert list(client.entities()) == ["camp"]
    assert client.events.next_since == "2024-05-01T13:00:00.004Z"


async def test_a_known_guid_is_skipped_even_with_other_content() -> None:
    first = pulled("create-individual", "ann", {"name": "Ann"}, guid="one")
    again = pulled("create-individual", "ann", {"name": "Zoe"}, guid="one")
    client = device(Wire([{"events": [first], "nextCursor": None}, {"events": [again], "nextCursor": None}]))
    await client.pull_only()
    await client.pull_only()
    assert data_of(client, "ann")["name"] == "Ann"


async def test_a_page_that_fails_leaves_since_at_the_last_good_page_and_its_event_without_effect() -> None:
    good = pulled("create-individual", "ann", {"name": "Ann"}, "2024-05-01T13:00:00.001Z")
    bad = pulled("add-member", "camp", {"members": [{"guid": "ben", "name": "Ben"}]}, "2024-05-01T13:00:00.002Z")
    late = pulled("create-group", "camp", {"name": "Camp"}, "2024-05-01T13:00:00.003Z")
    second = {"events": [bad, late], "nextCursor": None}
    client = device(Wire([{"events": [good], "nextCursor": "2"}, second, second]))
    with pytest.raises(CannotApply):
        await client.sync()
    assert client.events.next_since == good["timestamp"]
    await client.sync()
    assert members_of(client, "camp") == []
    assert client.events.next_since == late["timestamp"]


async def test_an_invalid_event_stops_the_sync_every_time() -> None:
    page = {"events": [{**pulled("create-individual", "ann", {"name": "Ann"}), "data": {}}], "nextCursor": None}
    client = device(Wire([page, page]))
    for _ in range(2):
        with pytest.raises(InvalidEvent):
            await client.sync()


async def test_an_answer_with_an_error_and_no_events_just_ends() -> None:
    client = device(Wire([{"events": [], "nextCursor": None, "error": "Duplicates exist!"}]))
    await client.sync()
    assert client.events.next_since == ""


async def test_a_pulled_event_with_a_row_number_takes_the_place_of_another_event() -> None:
    wire = Wire([{"events": [{**pulled("create-individual", "ben", {"name": "Ben"}), "id": 1}], "nextCursor": None}])
    client = device(wire)
    client.create_individual({"name": "Ann"}, "ann")
    await client.pull_only()
    assert [event["entityGuid"] for event in client.events] == ["ben"]
