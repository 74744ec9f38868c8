"""Noticing that another device and this one wrote the same field without having seen each other."""

from collections.abc import Iterator

from server.device import overlay, queries
from server.device.model import Conflict, Data, Event
from server.device.shapes import CREATES, DELETE_ENTITY, UPDATES
from server.device.store import Store, event_from

NO_FIELDS = frozenset({"members"})


def note(store: Store, theirs: Event, their_base: int | None) -> list[Conflict]:
    """Compares an event of another device with this device's own. Answers the conflicts that are new.

    `their_base` is the version of the entity that its maker had, where that is known.
    """
    if theirs.type == DELETE_ENTITY or not _fields(theirs):
        settle(store, theirs)
        return []
    found = []
    with store.transaction() as db:
        for mine in map(event_from, queries.list_own_events_of(db, theirs.entity_guid)):
            if _has_seen(their_base, mine):
                _settle_fields(store, theirs, _fields(mine))
            elif _is_unseen(mine, theirs, their_base):
                found += [_conflict(store, field, mine, theirs) for field in _differing(mine, theirs)]
        return [
            conflict
            for conflict in found
            if queries.insert_conflict(
                db, (theirs.entity_guid, conflict.field, conflict.mine.guid, conflict.theirs.guid)
            )
        ]


def _has_seen(base: int | None, event: Event) -> bool:
    return base is not None and event.seq is not None and base >= event.seq


def _is_unseen(mine: Event, theirs: Event, their_base: int | None) -> bool:
    """Whether neither maker can have seen the other's event. Of one that came later and names no base, nobody knows."""
    if _has_seen(mine.base_version, theirs):
        return False
    is_later = mine.seq is not None and theirs.seq is not None and theirs.seq > mine.seq
    return their_base is not None or not is_later


def _differing(mine: Event, theirs: Event) -> Iterator[str]:
    """Fields that both wrote, otherwise. A change whose base nobody knows is in conflict with nothing."""
    if mine.base_version is None:
        return
    own, other = _fields(mine), _fields(theirs)
    yield from (field for field in own.keys() & other.keys() if own[field] != other[field])


def _fields(event: Event) -> Data:
    if event.type not in CREATES | UPDATES:
        return {}
    return {field: value for field, value in event.data.items() if field not in NO_FIELDS}


def settle(store: Store, event: Event) -> None:
    """A field that is written by someone who has seen both values is in conflict no more; nor is a deleted entity."""
    with store.transaction() as db:
        if event.type == DELETE_ENTITY:
            queries.settle_conflicts_of(db, event.entity_guid)
    _settle_fields(store, event, _fields(event))


def _settle_fields(store: Store, event: Event, fields: Data) -> None:
    with store.transaction() as db:
        for field in fields.keys() & _fields(event).keys():
            queries.settle_conflicts(db, event.entity_guid, field)


def list_open(store: Store) -> list[Conflict]:
    with store.transaction() as db:
        found = []
        for row in queries.list_conflicts(db):
            mine, theirs = queries.find_event(db, row["mine"]), queries.find_event(db, row["theirs"])
            if mine is not None and theirs is not None:
                found.append(_conflict(store, row["field"], event_from(mine), event_from(theirs)))
        return found


def _conflict(store: Store, field: str, mine: Event, theirs: Event) -> Conflict:
    entity = overlay.find(store, mine.entity_guid)
    stands = None if entity is None else entity.data.get(field)
    return Conflict(mine.entity_guid, field, mine, theirs, stands)
