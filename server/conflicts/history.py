"""The history of an entity, field by field, from the events that speak of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from server.conflicts.writes import differ, survives, turn, written_by
from server.db.connection import Row
from server.kit.clock import iso_ms
from server.sync.event import REMOVE_MEMBER, Data, Event
from server.sync.fold import APPLIED, Entity
from server.sync.records import event_from

MOST_FIELDS: Final = 1_000
"""Of one event that writes more fields, the first ones are told."""

MOST_UNSEEN: Final = 20
_LOOKED_AT: Final = 100
"""Unseen events are looked for among so many that came before, and so many told, the newest ones."""

MOST_WRITES: Final = 10_000
"""A page ends with the event with which it has as many writes."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Write:
    """One value of one field. `base` is up to which number its maker had seen the entity, as far as is known."""

    event: Event
    row: Row
    value: Any
    base: int | None

    @property
    def is_applied(self) -> bool:
        return bool(self.row["outcome"] == APPLIED.kind)

    @property
    def device(self) -> tuple[str, str]:
        return self.row["account"], self.row["device_id"]


@dataclass(slots=True)
class Page:
    """What events that speak of an entity did to it. `last` is the last of them, from which the next page goes on."""

    writes: dict[str, list[_Write]] = field(default_factory=dict)
    memberships: list[Json] = field(default_factory=list)
    deletions: list[Json] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    last: Row | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], entity: Entity) -> "Page":
        """The page of the events, given in the order of their places; it may end before the last of them."""
        page = cls()
        taken = []
        number = 0
        for row in rows:
            event = event_from(row)
            fields = dict(
                list(written_by(event, {entity.guid: entity.type}).get(entity.guid, {}).items())[:MOST_FIELDS]
            )
            taken.append((event, row, fields))
            page.last = row
            number += len(fields)
            if number >= MOST_WRITES:
                break
        for event, row, fields in sorted(
            taken, key=lambda each: turn(each[0].place, deaths=entity.deaths, born=entity.born)
        ):
            page._take(event, row, fields, entity.guid)
        return page

    def _take(self, event: Event, row: Row, fields: Data, guid: str) -> None:
        self.events.append(event.guid)
        base = event.base_seq if event.entity_guid == guid else None
        for name, value in fields.items():
            self.writes.setdefault(name, []).append(_Write(event, row, value, base))
        self.memberships.extend(_happened(row) | change for change in _membership_changes(event, guid))
        if event.deletes and event.entity_guid == guid:
            self.deletions.append(_happened(row))

    def fields(self, entity: Entity, written_later: set[str], conflicts: Mapping[tuple[str, str], int]) -> Json:
        """By field, its writes. `conflicts` gives the number of one by event and field."""
        told: Json = {}
        for name, writes in self.writes.items():
            standing = None if name in written_later else _standing(name, writes, entity)
            unseen = _unseen(writes)
            told[name] = [
                _happened(write.row)
                | {
                    "value": write.value,
                    "stood": write is standing,
                    "unseen": unseen[write.event.guid],
                    "conflict": conflicts.get((write.event.guid, name)),
                }
                for write in writes
            ]
        return told


def _unseen(writes: Sequence[_Write]) -> dict[str, list[str]]:
    """By event, those that its maker is known not to have seen, of what other devices had pushed by then."""
    arrived = sorted(writes, key=lambda write: write.event.seq)
    unseen = {}
    for index, write in enumerate(arrived):
        before = arrived[max(0, index - _LOOKED_AT) : index]
        unseen[write.event.guid] = [each.event.guid for each in before if _had_not_seen(write, each)][-MOST_UNSEEN:]
    return unseen


def _had_not_seen(write: _Write, other: _Write) -> bool:
    return write.base is not None and write.base < other.event.seq and other.is_applied and other.device != write.device


def _standing(name: str, writes: Sequence[_Write], entity: Entity) -> _Write | None:
    """The last write that took effect, if its value is what the field holds."""
    for write in reversed(writes):
        if write.is_applied and survives(write.event.place, state=entity.state, deaths=entity.deaths, born=entity.born):
            return write if name in entity.data and not differ(entity.data[name], write.value) else None
    return None


def _membership_changes(event: Event, guid: str) -> Iterator[Json]:
    """What the event says about who belongs to the entity, and what the entity belongs to."""
    if event.type == REMOVE_MEMBER:
        member = str(event.data["memberId"])
        if guid in (event.entity_guid, member):
            yield {"group": event.entity_guid, "change": "removed", "members": [member]}
        return
    joined: dict[str, dict[str, None]] = {}
    for group, member in event.joins:
        if guid in (group, member):
            joined.setdefault(group, {})[member] = None
    for group, members in joined.items():
        yield {"group": group, "change": "added", "members": list(members)}


def _happened(row: Row) -> Json:
    return {
        "event": row["guid"],
        "seq": row["seq"],
        "at": row["timestamp"],
        "receivedAt": iso_ms(row["received_at"]),
        "account": row["account"],
        "deviceId": row["device_id"],
        "userId": row["user_id"],
        "outcome": row["outcome"],
        "reason": row["reason"],
    }
