"""Events and entities as rows of the database, and back."""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import orjson

from server.db.connection import Row
from server.entities.names import name_parts
from server.kit.strict_json import MAX_INTEGER, canonical_json_of_read
from server.sync.event import Event
from server.sync.fold import LIVE, Entity, Folded

_LONG_INTEGER = re.compile(r"[0-9]{16}")


def event_from(row: Row) -> Event:
    """An event from a row of the log."""
    return Event(
        guid=row["guid"],
        entity_guid=row["entity_guid"],
        type=row["type"],
        data=orjson.loads(row["data"]),
        timestamp=row["timestamp"],
        timestamp_ms=row["timestamp_ms"],
        effective_ms=row["effective_ms"],
        user_id=row["user_id"],
        applied=None if row["applied"] is None else orjson.loads(row["applied"]),
        base_seq=row["base_seq"],
        seq=row["seq"],
        erased=row["erased"],
        erases=row["erases"],
    )


def digest_of(event: Event) -> bytes:
    """SHA-256 over the RFC 8785 form of what was pushed. The chain links digests, so contents may be erased later."""
    if not event.digest:
        event.digest = _digest(event)
    return event.digest


def _digest(event: Event) -> bytes:
    # The keys stand in their canonical order. Texts have one form only: just the data has to be brought into its own.
    texts = {
        "entityGuid": event.entity_guid,
        "guid": event.guid,
        "timestamp": event.timestamp,
        "type": event.type,
        "userId": event.user_id,
    }
    return sha256(b'{"data":%b,%b' % (canonical_json_of_read(event.data), orjson.dumps(texts)[1:])).digest()


def entity_from(row: Row) -> Entity:
    """An entity from a row."""
    return Entity(
        guid=row["guid"],
        state=row["state"],
        created=row["created"],
        type=row["type"],
        name=row["name"],
        entity_name=row["entity_name"],
        external_id=row["external_id"],
        version=row["version"],
        data=_data(row["data"]),
        member_ids=row["member_ids"],
        parent_ids=row["parent_ids"],
        updated_ms=row["updated_ms"],
        newest=_tuple(row["newest"]),
        born=_tuple(row["born"]),
        deaths=row["deaths"],
        fed_seq=row["fed_seq"],
        erased=row["erased"],
    )


def _data(text: str) -> Any:
    """jsonb writes out every number, so a float beyond the integers that JSON keeps exactly comes back as one."""
    data = orjson.loads(text)
    return _with_floats(data) if _LONG_INTEGER.search(text) else data


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_floats(each) for each in value]
    return float(value) if isinstance(value, int) and abs(value) > MAX_INTEGER else value


def _tuple(text: str | None) -> Any:
    return None if text is None else tuple(orjson.loads(text))


def entity_rows(entities: Iterable[Entity]) -> str:
    """Entities as the JSON list that `write_push` and `insert_entities` take."""
    return orjson.dumps([_entity_row(entity) for entity in entities]).decode()


def _entity_row(entity: Entity) -> dict[str, object]:
    return {
        "guid": entity.guid,
        "state": entity.state,
        "created": entity.created,
        "type": entity.type,
        "name": entity.name,
        "entity_name": entity.entity_name,
        "external_id": entity.external_id,
        "version": entity.version,
        "data": entity.data,
        "member_ids": entity.member_ids,
        "parent_ids": entity.parent_ids,
        "updated_ms": entity.updated_ms,
        "newest": entity.newest,
        "born": entity.born,
        "deaths": entity.deaths,
        "fed_seq": entity.fed_seq,
        "erased": entity.erased,
        "name_parts": name_parts(entity.name) if entity.state == LIVE else [],
    }


def form_of(entity: Entity) -> str | None:
    """Under which form a live entity counts: its form's name, else its type; None for one that does not count."""
    return (entity.entity_name or entity.type) if entity.state == LIVE else None


def changed_outcomes(rows: Iterable[Row], folded: Folded) -> list[tuple[str, str, str]]:
    """Of events in the log: those whose outcome has become another, as (guid, outcome, reason)."""
    now = ((row, folded.outcomes[row["guid"]]) for row in rows)
    return [
        (row["guid"], outcome.kind, outcome.reason)
        for row, outcome in now
        if (outcome.kind, outcome.reason) != (row["outcome"], row["reason"])
    ]
