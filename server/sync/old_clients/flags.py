"""Which pairs a phone would flag as duplicates, and then refuse to sync until somebody settles them.

It flags a record when every primitive field of it is contained, whatever the case, in another's. Numbers have to be
equal; a truth value never matches, so a record that holds one is never flagged. A field inside an object goes by its
path, `home.street`, and is looked for under that as a key.
"""

from collections.abc import Iterator
from typing import Any

from server.sync.event import Data

_OF_THE_PHONE = frozenset({"guid", "id", "type", "version", "lastUpdated"})
"""Looked for in what the phone itself notes of a record, which is not known here."""


def can_be_flagged(data: Data) -> bool:
    """Whether the record could be contained in any other at all."""
    values = [value for _, value in _fields(data)]
    return bool(values) and not any(isinstance(value, bool) for value in values)


def is_flagged(data: Data, other: Data) -> bool:
    """Whether a phone that applies the record may flag it as a duplicate of the other one.

    Never says no where it does. Says yes where that hangs on what only the phone knows.
    """
    return can_be_flagged(data) and all(_may_contain(other, key, value) for key, value in _fields(data))


def keys_to_share(data: Data) -> list[str]:
    """The keys that another record has to have, for the record to be contained in it."""
    return [key for key, _ in _fields(data) if key not in _OF_THE_PHONE and key != "name"]


def _fields(data: Data, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields that count, by their paths: not the empty ones, no lists."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{path}{key}.")
        elif value is not None and value != "" and not isinstance(value, list):
            yield path + key, value


def _may_contain(other: Data, key: str, value: Any) -> bool:
    if key in _OF_THE_PHONE:
        return True
    found = other.get(key)
    if key == "name" and not found:
        return True  # the phone gives it one
    if isinstance(value, str):
        return isinstance(found, str) and value.lower() in found.lower()
    return isinstance(found, (int, float)) and not isinstance(found, bool) and bool(value == found)
