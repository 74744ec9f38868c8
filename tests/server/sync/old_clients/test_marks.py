from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from server.sync.old_clients.marks import CARRIERS, GROUP_CARRIER, is_carrier, new_mark
from tests.server.sync.strategies import event

KEY = b"the key of this log"


def is_ours(guid: str, key: bytes = KEY, entity: str = "ann") -> bool:
    return is_carrier(event("create-group", entity, {"name": "-"}, guid=guid), key)


def test_mark_is_known_again_under_its_key_alone() -> None:
    mark = new_mark(KEY)
    assert is_ours(mark)
    assert is_ours(mark.upper())
    assert not is_ours(mark, key=b"the key of another log")


def test_marks_are_new_at_every_serving_and_look_like_any_guid() -> None:
    marks = {new_mark(KEY) for _ in range(1000)}
    assert len(marks) == 1000
    assert all(str(UUID(mark)) == mark for mark in marks)


@given(st.text(max_size=40) | st.uuids().map(str))
def test_no_other_guid_passes_for_a_mark(guid: str) -> None:
    assert not is_ours(guid)


@given(st.integers(0, 31), st.integers(1, 15))
def test_mark_with_one_changed_digit_is_none(at: int, by: int) -> None:
    digits = new_mark(KEY).replace("-", "")
    changed = f"{digits[:at]}{(int(digits[at], 16) + by) % 16:x}{digits[at + 1 :]}"
    assert not is_ours(changed)


def test_event_about_a_carrier_is_ours_whatever_its_guid() -> None:
    assert all(is_ours(str(uuid4()), entity=carrier) for carrier in CARRIERS)
    assert not is_ours(str(uuid4()), entity=GROUP_CARRIER.replace("2", "3"))
