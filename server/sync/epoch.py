"""Epochs: when the database a log lives in was restored, moved or lost some of it, its numbers start anew.

The numbers of an epoch lie somewhere on a long axis, far from those of the epoch before. So a position that a device
holds tells by itself whether it is of the present epoch.
"""

import secrets

from server.db import Connection
from server.sync.queries import find_cluster, get_head, lock_head, note_cluster, start_epoch

GAP = 10_000_000
"""Numbers left on both sides of the epoch before: more than a restored database can have lost."""

LAST_BASE = 3_000_000_000
"""No epoch begins later: the axis that phones are given ends at some 3.1 thousand million."""


async def begin_epoch(db: Connection) -> None:
    """Begins a new epoch: every device is answered from the start. Pushes wait meanwhile."""
    await lock_head(db)
    head = await get_head(db)
    await start_epoch(db, secrets.token_hex(8), _base_far_from(head["base"], head["head"]))


def _base_far_from(base: int, head: int) -> int:
    """Anywhere on the axis but near the epoch before.

    Of epochs further back nothing is known, when one backup is restored twice for instance. So chance has to keep away
    from them: a position of theirs is taken for one of this epoch as rarely as the log is short beside the axis.
    """
    while base - GAP <= (chosen := secrets.randbelow(LAST_BASE)) <= base + head + GAP:
        pass
    return chosen


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
