"""Quarantine: what was sent and cannot be taken is kept with its reason and its own words, for a person to correct."""

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any

import orjson

from server.db import Connection
from server.entities.erasing import raw_without
from server.sync import queries
from server.sync.erasing import erased_among
from server.sync.intake import Refusal
from server.sync.push import Source


async def keep(db: Connection, refused: Sequence[tuple[Any, Refusal]], source: Source) -> None:
    """Keeps what was refused; the same sent again is kept once."""
    if not refused:
        return
    persons = await erased_among(db, (raw for raw, _ in refused))
    # In one order for all: two devices that send the same never wait for each other in a circle.
    entries = sorted((_entry(raw, refusal, persons) for raw, refusal in refused), key=lambda entry: entry[0])
    refusals = [refusal for _, _, refusal in entries]
    texts = [text for _, text, _ in entries]
    await queries.insert_quarantine(
        db,
        [
            [digest for digest, _, _ in entries],
            [refusal.guid for refusal in refusals],
            [refusal.code for refusal in refusals],
            [refusal.path for refusal in refusals],
            [refusal.detail for refusal in refusals],
            [text.decode() for text in texts],
        ],
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )


def _entry(raw: Any, refusal: Refusal, persons: Collection[str]) -> tuple[bytes, bytes, Refusal]:
    """Its digest is that of what was sent, also where nothing is kept of what it says of somebody erased."""
    text = orjson.dumps(raw)
    kept = orjson.dumps(raw_without(raw, persons)) if persons else text
    return sha256(text).digest(), kept, refusal
