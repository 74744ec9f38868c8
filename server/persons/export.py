"""All that is held about a person, as one JSON document that is put together while it is sent.

Of what others' events say, only what they say of her: the rest is other people's.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from server.app_configs.seeds import rows_of
from server.db import Connection, scoped
from server.db.connection import Opening, Row
from server.entities.erasing import parts_about
from server.kit.clock import from_ms, iso_ms
from server.persons import queries, traces
from server.persons.preview import look_up
from server.persons.traces import Sought
from server.tenants.model import Tenant

_EVENTS: Final = 25
"""How many events are held at once: one can be as large as a request."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Export:
    """Whose data is told, from which tenant, as it is then. `reading` opens a transaction in the tenant's scope."""

    tenant: Tenant
    guid: str
    at: datetime
    reading: Opening

    async def pieces(self) -> AsyncIterator[bytes]:
        """The document. No transaction is open while a piece is on its way."""
        head = {"guid": self.guid, "exportedAt": iso_ms(self.at), "organization": self.tenant.config_id}
        async with self.reading() as db:
            head |= await _standing(db, self.guid)
            seqs = sorted(await traces.events_of(db, Sought([self.guid])))
        yield orjson.dumps(head)[:-1] + b',"events":['
        for start in range(0, len(seqs), _EVENTS):
            async with self.reading() as db:
                rows = await queries.list_events(db, seqs[start : start + _EVENTS])
            listed = b",".join(orjson.dumps(_event(row, self.guid)) for row in rows)
            yield (b"," if start else b"") + listed
        for name, read in _SECTIONS.items():
            async with self.reading() as db:
                listed = b",".join([orjson.dumps(each) async for each in read(db, self.tenant, self.guid)])
            yield b'],"%b":[%b' % (name.encode(), listed)
        yield b"]}\n"


async def _standing(db: Connection, guid: str) -> Json:
    known = await look_up(db, guid)
    entity = known.entity
    return {
        "erased": known.erasure.model_dump() if known.erasure else None,
        "present": None if entity is None else _entity(entity),
        "groups": [dict(row) for row in await queries.list_named(db, entity["parent_ids"] if entity else [])],
        "members": [dict(row) for row in await queries.list_named(db, entity["member_ids"] if entity else [])],
        "externalIds": [
            {"system": row["system"], "externalId": row["external_id"], "version": row["version"]}
            for row in await queries.list_external_ids(db, [guid])
        ],
    }


def _entity(row: Row) -> Json:
    return {
        "state": row["state"],
        "type": row["type"],
        "form": row["form"],
        "name": row["name"],
        "externalId": row["external_id"],
        "data": orjson.loads(row["data"]),
        "version": row["version"],
        "lastUpdated": iso_ms(from_ms(row["updated_ms"])),
    }


def _event(row: Row, guid: str) -> Json:
    told = {
        "guid": row["guid"],
        "seq": row["seq"],
        "entityGuid": row["entity_guid"],
        "type": row["type"],
        "timestamp": row["timestamp"],
        "receivedAt": iso_ms(row["received_at"]),
        "userId": row["user_id"],
        "account": row["account"],
        "deviceId": row["device_id"],
        "outcome": row["outcome"],
        "reason": row["reason"],
    }
    data = orjson.loads(row["data"])
    if row["entity_guid"] != guid:
        return told | {"parts": list(parts_about(data, guid))}
    return told | {"data": data} | ({"applied": orjson.loads(row["applied"])} if row["applied"] else {})


async def _conflicts(db: Connection, _: Tenant, guid: str) -> AsyncIterator[Json]:
    for row in await queries.list_conflicts(db, guid):
        yield {
            "id": row["id"],
            "field": row["field"],
            "event": row["event_guid"],
            "other": row["other_guid"],
            "foundAt": iso_ms(row["found_at"]),
            "state": row["state"],
            "settledBy": row["settled_by"],
            "settledWith": row["settled_with"],
        }


async def _duplicates(db: Connection, _: Tenant, guid: str) -> AsyncIterator[Json]:
    for row in await queries.list_pairs(db, guid):
        yield {
            "entityGuid": row["entity_guid"],
            "duplicateGuid": row["duplicate_guid"],
            "rule": row["rule"],
            "state": row["state"],
            "foundAt": iso_ms(row["found_at"]),
            "settledBy": row["settled_by"],
        }


async def _quarantine(db: Connection, _: Tenant, guid: str) -> AsyncIterator[Json]:
    async for rows in traces.quarantined(db, Sought([guid])):
        for row in rows:
            yield {
                "id": row["id"],
                "guid": row["guid"],
                "code": row["code"],
                "path": row["path"],
                "detail": row["detail"],
                "account": row["account"],
                "deviceId": row["device_id"],
                "receivedAt": iso_ms(row["received_at"]),
                "parts": list(parts_about(orjson.loads(row["raw"]), guid)),
            }


async def _audit(db: Connection, _: Tenant, guid: str) -> AsyncIterator[Json]:
    async for rows in traces.audited(db, Sought([guid])):
        for row in rows:
            changes = orjson.loads(row["changes"])
            is_hers = row["entity_guid"] == guid
            yield {
                "guid": row["guid"],
                "timestamp": row["timestamp"],
                "userId": row["user_id"],
                "action": row["action"],
                "eventGuid": row["event_guid"],
                "entityGuid": row["entity_guid"],
                "deviceId": row["device_id"],
                "receivedAt": iso_ms(row["received_at"]),
                **({"changes": changes} if is_hers else {"parts": list(parts_about(changes, guid))}),
            }


async def _configs(db: Connection, tenant: Tenant, guid: str) -> AsyncIterator[Json]:
    sought = Sought([guid])
    any_seeded = bool(await traces.seeded(db, sought))
    async with scoped(db, None):
        for number in await traces.configs(db, sought, tenant.id, any_seeded=any_seeded):
            document = orjson.loads(await queries.read_config(db, tenant.id, number) or b"{}")
            for row in rows_of(document, guid):
                yield {"config": number, **row}


async def _acts(db: Connection, _: Tenant, guid: str) -> AsyncIterator[Json]:
    async for rows in traces.acts(db, Sought([guid])):
        for row in rows:
            yield {
                "id": row["id"],
                "at": iso_ms(row["at"]),
                "actor": row["actor"],
                "action": row["action"],
                "subject": row["subject"],
                "details": orjson.loads(row["details"]),
            }


_SECTIONS: Final[dict[str, Callable[[Connection, Tenant, str], AsyncIterator[Json]]]] = {
    "conflicts": _conflicts,
    "duplicates": _duplicates,
    "quarantine": _quarantine,
    "deviceAudit": _audit,
    "configs": _configs,
    "acts": _acts,
}
