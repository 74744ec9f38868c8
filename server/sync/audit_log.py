"""The audit log of the devices: what each reports that it did to which entity."""

from collections.abc import Sequence
from typing import Any

import orjson

from server.db import Connection
from server.kit.clock import parse_iso
from server.kit.problem import FieldError
from server.sync import queries
from server.sync.push import Source

_TEXTS = ("guid", "timestamp", "action", "eventGuid", "entityGuid")
_MAX_TEXT = 256
_MOST = 10_000


def read_entries(raws: Sequence[Any]) -> tuple[list[dict[str, Any]], list[FieldError]]:
    """The entries that can be read, and what is wrong with the others."""
    entries, errors = [], []
    for index, raw in enumerate(raws):
        bad = _first_fault(raw)
        if bad is not None:
            errors.append(FieldError(f"auditLogs[{index}]{bad}", "is missing or not what an entry holds"))
        else:
            entries.append(raw)
    return entries, errors


def _first_fault(raw: Any) -> str | None:
    if not isinstance(raw, dict):
        return ""
    for key in _TEXTS:
        value = raw.get(key)
        if not isinstance(value, str) or len(value) > _MAX_TEXT or (key == "guid" and not value):
            return f".{key}"
    if not isinstance(raw.get("changes", {}), dict):
        return ".changes"
    return None if isinstance(raw.get("signature", ""), str) else ".signature"


async def insert(db: Connection, entries: Sequence[dict[str, Any]], source: Source) -> None:
    """Keeps the entries as the account's; one that is known is passed over."""
    unique = list({entry["guid"]: entry for entry in entries}.values())
    await queries.insert_audit_log(
        db,
        [
            [entry["guid"] for entry in unique],
            [entry["timestamp"] for entry in unique],
            [entry["action"] for entry in unique],
            [entry["eventGuid"] for entry in unique],
            [entry["entityGuid"] for entry in unique],
            [orjson.dumps(entry.get("changes", {})).decode() for entry in unique],
            [entry.get("signature", "") for entry in unique],
        ],
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )


async def list_since(db: Connection, since: str) -> list[dict[str, Any]]:
    """The entries that arrived since the time, at most ten thousand, oldest first. Raises ValueError.

    Arrival counts, not the device's time: an entry that is made earlier and sent later is not lost.
    """
    rows = await queries.list_audit_log(db, parse_iso(since) if since else None, _MOST)
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
