"""The axis of logical times. Such a phone remembers the greatest timestamp it was given, so timestamps carry positions.

A position is the base of the epoch plus a number of the log; ten seconds stand for one, so that the events of a page
have ten thousand milliseconds to keep their order in. The axis begins in the year 1000: nothing on it is later than a
phone's own clock, whatever that says, so no phone ever pushes back what it pulled.
"""

from datetime import UTC, datetime, timedelta

from server.kit.clock import MILLISECOND, iso_ms, parse_iso

_START = datetime(1000, 1, 1, tzinfo=UTC)
_END = datetime(1990, 1, 1, tzinfo=UTC)
_STEP = timedelta(seconds=10)
_PLACES = _STEP // MILLISECOND


def logical_time(position: int, place: int) -> str:
    """The timestamp of the event at `place` in the page that ends at `position`."""
    return iso_ms(_START + position * _STEP + min(place, _PLACES - 1) * MILLISECOND)


def position_of(since: str) -> int | None:
    """The position a phone has come to: None when it has to be answered from the start.

    That is a phone that holds nothing yet, or one that synced with another server and holds a time of a real clock.
    Raises ValueError for what is no time at all.
    """
    if not since:
        return None
    at = parse_iso(since)
    return (at - _START) // _STEP if _START <= at < _END else None
