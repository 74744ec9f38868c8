"""Push, for new clients."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from server.db import Connection
from server.sync.event import Event
from server.sync.push import Source
from server.sync.receiving import Received, arrive, refusals_of, settle
from server.sync.v2.cursor import Head, check_epoch


async def receive(
    db: Connection, raws: Sequence[Any], source: Source, tolerance: timedelta, *, epoch: str | None
) -> tuple[Received, Head]:
    """Takes what a device pushed that knows the log of this epoch, or none. Raises sync.epoch-changed."""
    arrival = await arrive(db, raws, source, tolerance, in_full=True)
    head = Head(arrival.head["epoch"], arrival.head["head"])
    check_epoch(epoch, head)
    events = list(arrival.events)
    refusals = await refusals_of(db, arrival, events, tolerance, may_differ=_never)
    new = [event for event in events if event.guid not in arrival.known and id(event) not in refusals]
    for event in new:
        if event.base_seq is None:
            event.base_seq = arrival.head["served_seq"]
    return await settle(db, arrival, new, refusals, source, may_differ=_never), head


def _never(_: Event) -> bool:
    return False
