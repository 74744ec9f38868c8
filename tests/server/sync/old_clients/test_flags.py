from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sync.old_clients.flags import can_be_flagged, is_flagged, keys_to_share
from tests.old_client import DeviceClock, EntityStore, EventApplier, EventStore

words = st.sampled_from(("", "a", "Ann", "ANNA", "annabel", "ß", "É", "é", "1", "Group", "individual"))
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from((0.0, 1.0, 1.5)) | words
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from("xy"), scalars, max_size=2)
plain_keys = st.sampled_from(("name", "village", "age", "home", "home.x"))
keys_of_the_phone = st.sampled_from(("name", "type", "version", "guid", "id", "lastUpdated", "externalId"))


def records(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, values, max_size=4)


def phone_flags(data: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a phone that has the other one flags the record when it creates it."""
    entities, clock = EntityStore(), DeviceClock(source=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    held = {
        "guid": "other",
        "id": "other",
        "type": "individual",
        "name": other.get("name"),
        "version": 1,
        "data": other,
    }
    entities.save(held, held)
    EventApplier(EventStore(), entities, clock).submit(
        {
            "guid": "event",
            "entityGuid": "record",
            "type": "create-individual",
            "data": data,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "userId": "field-user",
        }
    )
    return ("record", "other") in entities.open_pairs


@given(records(plain_keys).map(lambda data: {"name": "Ann", **data}), records(plain_keys))
def test_what_a_phone_flags_is_foreseen(data: dict[str, Any], other: dict[str, Any]) -> None:
    if phone_flags(data, other):
        assert can_be_flagged(data)
        assert is_flagged(data, other)
        assert all(key in other for key in keys_to_share(data))


@given(records(plain_keys | keys_of_the_phone).map(lambda data: {"name": "Ann", **data}), records(plain_keys))
def test_no_flag_is_overlooked_when_it_hangs_on_what_only_the_phone_knows(
    data: dict[str, Any], other: dict[str, Any]
) -> None:
    if phone_flags(data, other):
        assert is_flagged(data, other)


@given(records(plain_keys).map(lambda data: {"name": "Ann", **data}), records(plain_keys))
def test_nothing_is_foreseen_that_a_phone_would_not_flag(data: dict[str, Any], other: dict[str, Any]) -> None:
    other = {**other, "name": other.get("name") or "Ann"}
    assert is_flagged(data, other) == phone_flags(data, other)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": ""},
        {"name": None, "members": ["a"]},
        {"name": "Ann", "head": True},
        {"name": "Ann", "home": {"own": False}},
    ],
)
def test_record_without_fields_or_with_a_truth_value_is_never_flagged(data: dict[str, Any]) -> None:
    assert not can_be_flagged(data)
    assert not is_flagged(data, data)


def test_name_inside_another_name_is_flagged_whatever_the_case() -> None:
    assert is_flagged({"name": "ann"}, {"name": "ANNABEL", "village": 1})
    assert not is_flagged({"name": "ann", "village": 2}, {"name": "ANNABEL", "village": 1})
    assert not is_flagged({"name": "Annabel"}, {"name": "Ann"})
