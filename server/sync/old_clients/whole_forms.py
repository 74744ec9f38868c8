"""Whole forms: a phone's app sends every field of a record, also those that nobody touched.

Taken literally, two people who edit different fields of one record would undo each other. So of an update only those
fields count that differ from what the phone had before it: what it was last served, and its own events since.
"""

from collections.abc import Sequence
from typing import Any

from server.db import Connection
from server.kit.strict_json import canonical_json
from server.sync import queries
from server.sync.event import UPDATE_GROUP, UPDATES, Data, Event
from server.sync.fold import GROUP, LIVE, Entity, fold
from server.sync.push import Source
from server.sync.records import entity_from, event_from


async def narrow(db: Connection, events: Sequence[Event], source: Source, served: int) -> None:
    """Sets `applied` of each update to the fields that its device changed. `served`: the number it was served up to.

    The events are new to the log.
    """
    updates = [event for event in events if event.type in UPDATES and event.applied is None]
    if not updates:
        return
    seen = await _seen(db, sorted({event.entity_guid for event in updates}), source, served)
    for event in sorted(events, key=lambda event: event.place):
        if event.type in UPDATES and event.applied is None and event.entity_guid in seen:
            event.applied = changed_fields(_form(event), seen[event.entity_guid])
        if event.entity_guid in seen:
            seen[event.entity_guid] = {**seen[event.entity_guid], **event.fields}


def changed_fields(whole: Data, seen: Data) -> Data:
    """The fields of the form that are not as they were seen."""
    return {key: value for key, value in whole.items() if key not in seen or _differ(seen[key], value)}


def _differ(one: Any, other: Any) -> bool:
    """Whether they are not the same JSON. To Python alone, true would be 1."""
    return one != other or canonical_json(one) != canonical_json(other)


def _form(event: Event) -> Data:
    """The fields of a form: not its members, and not the mark by which a phone knows a group inside another."""
    form = {key: value for key, value in event.data.items() if key != "members"}
    if event.type == UPDATE_GROUP and form.get("type") == GROUP:
        del form["type"]
    return form


async def _seen(db: Connection, guids: list[str], source: Source, served: int) -> dict[str, Data]:
    """The data of the entities as the device had it; only of those that it had."""
    entities = [entity_from(row) for row in await queries.list_entities(db, guids)]
    seen = {each.guid: each.data for each in entities if each.fed_seq <= served and each.state == LIVE}
    moved = [each.guid for each in entities if each.fed_seq > served]
    if moved:
        rows = await queries.list_events_seen_by(db, moved, source.account, source.device_id, served)
        then: dict[str, Entity] = {}
        fold(then, [event_from(row) for row in rows])
        seen |= {guid: then[guid].data for guid in moved if guid in then and then[guid].state == LIVE}
    return seen
