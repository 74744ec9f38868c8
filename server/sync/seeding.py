"""Events that the server itself makes, pushed like anybody's."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from server.db import Connection
from server.kit.clock import to_ms
from server.kit.problem import ProblemKind
from server.sync.event import Event
from server.sync.intake import read_event
from server.sync.old_clients.marks import CARRIERS
from server.sync.push import Pushed, Source, push

OWN_DEVICE = "server"

RESERVED = ProblemKind("events.reserved-guid", 422, "A record has an id that the server has reserved for itself.")


async def load_events(db: Connection, events: Sequence[dict[str, Any]], *, account: str, at: datetime) -> Pushed:
    """Pushes events in the contract's form. Those that are known are passed over, so loading twice adds nothing.

    Raises ValueError for one that is no event: what the server makes has to be right.
    """
    return await push(db, [_event(raw, at) for raw in events], Source(account, OWN_DEVICE, at))


def _event(raw: dict[str, Any], at: datetime) -> Event:
    event = read_event(raw, arrival_ms=to_ms(at), tolerance=timedelta())
    if not isinstance(event, Event):
        raise ValueError(f"event {event.guid}: {event.path} {event.detail}")
    if not CARRIERS.isdisjoint(event.mentions):
        raise RESERVED()
    return event
