"""Which pairs a phone would flag as duplicates, and then refuse to sync until somebody settles them.

It flags a record when every primitive field of it is contained, whatever the case, in another's. Numbers have to be
equal; a truth value never matches, so a record that holds one is never flagged. Whoever is flagged shares a name: of
which records that may be, the names alone tell, and a pair too many does no harm.
"""

from collections.abc import Iterator
from typing import Any

from server.sync.event import Data


def can_be_flagged(data: Data) -> bool:
    """Whether the record could be contained in any other at all."""
    values = list(_values(data))
    return bool(values) and not any(isinstance(value, bool) for value in values)


def _values(data: Data) -> Iterator[Any]:
    """The fields that count, those inside objects too: not the empty ones, no lists."""
    for value in data.values():
        if isinstance(value, dict):
            yield from _values(value)
        elif value is not None and value != "" and not isinstance(value, list):
            yield value
