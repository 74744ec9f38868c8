from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sync.old_clients.flags import can_be_flagged
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


@given(
    records(plain_keys | keys_of_the_phone).map(lambda data: {"name": "Ann", **data}),
    records(plain_keys).map(lambda other: {"name": "Annabel", **other}),
)
def test_what_a_phone_flags_is_foreseen_and_shares_the_name(data: dict[str, Any], other: dict[str, Any]) -> None:
    if phone_flags(data, other):
        assert can_be_flagged(data)
        if isinstance(data["name"], str) and isinstance(other["name"], str) and other["name"]:
            assert data["name"].lower() in other["name"].lower()


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
