"""The audit log of the devices: what each reports that it did to which entity."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import orjson

from server.db import Connection
from server.entities.erasing import without
from server.kit.clock import parse_iso
from server.sync import queries
from server.sync.erasing import erased_among
from server.sync.intake import Refusal
from server.sync.push import Source
from server.sync.quarantine import keep

_TEXTS = ("guid", "timestamp", "action", "eventGuid", "entityGuid")
_MAX_TEXT = 256
_MOST = 10_000


def read_entry(raw: Any) -> Refusal | None:
    """What is wrong with an entry, if anything. What it says of the change itself may be any JSON."""
    guid = raw.get("guid") if isinstance(raw, dict) else None
    path = _bad_place(raw)
    if path is None:
        return None
    return Refusal(
        guid if isinstance(guid, str) else "", "audit-log.invalid", path, "is missing or not what an entry holds"
    )


def _bad_place(raw: Any) -> str | None:
    if not isinstance(raw, dict):
        return ""
    for key in _TEXTS:
        value = raw.get(key)
        if not isinstance(value, str) or len(value) > _MAX_TEXT or (key == "guid" and not value):
            return key
    signature = raw.get("signature")
    return None if signature is None or isinstance(signature, str) else "signature"


async def receive(db: Connection, raws: Sequence[Any], source: Source) -> None:
    """Keeps what phones report as the account's; one entry that cannot be read is put aside and holds up no other."""
    read = [(raw, read_entry(raw)) for raw in raws]
    await insert(db, [raw for raw, refusal in read if refusal is None], source)
    await keep(db, [(raw, refusal) for raw, refusal in read if refusal is not None], source)


async def insert(db: Connection, entries: Sequence[dict[str, Any]], source: Source) -> None:
    """Keeps the entries as the account's; one that is known is passed over."""
    unique = list({entry["guid"]: entry for entry in entries}.values())
    if persons := await erased_among(db, unique):
        unique = [entry_without(entry, persons) for entry in unique]
    await queries.insert_audit_log(
        db,
        [
            [entry["guid"] for entry in unique],
            [entry["timestamp"] for entry in unique],
            [entry["action"] for entry in unique],
            [entry["eventGuid"] for entry in unique],
            [entry["entityGuid"] for entry in unique],
            [orjson.dumps(entry.get("changes", {})).decode() for entry in unique],
            [entry.get("signature") or "" for entry in unique],
        ],
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )


def entry_without(entry: dict[str, Any], persons: Collection[str]) -> dict[str, Any]:
    """The entry without what it says of the persons."""
    changes = entry.get("changes", {})
    left = {} if entry["entityGuid"] in persons else without(changes, persons)
    return entry if left is changes else {**entry, "changes": left, "signature": ""}


async def list_since(db: Connection, since: str, at: datetime) -> list[dict[str, Any]]:
    """The entries that arrived since the time, at most ten thousand, oldest first. Raises ValueError.

    Arrival counts, not the device's time: an entry that is made earlier and sent later is not lost. A time that is
    still to come at `at` is that of a wrong clock, and everything is answered.
    """
    begin = parse_iso(since) if since else None
    rows = await queries.list_audit_log(db, begin if begin is not None and begin <= at else None, _MOST)
    return [
        {
            "guid": row["guid"],
            "timestamp": row["timestamp"],
            "userId": row["user_id"],
            "action": row["action"],
            "eventGuid": row["event_guid"],
            "entityGuid": row["entity_guid"],
            "changes": orjson.loads(row["changes"]),
            "signature": row["signature"],
        }
        for row in rows
    ]
