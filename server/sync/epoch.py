"""Epochs: when the database a log lives in was restored, moved or lost some of it, its numbers start anew.

The numbers of an epoch begin well beyond all that the one before can have given out, so that a position a device
holds tells by itself which epoch it is from.
"""

import secrets

from server.db import Connection
from server.sync.queries import get_head, start_epoch

GAP = 10_000_000
"""Numbers left between two epochs: more than a restored database can have lost."""

LAST_BASE = 3_000_000_000
"""No epoch begins later: the axis that phones are given ends at some 3.1 thousand million."""


async def begin_epoch(db: Connection) -> None:
    """Begins a new epoch: every device is answered from the start and offers its own events again.

    Where it begins is partly chance, so that two restores of one backup do not begin at the same number.
    """
    head = await get_head(db)
    base = head["base"] + head["head"] + GAP + secrets.randbelow(GAP)
    await start_epoch(db, secrets.token_hex(8), base if base < LAST_BASE else secrets.randbelow(GAP))
