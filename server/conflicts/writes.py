"""What events write into entities, and in which order it counts."""

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Final

from server.kit.strict_json import canonical_json
from server.sync.event import ADD_MEMBER, CREATES, UPDATES, Data, Event, Place
from server.sync.fold import GROUP, LIVE, Birth, entry_fields, own_fields

OWN_WRITERS: Final = CREATES | UPDATES
"""The types of events that write fields of their own entity."""

WRITERS: Final = OWN_WRITERS | {ADD_MEMBER}
"""The types of events that write fields of any entity."""

_PLAIN: Final = (str, int, float, NoneType)

Turn = tuple[Place, bool, Place]


def written_by(event: Event, types: Mapping[str, str]) -> dict[str, Data]:
    """By entity, the fields that the event writes into it; `types` names the entities asked for, with their types.

    Whoever is listed as a member is written into, too, at any depth.
    """
    written: dict[str, Data] = {}
    if event.type in OWN_WRITERS and event.entity_guid in types:
        written[event.entity_guid] = own_fields(event, types[event.entity_guid])
    for entry in _entries(event.members):
        guid = entry["guid"]
        if guid in types and guid != event.entity_guid:
            written[guid] = {**written.get(guid, {}), **entry_fields(entry, types[guid])}
    return written


def turn(place: Place, *, deaths: int, born: Birth | None) -> Turn:
    """What to sort writers of a field by, so that the last one stands. `born` is where their entity came into being.

    A change that stands before that waited for it and counts right after it, unless the entity had lived before.
    """
    birth: Place = place if born is None or deaths else born[:4]
    return max(place, birth), place < birth, place


def survives(place: Place, *, state: str, deaths: int, born: Birth | None) -> bool:
    """Whether what was written at the place is there still, or was until it was written over.

    A deletion takes everything that was written before it away, also from an entity that is created again.
    """
    return state == LIVE and (deaths == 0 or (born is not None and place >= born[:4]))


def differ(one: Any, other: Any) -> bool:
    """Whether they are not the same JSON value."""
    if type(one) is type(other) and isinstance(one, _PLAIN):
        return bool(one != other)
    return canonical_json(one) != canonical_json(other)


def _entries(entries: list[Data]) -> Iterator[Data]:
    for entry in entries:
        yield entry
        if entry.get("type") == GROUP:
            yield from _entries(entry.get("members") or [])
