"""Push, for phones: pages that come back are passed over, whole forms are cut, the rest goes the way of all pushes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from server.db import Connection
from server.kit.sight import EVERYTHING, Sight
from server.sync.event import Event
from server.sync.old_clients.axis import position_of
from server.sync.old_clients.marks import is_carrier
from server.sync.old_clients.whole_forms import narrow
from server.sync.push import Source
from server.sync.receiving import Received, arrive, refusals_of, settle


async def receive(
    db: Connection, raws: Sequence[Any], source: Source, tolerance: timedelta, sight: Sight = EVERYTHING
) -> Received:
    """Takes what a phone pushed. A page's own carriers that come back count as known."""
    arrival = await arrive(db, raws, source, tolerance)
    own = [event for event in arrival.events if not is_carrier(event, arrival.head["carrier_key"])]
    refusals = await refusals_of(db, arrival, own, tolerance, may_differ=_was_served, sight=sight)
    new = [event for event in own if event.guid not in arrival.known and id(event) not in refusals]
    if (served := arrival.head["served_seq"]) is not None:
        await narrow(db, new, source, served)
        for event in new:
            event.base_seq = served
    return await settle(db, arrival, new, refusals, source, may_differ=_was_served)


def _was_served(event: Event) -> bool:
    """Whether it comes from a page, where events of custom types have the page's time: a phone offers them again."""
    return position_of(event.timestamp) is not None
