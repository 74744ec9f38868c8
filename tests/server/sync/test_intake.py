from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.clock import iso_ms, parse_iso, to_ms
from server.sync.event import Event
from server.sync.intake import MAX_TEXT, Refusal, read_event
from tests.server.sync.strategies import PEOPLE, histories

ARRIVAL = parse_iso("2026-01-31T08:15:00.000Z")
TOLERANCE = timedelta(minutes=5)


def raw(**changes: Any) -> dict[str, Any]:
    """An event as phones push it; None takes a key away."""
    event = {
        "guid": "event-1",
        "entityGuid": "ann",
        "type": "create-individual",
        "data": {"name": "Ann"},
        "timestamp": "2026-01-31T08:00:00.000Z",
        "userId": "7",
        "syncLevel": 0,
        **changes,
    }
    return {key: value for key, value in event.items() if value is not None}


def read(value: Any) -> Event | Refusal:
    return read_event(value, arrival_ms=to_ms(ARRIVAL), tolerance=TOLERANCE)


def accepted(**changes: Any) -> Event:
    event = read(raw(**changes))
    assert isinstance(event, Event), event
    return event


def refused(value: Any) -> Refusal:
    refusal = read(value)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def test_event_is_taken_as_it_was_pushed() -> None:
    event = accepted()
    assert (event.guid, event.entity_guid, event.type, event.user_id) == ("event-1", "ann", "create-individual", "7")
    assert (event.data, event.timestamp, event.applied) == ({"name": "Ann"}, "2026-01-31T08:00:00.000Z", None)
    assert event.timestamp_ms == event.effective_ms == to_ms(parse_iso(event.timestamp))


# Time


@given(st.timedeltas(timedelta(days=-30_000), timedelta(days=30_000)))
def test_time_counts_as_the_device_says_but_not_later_than_arrival_and_tolerance(off: timedelta) -> None:
    event = accepted(timestamp=iso_ms(ARRIVAL + off))
    assert event.timestamp_ms == to_ms(parse_iso(event.timestamp))
    assert event.effective_ms == min(event.timestamp_ms, to_ms(ARRIVAL + TOLERANCE))


def test_clocks_ahead_keep_their_own_order() -> None:
    one, other = accepted(timestamp="2027-01-01T00:00:00.001Z"), accepted(timestamp="2027-01-01T00:00:00.002Z")
    assert one.effective_ms == other.effective_ms
    assert one.place < other.place


@pytest.mark.parametrize("timestamp", ["2026-01-31T10:00:00.000+02:00", "2026-01-31T08:00:00Z", "2026-01-31 08:00"])
def test_other_forms_of_a_time_are_taken(timestamp: str) -> None:
    assert accepted(timestamp=timestamp).timestamp_ms == to_ms(parse_iso("2026-01-31T08:00:00.000Z"))


@pytest.mark.parametrize(
    "timestamp", ["now", "2026-02-30T00:00:00Z", "1769846400000", "0001-01-01T00:00:00+14:00", 17, True]
)
def test_what_is_no_time_is_refused(timestamp: Any) -> None:
    assert refused(raw(timestamp=timestamp)).path == "timestamp"


# What an event has to have


@pytest.mark.parametrize("value", [None, 1, "event", [], [raw()], True])
def test_what_is_no_object_is_refused_without_a_guid(value: Any) -> None:
    assert refused(value) == Refusal("", "event.invalid", "", "an event is an object")


@pytest.mark.parametrize("key", ["guid", "entityGuid", "type", "timestamp", "userId"])
@pytest.mark.parametrize("value", [None, "", 1.5, [], {}, True, "x" * (MAX_TEXT + 1)])
def test_text_that_is_missing_empty_or_no_text_is_refused_at_its_place(key: str, value: Any) -> None:
    refusal = refused(raw(**{key: value}))
    assert (refusal.path, refusal.code) == (key, "event.invalid")
    assert refusal.guid == ("event-1" if key != "guid" else value if isinstance(value, str) else "")


@pytest.mark.parametrize("data", [None, {}, [], "text", 5])
def test_data_that_is_missing_or_empty_is_refused(data: Any) -> None:
    assert refused(raw(data=data)).path == "data"


def test_number_of_an_account_is_taken_as_user() -> None:
    assert accepted(userId=7).user_id == "7"
    assert accepted(userId=0).user_id == "0"


def test_awkward_text_is_taken_to_the_letter() -> None:
    name = "O'Brien \"; DROP TABLE entities; -- \u202eעברית 👩‍👩‍👧‍👦 \U0001f600\ufffd\n\t"
    assert accepted(data={"name": name}, entityGuid=name).data == {"name": name}


def test_event_of_another_type_is_taken_whatever_its_data() -> None:
    assert accepted(type="immunised", data={"members": 5, "memberId": [], "duplicates": None}).mentions == ("ann",)


# Members

GROUP_EVENTS = ["create-group", "update-group"]


@pytest.mark.parametrize("type_", GROUP_EVENTS)
def test_group_may_come_without_members(type_: str) -> None:
    kinds: list[dict[str, Any]] = [{"name": "Camp"}, {"name": "Camp", "members": None}, {"members": []}]
    for data in kinds:
        assert accepted(type=type_, data=data).members == []


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ("ann", "data.members"),
        ({"guid": "ann"}, "data.members"),
        (["ann"], "data.members[0]"),
        ([None], "data.members[0]"),
        ([{"guid": "ann"}, {"name": "Ben"}], "data.members[1].guid"),
        ([{"guid": 5}], "data.members[0].guid"),
        ([{"guid": "g" * 257}], "data.members[0].guid"),
        ([{"guid": "dorm", "type": "group", "members": "none"}], "data.members[0].members"),
        ([{"guid": "dorm", "type": "group", "members": [{}]}], "data.members[0].members[0].guid"),
    ],
)
@pytest.mark.parametrize("type_", [*GROUP_EVENTS, "add-member"])
def test_bad_member_is_refused_at_its_place(type_: str, members: Any, path: str) -> None:
    assert refused(raw(type=type_, data={"members": members})).path == path


@pytest.mark.parametrize("members", [None, [], {}])
def test_addition_without_a_member_is_refused(members: Any) -> None:
    assert refused(raw(type="add-member", data={"members": members, "note": "x"})).path == "data.members"


@pytest.mark.parametrize("type_", ["individual", None, 5, ["group"]])
def test_only_members_of_groups_are_looked_into(type_: Any) -> None:
    entry = {"guid": "ann", "type": type_, "members": [{"guid": "hidden"}]}
    assert accepted(type="create-group", entityGuid="camp", data={"members": [entry]}).mentions == ("camp", "ann")


def test_odd_members_are_taken() -> None:
    members = [{"guid": "camp"}, {"guid": "ann"}, {"guid": "ann"}, {"guid": "dorm", "type": "group", "members": None}]
    event = accepted(type="create-group", entityGuid="camp", data={"members": members})
    assert event.mentions == ("camp", "ann", "dorm")
    assert set(event.joins) == {("camp", "camp"), ("camp", "ann"), ("camp", "dorm")}


def test_memberships_are_told_at_every_depth() -> None:
    inner = {"guid": "dorm", "type": "group", "members": [{"guid": "ann"}]}
    event = accepted(type="update-group", entityGuid="camp", data={"members": [inner]})
    assert set(event.joins) == {("camp", "dorm"), ("dorm", "ann")}
    assert set(event.makes) == {"dorm", "ann"}


def test_addition_speaks_of_its_first_member_alone() -> None:
    event = accepted(type="add-member", entityGuid="camp", data={"members": [{"guid": "ann"}, {"guid": "ben"}]})
    assert event.mentions == ("camp", "ann")


# Removing and settling


@pytest.mark.parametrize("member", [None, "", 5, ["ann"]])
def test_removal_without_a_member_is_refused(member: Any) -> None:
    assert refused(raw(type="remove-member", data={"memberId": member, "note": "x"})).path == "data.memberId"


@pytest.mark.parametrize(
    ("pairs", "path"),
    [
        (None, "data.duplicates"),
        ([], "data.duplicates"),
        ({}, "data.duplicates"),
        (["ann"], "data.duplicates[0]"),
        ([{"entityGuid": "ann"}], "data.duplicates[0].duplicateGuid"),
        ([{"entityGuid": 1, "duplicateGuid": "ben"}], "data.duplicates[0].entityGuid"),
    ],
)
def test_bad_pair_is_refused_at_its_place(pairs: Any, path: str) -> None:
    assert refused(raw(type="resolve-duplicate", data={"duplicates": pairs, "shouldDelete": True})).path == path


@pytest.mark.parametrize("delete", [True, False])
def test_settling_mentions_both_and_removes_where_it_says_so(delete: bool) -> None:
    data = {"duplicates": [{"entityGuid": "ann", "duplicateGuid": "ben"}], "shouldDelete": delete}
    event = accepted(type="resolve-duplicate", data=data)
    assert (event.mentions, event.pairs) == (("ann", "ben"), [("ann", "ben")])
    assert event.removes == ("ann" if delete else None)


# Whatever comes

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from((*PEOPLE, "", "group")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("guid", "type", "members", "memberId", "duplicates", "name")), inner, max_size=4
        )
    ),
    max_leaves=12,
)
types = st.sampled_from(
    ("create-group", "update-group", "add-member", "remove-member", "delete-entity", "resolve-duplicate", "x")
)


@given(json)
def test_anything_is_read_or_refused(value: Any) -> None:
    assert isinstance(read(value), Refusal)


@given(types, json, json)
def test_any_data_makes_an_event_that_can_be_worked_with_or_a_refusal(type_: str, data: Any, guid: Any) -> None:
    event = read(raw(type=type_, data=data, entityGuid=guid))
    if isinstance(event, Event):
        assert all((*event.mentions, *event.makes))
        assert {each for pair in event.joins for each in pair} <= set(event.mentions)
        assert event.removes is None or event.removes in event.mentions


@given(histories())
def test_events_as_phones_make_them_are_all_taken(events: list[Event]) -> None:
    for event in events:
        again = read(raw(guid=event.guid, entityGuid=event.entity_guid, type=event.type, data=event.data or {"a": 1}))
        assert isinstance(again, Event)
