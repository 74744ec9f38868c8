"""Phones as far as pages concern them, and what they have to show after all pages."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from server.sync.fold import GROUP, LIVE, Entity
from tests.old_client import DeviceClock, EntityPair, EntityStore, EventApplier, EventStore


class WorstStore(EntityStore):
    """What a real phone keeps. Of the flagged pairs of a record it drops but one per direction with the record."""

    def __init__(self) -> None:
        super().__init__()
        self.ever_flagged: set[tuple[str, str]] = set()

    def flag(self, entity_guid: str, duplicate_guid: str) -> None:
        self.ever_flagged.add((entity_guid, duplicate_guid))
        super().flag(entity_guid, duplicate_guid)

    def delete(self, guid: str) -> None:
        kept = self.open_pairs
        super().delete(guid)
        for side in (0, 1):
            for pair in [pair for pair in kept if pair[side] == guid][1:]:
                super().flag(*pair)


@dataclass
class Phone:
    """A phone as far as a page concerns it."""

    skew: timedelta = timedelta(0)
    entities: WorstStore = field(default_factory=WorstStore)

    def __post_init__(self) -> None:
        clock = DeviceClock(self.skew, source=lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self._applier = EventApplier(EventStore(), self.entities, clock)

    def apply(self, events: Iterable[dict[str, Any]]) -> None:
        """Takes events as a pull does: as JSON, in the order of their timestamps, none twice."""
        arrived = orjson.loads(orjson.dumps(list(events)))
        for each in sorted(arrived, key=lambda each: str(each["timestamp"])):
            self._applier.submit(each)

    def pair(self, guid: str) -> EntityPair | None:
        return self.entities.get(guid)

    def everything(self) -> dict[str, EntityPair]:
        return {pair.modified["guid"]: pair for pair in self.entities}


# What a phone has to show in the end


def assert_shows(phone: Phone, entities: dict[str, Entity], guids: Iterable[str]) -> None:
    for guid in guids:
        entity, pair = entities[guid], phone.pair(guid)
        if entity.state != LIVE:
            assert pair is None, guid
            continue
        assert pair is not None, guid
        shown = pair.modified
        assert not pair.has_local_changes
        assert shown["type"] == entity.type
        assert told_fields(shown["data"], entity) == told_fields(entity.data, entity), guid
        if entity.type == GROUP:
            expected = by_birth(entities, entity.member_ids)
            in_circle = {each for each in expected if guid in everything_below(entities, [entities[each]])}
            assert [each for each in expected if each not in in_circle] == [
                each for each in shown["memberIds"] if each not in in_circle
            ]
            assert set(shown["memberIds"]) <= set(expected)


def by_birth(entities: dict[str, Entity], guids: Iterable[str]) -> list[str]:
    return sorted(guids, key=lambda guid: entities[guid].born or ())


def told_fields(data: dict[str, Any], entity: Entity) -> dict[str, Any]:
    """The fields, without those that a phone cannot have as they are: a nameless record's name, a shared external id,
    and in a member's entry the keys that make it one."""
    kept_out = {"externalId"} if entity.external_id else set()
    kept_out |= {"type", "guid"} if entity.type == GROUP else set()
    kept_out |= {"name"} if not entity.data.get("name") else set()
    return {key: value for key, value in data.items() if key not in kept_out}


def everything_below(entities: dict[str, Entity], groups: Iterable[Entity]) -> dict[str, Entity]:
    found: dict[str, Entity] = {}
    open_ = [guid for group in groups for guid in group.member_ids]
    while open_:
        if (guid := open_.pop()) not in found:
            found[guid] = entities[guid]
            open_ += entities[guid].member_ids
    return found
