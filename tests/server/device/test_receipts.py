"""Digests and receipts, against those that the server makes."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.device import Event, Receipt
from server.device.receipts import digest, link, verify
from server.device.strict import canonical, checked, read, write
from server.kit.strict_json import canonical_json, read_json
from server.sync.event import Event as LoggedEvent
from server.sync.records import digest_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, min_size=1, max_size=4)


@settings(max_examples=60)
@given(VALUES)
def test_canonical_form_is_the_servers(value: Any) -> None:
    assert canonical(value).encode() == canonical_json(value)


@settings(max_examples=40)
@given(OBJECTS)
def test_what_passes_the_check_is_read_by_the_server_as_it_is(value: dict[str, Any]) -> None:
    assert read_json(write(checked(value, "data")).encode()) == value


@settings(max_examples=40)
@given(OBJECTS)
def test_what_the_server_wrote_can_be_sent_back_and_has_the_same_digest(value: dict[str, Any]) -> None:
    again = read(write({"data": value}))
    assert canonical_json(read_json(write(again).encode())) == canonical_json({"data": value})


@pytest.mark.parametrize("digits", ["100000000000000000000", "9007199254740993", "-9007199254740994", "1" + "0" * 300])
def test_float_that_came_back_as_a_long_integer_is_a_float_again(digits: str) -> None:
    value = read(digits)
    assert isinstance(value, float)
    assert read_json(write([value]).encode()) == [float(digits)]


def event(number: int, data: dict[str, Any], *, base_version: int | None = None) -> Event:
    return Event(
        guid=f"event-{number}",
        entity_guid="someone",
        type="visit",
        data=data,
        timestamp="2026-01-31T08:15:00.000Z",
        user_id="7",
        seq=number,
        base_version=base_version,
    )


@settings(max_examples=40)
@given(OBJECTS)
def test_digest_of_an_event_is_the_servers(data: dict[str, Any]) -> None:
    logged = LoggedEvent("event-1", "someone", "visit", data, "2026-01-31T08:15:00.000Z", 0, 0, "7")
    assert digest(event(1, data, base_version=3)) == digest_of(logged)


PREVIOUS = sha256(b"the push before").hexdigest()
PUSHED = [event(4, {"a": 1}), event(5, {"b": 2.5})]


def receipt(**changes: Any) -> Receipt:
    values = {"epoch": "e", "first": 4, "last": 5, "hash": link(PREVIOUS, 4, PUSHED), "previous": PREVIOUS}
    return Receipt(**{**values, "verified": None, **changes})


def test_receipt_over_what_was_pushed_is_verified() -> None:
    assert verify(receipt(), PUSHED, None).verified is True


def test_receipt_over_anything_else_is_not() -> None:
    assert verify(receipt(), [PUSHED[0], event(5, {"b": 3})], None).verified is False
    assert verify(receipt(previous="00"), PUSHED, None).verified is False


def test_receipt_has_to_follow_the_one_before() -> None:
    before = receipt(first=1, last=3, hash=PREVIOUS)
    assert verify(receipt(), PUSHED, before).verified is True
    assert verify(receipt(), PUSHED, receipt(first=1, last=3, hash="00")).verified is False


def test_receipt_over_events_that_the_device_does_not_hold_stays_open() -> None:
    assert verify(receipt(), PUSHED[:1], None).verified is None
