"""Which pairs a phone would flag as duplicates, and then refuse to sync until somebody settles them.

It flags a record when every primitive field of it is contained, whatever the case, in another's. Numbers have to be
equal; a truth value or a field inside an object never matches, so a record that holds one is never flagged.
"""

from typing import Any

from server.sync.event import Data


def can_be_flagged(data: Data) -> bool:
    """Whether the record could be contained in any other at all."""
    fields = _given(data)
    return bool(fields) and not any(isinstance(value, (bool, dict)) for value in fields.values())


def is_flagged(data: Data, other: Data) -> bool:
    """Whether a phone that applies the record flags it as a duplicate of the other one."""
    return all(_contained(value, other.get(key)) for key, value in _given(data).items())


def _given(data: Data) -> Data:
    """The fields that count: not the empty ones, not lists, and objects only if something in them counts."""
    return {key: value for key, value in data.items() if _counts(value)}


def _counts(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_counts(below) for below in value.values())
    return value is not None and value != "" and not isinstance(value, list)


def _contained(value: Any, other: Any) -> bool:
    if isinstance(value, str):
        return isinstance(other, str) and value.lower() in other.lower()
    return isinstance(other, (int, float)) and not isinstance(other, bool) and bool(value == other)
