from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.clock import iso_ms, parse_iso
from server.sync.epoch import GAP
from server.sync.old_clients.axis import logical_time, position_of

positions = st.integers(0, 3_000_000_000)
places = st.integers(0, 20_000)


@given(positions, places)
def test_position_comes_back_from_any_timestamp_of_its_page(position: int, place: int) -> None:
    assert position_of(logical_time(position, place)) == position


@given(positions, st.lists(places, max_size=5))
def test_timestamps_are_in_the_order_of_pages_and_places(position: int, of_page: list[int]) -> None:
    times = [logical_time(position, place) for place in sorted(of_page)]
    assert times == sorted(times)
    assert all(time < logical_time(position + 1, 0) for time in times)


@given(positions, places)
def test_timestamps_are_what_a_phone_writes_and_need_no_escaping_in_a_url(position: int, place: int) -> None:
    time = logical_time(position, place)
    assert iso_ms(parse_iso(time)) == time
    assert set(time) <= set("0123456789-:.TZ")


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001
def test_time_of_a_real_clock_is_answered_from_the_start(at: datetime) -> None:
    assert position_of(iso_ms(at.replace(tzinfo=UTC))) is None


def test_phone_that_holds_nothing_is_answered_from_the_start() -> None:
    assert position_of("") is None


def test_time_before_the_axis_is_answered_from_the_start() -> None:
    assert position_of("0999-12-31T23:59:59.999Z") is None


@pytest.mark.parametrize("since", ["null", "12", "2024-13-01T00:00:00Z", "yesterday", "'; DROP TABLE events"])
def test_what_is_no_time_is_refused(since: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        position_of(since)


def test_time_in_another_zone_is_the_same_position() -> None:
    moved = parse_iso(logical_time(7, 3)).astimezone(timezone(timedelta(hours=5)))
    assert position_of(moved.isoformat()) == 7


def test_axis_has_room_for_many_epochs_and_a_long_log() -> None:
    assert position_of(logical_time(100 * GAP + 1_000_000_000, 0)) == 100 * GAP + 1_000_000_000
