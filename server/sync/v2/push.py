"""Push, for new clients."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from server.db import Connection
from server.kit.sight import EVERYTHING, Sight
from server.sync.event import Event
from server.sync.push import Source
from server.sync.receiving import Received, arrive, refusals_of, settle
from server.sync.v2.cursor import Head, check_epoch


async def receive(
    db: Connection,
    raws: Sequence[Any],
    source: Source,
    tolerance: timedelta,
    *,
    epoch: str | None,
    sight: Sight = EVERYTHING,
) -> tuple[Received, Head]:
    """Takes what a device pushed that knows the log of this epoch, or none. Raises sync.epoch-changed."""
    arrival = await arrive(db, raws, source, tolerance, in_full=True)
    head = Head(arrival.head["epoch"], arrival.head["head"])
    check_epoch(epoch, head)
    events = list(arrival.events)
    partial = {id(raw) for raw in raws if isinstance(raw, dict) and raw.get("erased") is True}
    erased = {id(event) for raw, event in zip(raws, arrival.read, strict=True) if id(raw) in partial}

    def may_differ(event: Event) -> bool:
        """Of an event out of which something was taken, a device holds and offers only what is left."""
        return id(event) in erased

    refusals = await refusals_of(db, arrival, events, tolerance, may_differ=may_differ, sight=sight)
    new = [event for event in events if event.guid not in arrival.known and id(event) not in refusals]
    for event in new:
        if event.base_seq is None:
            event.base_seq = arrival.head["served_seq"]
    return await settle(db, arrival, new, refusals, source, may_differ=may_differ), head
