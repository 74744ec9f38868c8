"""Devices that edit records, as far as conflicts concern them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from server.conflicts.finding import note_conflicts
from server.sync.event import CREATE_INDIVIDUAL, UPDATE_INDIVIDUAL, Data, Event
from server.sync.push import Pushed, Source
from server.sync.push import push as push_events
from tests.server.sync.conftest import AT, Log
from tests.server.sync.strategies import SECOND

_numbers = count(1)


def edit(
    entity: str,
    data: Data,
    *,
    at: int,
    base: int | None,
    guid: str = "",
    type_: str = UPDATE_INDIVIDUAL,
    applied: Data | None = None,
) -> Event:
    """An event `at` so many seconds, by somebody who had seen the entity up to the number `base`."""
    return Event(
        guid=guid or f"event-{next(_numbers)}",
        entity_guid=entity,
        type=type_,
        data=data,
        timestamp=f"at {at}",
        timestamp_ms=at * SECOND,
        effective_ms=at * SECOND,
        user_id="somebody",
        applied=applied,
        base_seq=base,
    )


async def push(log: Log, device: str, *events: Event) -> Pushed:
    """A push of a device, and what follows it."""
    source = Source(f"{device}'s account", device, AT)
    async with log.inside() as db:
        pushed = await push_events(db, events, source)
        await note_conflicts(db, pushed, source)
    return pushed


async def create(log: Log, entity: str = "ann", data: Data | None = None) -> int:
    """A record that was there before everything else; answers the number of its creation."""
    creation = edit(entity, data or {"name": "Ann"}, at=0, base=None, type_=CREATE_INDIVIDUAL)
    return (await push(log, "office", creation)).events[0].seq


@dataclass(frozen=True)
class Noted:
    """A conflict as it is written down."""

    entity: str
    field: str
    pair: tuple[str, str]
    state: str


async def noted(log: Log, *, state: str | None = None) -> list[Noted]:
    """The conflicts in the order in which they were found; `pair` names the later event first."""
    rows = await log.fetch("SELECT entity_guid, field, event_guid, other_guid, state FROM conflicts ORDER BY id")
    found = [
        Noted(row["entity_guid"], row["field"], (row["event_guid"], row["other_guid"]), row["state"]) for row in rows
    ]
    return [each for each in found if state in (None, each.state)]


async def open_pairs(log: Log) -> list[tuple[str, str]]:
    """The pairs of events in open conflicts."""
    return [each.pair for each in await noted(log, state="open")]


def told(rows: Sequence[dict[str, Any]], *keys: str) -> list[tuple[Any, ...]]:
    """Some of what each row says."""
    return [tuple(row[key] for key in keys) for row in rows]
