"""Writing a copy: the lines that a device is sent when it pulls the whole log.

The log is read piece by piece, up to the head that stood at the beginning, each piece in a transaction of its own. What
lies below a head that was seen is never written again, so the pieces fit together.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

from server.db.connection import Opening, Row
from server.kit.clock import iso_ms
from server.sync import queries
from server.sync.v2.cursor import find_head

_EVENTS: Final = 2_000
_EVENT_BYTES: Final = 4 * 1024 * 1024


async def copy_log(reading: Opening) -> AsyncIterator[tuple[bytes, int, int]]:
    """The log as lines of JSON, in pieces: each with the number up to which it goes, and that of the head.

    A line is `{"event": …}`, with `applied` where less than the event's data took effect, and with `erased` and the
    `digest` of what was pushed where something was taken out of it. The last one, which tells a copy that is whole from
    one that broke off, is `{"cursor": …, "more": false}`.
    """
    async with reading() as db:
        head = await find_head(db)
    done = 0
    while done < head.seq:
        async with reading() as db:
            rows = await queries.list_piece(db, done, head.seq, _EVENTS, _EVENT_BYTES)
        if not rows:
            break
        done = rows[-1]["seq"]
        yield b"".join(_line({"event": _event(row)}) for row in rows), done, head.seq
    yield _line({"cursor": head.cursor_at(head.seq), "more": False}), head.seq, head.seq


def _event(row: Row) -> dict[str, Any]:
    more: dict[str, Any] = {} if row["applied"] is None else {"applied": orjson.Fragment(row["applied"])}
    if row["erased"]:
        more |= {"erased": True, "digest": row["digest"].hex()}
    if row["erases"]:
        more["erases"] = True
    return {
        "guid": row["guid"],
        "entityGuid": row["entity_guid"],
        "type": row["type"],
        "data": orjson.Fragment(row["data"]),
        **more,
        "timestamp": row["timestamp"],
        "userId": row["user_id"],
        "seq": row["seq"],
        "receivedAt": iso_ms(row["received_at"]),
        "deviceId": row["device_id"],
        "account": row["account"],
        "outcome": row["outcome"],
        "reason": row["reason"],
    }


def _line(value: object) -> bytes:
    return orjson.dumps(value) + b"\n"
