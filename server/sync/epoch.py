"""Epochs: when the database a log lives in was restored, moved or lost some of it, its numbers start anew.

The numbers of an epoch begin well beyond all that the one before can have given out, so that a position a device
holds tells by itself which epoch it is from.
"""

import secrets

from server.db import Connection
from server.sync.queries import start_epoch

GAP = 10_000_000
"""Numbers left between two epochs: more than a restored database can have lost."""


async def begin_epoch(db: Connection) -> None:
    """Begins a new epoch: every device is answered from the start and offers its own events again."""
    await start_epoch(db, secrets.token_hex(8), GAP)
