"""Epochs: when the database a log lives in was restored, moved or lost some of it, its numbers start anew.

The numbers of an epoch begin well beyond all that the one before can have given out, so that a position a device
holds tells by itself which epoch it is from.
"""

import secrets

from server.db import Connection
from server.sync.queries import find_cluster, get_head, lock_head, note_cluster, start_epoch

GAP = 10_000_000
"""Numbers left between two epochs: more than a restored database can have lost."""

LAST_BASE = 3_000_000_000
"""No epoch begins later: the axis that phones are given ends at some 3.1 thousand million."""


async def begin_epoch(db: Connection) -> None:
    """Begins a new epoch: every device is answered from the start.

    Where it begins is partly chance, so that two restores of one backup do not begin at the same number. Pushes wait
    meanwhile.
    """
    await lock_head(db)
    head = await get_head(db)
    base = head["base"] + head["head"] + GAP + secrets.randbelow(GAP)
    await start_epoch(db, secrets.token_hex(8), base if base < LAST_BASE else secrets.randbelow(GAP))


async def follow_cluster(db: Connection, present: str, before: str | None) -> bool:
    """Begins a new epoch if the log was in another cluster than the present one; answers whether it was.

    `before` is where a log was that has noted no cluster; where that is unknown too, the present one is only noted.
    Pushes wait meanwhile, and so does whoever else does this: only the first begins an epoch.
    """
    await lock_head(db)
    was = await find_cluster(db) or before
    await note_cluster(db, present)
    if was is None or was == present:
        return False
    await begin_epoch(db)
    return True
