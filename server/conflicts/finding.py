"""Finding conflicts: what a push wrote is compared with what others wrote that its device had not seen.

The entities of the push stay locked until its transaction ends, and this runs within it: whoever writes conflicts of an
entity holds its lock. The fold has decided already which value stands; nothing here changes an entity.

Conflicts are told by the log and by what devices had seen, so folding the log anew leaves them as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from server.conflicts import queries
from server.conflicts.writes import OWN_WRITERS, WRITERS, Turn, differ, survives, turn, written_by
from server.db import Connection
from server.db.connection import Row
from server.sync.event import CREATES, Data, Event, Place
from server.sync.fold import APPLIED, LIVE, Entity, own_fields
from server.sync.push import Pushed, Source
from server.sync.records import event_from

LONGEST_FIELD: Final = 256
"""Fields with longer names, in characters, are not compared."""

_Writers = dict[tuple[str, str], Event]
"""By entity and field: the event that writes it last."""


@dataclass(frozen=True, slots=True)
class _Side:
    seq: int
    place: Place
    account: str
    device_id: str

    def is_of(self, source: Source) -> bool:
        return (self.account, self.device_id) == (source.account, source.device_id)


@dataclass(frozen=True, slots=True)
class _Open:
    """A conflict that nobody has settled yet."""

    id: int
    entity_guid: str
    field: str
    sides: tuple[_Side, _Side]


async def note_conflicts(db: Connection, pushed: Pushed, source: Source) -> None:
    """Settles the conflicts that the push's events answer or whose entity is gone, then notes those that it makes.

    An event conflicts with the last of the events that another device wrote into the same field of the event's own
    entity and that its maker had not seen, if the values differ. Where it is not known what the maker had seen, nothing
    is claimed. A record that many have changed unseen is compared with the newest of these changes alone: see
    `queries.list_unseen` for the bounds. Runs in the push's transaction.
    """
    disputable = _disputable(pushed)
    open_ = [_open_from(row) for row in await queries.list_open_of(db, disputable)] if disputable else []
    behind = _behind(pushed)
    if not open_ and not behind:
        return
    writers = _last_writers(pushed, behind.keys() | {each.entity_guid for each in open_})
    settled = [row for each in open_ if (row := _settlement(each, pushed, writers, source))]
    if settled:
        await queries.settle(db, settled, at=source.at, by=source.account)
    if behind:
        await _note(db, behind, writers, pushed, source)


def _disputable(pushed: Pushed) -> list[str]:
    """The entities of which the push may have settled a conflict, if there is one."""
    knowing = {event.entity_guid for event in pushed.events if event.base_seq is not None and _writes(event, pushed)}
    ended = {guid for guid, entity in pushed.entities.items() if entity.state != LIVE or entity.deaths}
    return [guid for guid in knowing | ended if pushed.fed_before.get(guid)]


def _behind(pushed: Pushed) -> dict[str, int]:
    """The entities that have moved on since the maker of an event saw them, with the number up to which that was."""
    behind: dict[str, int] = {}
    for event in pushed.events:
        guid, base = event.entity_guid, event.base_seq
        if base is not None and pushed.fed_before.get(guid, 0) > base and _writes(event, pushed):
            behind[guid] = min(base, behind.get(guid, base))
    return behind


def _writes(event: Event, pushed: Pushed) -> bool:
    return event.type in OWN_WRITERS and pushed.outcomes[event.guid].kind == APPLIED.kind


def _last_writers(pushed: Pushed, guids: Iterable[str]) -> _Writers:
    wanted = set(guids)
    own = [event for event in pushed.events if event.entity_guid in wanted and _writes(event, pushed)]
    last: _Writers = {}
    for event in sorted(own, key=lambda event: _turn(event.place, pushed.entities[event.entity_guid])):
        entity = pushed.entities[event.entity_guid]
        if _survives(event.place, entity):
            last.update(
                ((entity.guid, name), event) for name in own_fields(event, entity.type) if len(name) <= LONGEST_FIELD
            )
    return last


# Noting


async def _note(db: Connection, behind: Mapping[str, int], writers: _Writers, pushed: Pushed, source: Source) -> None:
    rows = await queries.list_unseen(
        db,
        list(behind),
        list(behind.values()),
        before=pushed.events[0].seq,
        types=sorted(WRITERS),
        account=source.account,
        device_id=source.device_id,
    )
    unseen = _by_entity((event_from(row) for row in rows), [pushed.entities[guid] for guid in behind])
    found = []
    for (guid, name), event in writers.items():
        other = _rival(event, name, unseen.get(guid, ()))
        if other is not None:
            found.append((guid, name, event.guid, event.seq, other.guid, other.seq))
    if found:
        await queries.insert_conflicts(db, found, source.at)


def _by_entity(events: Iterable[Event], entities: Sequence[Entity]) -> dict[str, list[tuple[Event, Data]]]:
    """By entity: what each of the events wrote into it and no deletion took away, what stood last first."""
    of = {entity.guid: entity for entity in entities}
    types = {entity.guid: entity.type for entity in entities}
    found: dict[str, list[tuple[Event, Data]]] = {}
    for event in events:
        for guid, fields in written_by(event, types).items():
            if _survives(event.place, of[guid]):
                found.setdefault(guid, []).append((event, fields))
    return {guid: _last_first(writers, of[guid]) for guid, writers in found.items()}


def _last_first(writers: Iterable[tuple[Event, Data]], entity: Entity) -> list[tuple[Event, Data]]:
    return sorted(writers, key=lambda writer: _turn(writer[0].place, entity), reverse=True)


def _rival(event: Event, name: str, unseen: Iterable[tuple[Event, Data]]) -> Event | None:
    """Of the writers of the field that its maker had not seen: the one that stood last, if it says otherwise."""
    if event.base_seq is None:
        return None
    for other, fields in unseen:
        if name in fields and other.seq > event.base_seq:
            return other if differ(fields[name], event.fields[name]) else None
    return None


# Settling


def _settlement(
    conflict: _Open, pushed: Pushed, writers: _Writers, source: Source
) -> tuple[int, str, str | None] | None:
    """The conflict's id, its state from now on and the event that settled it; None while it is open."""
    entity = pushed.entities[conflict.entity_guid]
    if not all(_survives(side.place, entity) for side in conflict.sides):
        return conflict.id, queries.GONE, None
    event = writers.get((conflict.entity_guid, conflict.field))
    if event is None or event.base_seq is None:
        return None
    answered = [side for side in conflict.sides if _answers(event, event.base_seq, side, entity, source)]
    if len(answered) == 2 or any(side.is_of(source) for side in answered):
        return conflict.id, queries.SUPERSEDED, event.guid
    return None


def _answers(event: Event, base: int, side: _Side, entity: Entity, source: Source) -> bool:
    """Whether the event stands over one that its maker knew: had seen, or made.

    Who writes over what he himself wrote takes it out of its conflict; the other side is compared with the new event.
    """
    return (side.is_of(source) or side.seq <= base) and _turn(event.place, entity) > _turn(side.place, entity)


def _turn(place: Place, entity: Entity) -> Turn:
    return turn(place, deaths=entity.deaths, born=entity.born)


def _survives(place: Place, entity: Entity) -> bool:
    return survives(place, state=entity.state, deaths=entity.deaths, born=entity.born)


def _open_from(row: Row) -> _Open:
    sides = (_side_from(orjson.loads(row["event"])), _side_from(orjson.loads(row["other"])))
    return _Open(row["id"], row["entity_guid"], row["field"], sides)


def _side_from(told: dict[str, Any]) -> _Side:
    place = (told["effective_ms"], told["timestamp_ms"], 0 if told["type"] in CREATES else 1, told["guid"])
    return _Side(told["seq"], place, told["account"], told["device_id"])
