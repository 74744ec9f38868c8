"""Quarantine: what was sent and cannot be taken is kept with its reason and its own words, for a person to correct."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson

from server.db import Connection
from server.sync import queries
from server.sync.intake import Refusal
from server.sync.push import Source


async def keep(db: Connection, refused: Sequence[tuple[Any, Refusal]], source: Source) -> None:
    """Keeps what was refused; the same sent again is kept once."""
    if not refused:
        return
    texts = [orjson.dumps(raw) for raw, _ in refused]
    refusals = [refusal for _, refusal in refused]
    await queries.insert_quarantine(
        db,
        [
            [sha256(text).digest() for text in texts],
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
