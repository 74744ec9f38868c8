"""Push, for new clients."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from server.db import Connection
from server.sync.push import Source
from server.sync.receiving import Received, arrive, refusals_of, settle
from server.sync.v2.cursor import Head, check_epoch


async def receive(
    db: Connection, raws: Sequence[Any], source: Source, tolerance: timedelta, *, epoch: str | None
) -> tuple[Received, Head]:
    """Takes what a device pushed that knows the log of this epoch, or none. Raises sync.epoch-changed."""
    arrival = await arrive(db, raws, source, tolerance, says_base=True)
    head = Head(arrival.head["epoch"], arrival.head["head"])
    check_epoch(epoch, head)
    events = list(arrival.events)
    refusals = await refusals_of(db, arrival, events, tolerance, may_differ=lambda event: False)
    new = [event for event in events if event.guid not in arrival.known and id(event) not in refusals]
    return await settle(db, arrival, new, refusals, source), head
