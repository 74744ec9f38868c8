"""Taking what is said of erased persons out of events.

What stays is who is spoken of and what the event does to memberships: the fold needs that, and it tells nothing but
guids. The digest stays, too, so that the chain and receipts hold.
"""

from collections.abc import Iterable
from typing import Any, Final

from server.db import Connection
from server.entities.erasing import Persons, fields_without, texts_in, without
from server.sync import queries
from server.sync.event import ADD_MEMBER, LISTS_MEMBERS, REMOVE_MEMBER, RESOLVE_DUPLICATE, Data, Event
from server.sync.fold import Entity
from server.sync.records import digest_of

_PAIR: Final = ("entityGuid", "duplicateGuid")


def blank(event: Event, persons: Persons) -> bool:
    """Takes what is said of the persons out of the event; whether there was anything.

    The digest is computed before, where that was not done yet.
    """
    data, applied = _blanked(event, persons)
    if data is event.data and applied is event.applied:
        return False
    digest_of(event)
    event.data, event.applied, event.erased = data, applied, True
    return True


def blank_erased(events: Iterable[Event], entities: Iterable[Entity]) -> None:
    """Takes out of the events what they say of those of the entities that were erased."""
    persons = {entity.guid for entity in entities if entity.erased}
    for event in events if persons else ():
        blank(event, persons)


async def blank_arrived(db: Connection, events: Iterable[Event]) -> None:
    """Takes out of pushed events what they say of anybody erased, also where it is of no effect."""
    arrived = list(events)
    persons = await erased_among(db, (event.data for event in arrived))
    for event in arrived if persons else ():
        blank(event, persons)


async def erased_among(db: Connection, values: Iterable[Any]) -> set[str]:
    """The erased persons whose guids stand anywhere in the JSON values."""
    return await queries.list_erased(db, list({text for value in values for text in texts_in(value)}))


def _blanked(event: Event, persons: Persons) -> tuple[Data, Data | None]:
    if event.erases:
        return event.data, event.applied
    if event.entity_guid in persons:
        # An update that changed nothing must not come to count as one that did.
        return _same_or(event.data, _structure(event, persons)), None if event.applied else event.applied
    if _has_no_fields(event) and not set(persons).isdisjoint(event.mentions):
        return _same_or(event.data, _structure(event, persons)), event.applied
    applied = None if event.applied is None else fields_without(event.applied, persons)
    return fields_without(event.data, persons), applied


def _has_no_fields(event: Event) -> bool:
    """Whether nothing of its data but what stays in any case has an effect."""
    return event.type in (ADD_MEMBER, REMOVE_MEMBER, RESOLVE_DUPLICATE)


def _structure(event: Event, persons: Persons) -> Data:
    """What of an event's data says which entities belong together."""
    if event.type in LISTS_MEMBERS and event.data.get("members") is not None:
        return {"members": without(event.data["members"], persons)}
    if event.type == REMOVE_MEMBER:
        return {"memberId": event.data["memberId"]}
    if event.type == RESOLVE_DUPLICATE:
        pairs = [{key: pair[key] for key in _PAIR} for pair in event.data["duplicates"]]
        return {"duplicates": pairs, "shouldDelete": bool(event.data.get("shouldDelete"))}
    return {}


def _same_or(old: Data, new: Data) -> Data:
    return old if old == new else new
