"""The other server's events, and those that are made for what it holds beside them, pushed like anybody's."""

from asyncio import to_thread
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from server.conflicts.finding import note_conflicts
from server.db import Connection
from server.db.connection import Row
from server.kit.clock import to_ms, utc_now
from server.moving_in import queries
from server.moving_in.datacollect import queries as other
from server.moving_in.datacollect.accounts import MARK, Taken
from server.moving_in.datacollect.mapping import Read, event_from_row
from server.moving_in.datacollect.one_tenant import BATCH, BATCH_BYTES, OneTenant
from server.moving_in.datacollect.reading import in_batches
from server.moving_in.datacollect.reasons import BAD_EVENT, MADE_FIELDS
from server.moving_in.datacollect.report import Heading
from server.sync.erasing import blank_arrived
from server.sync.event import Event
from server.sync.intake import Refusal, read_event
from server.sync.push import push
from server.sync.quarantine import keep
from server.tenants.queries import put_settings


async def take_events(one: OneTenant, taken: Taken) -> None:
    """Takes the events that the log here lacks; what is none goes into the quarantine."""
    one.begin("events", "events")
    rows = other.events_of(one.source.db, one.config.id)
    async for batch in in_batches(rows, BATCH, BATCH_BYTES, "data"):
        known = await _known(one, taken, [row["guid"] for row in batch])
        new = [row for row in batch if row["guid"] not in known]
        read = await to_thread(_read_events, new, one.wishes.tolerance)
        tell_of_refused(one, read, BAD_EVENT, "events")
        one.refused.update(row["entity_guid"] for row, each in zip(new, read, strict=True) if _is_refused(each))
        await _push(one, taken, read)
        refused = sum(map(_is_refused, read))
        one.count(events=len(read) - refused, known=len(known), refused=refused)
        one.progress.advance(len(batch))


async def _known(one: OneTenant, taken: Taken, guids: Sequence[str]) -> set[str]:
    if not taken.tenant.id:
        return set()
    async with one.reading(taken) as db:
        return await queries.list_known_events(db, guids)


async def _push(one: OneTenant, taken: Taken, read: Sequence[Read]) -> None:
    """Pushes events and keeps what is none, in one transaction; tries again what others were in the way of."""
    if one.wishes.dry_run or not read:
        return
    events = [each.result for each in read if isinstance(each.result, Event)]
    refused = [(each.raw, each.result) for each in read if isinstance(each.result, Refusal)]
    if events:
        taken.mark.setdefault("event", events[0].guid)

    async def work(db: Connection) -> None:
        pusher = one.pusher()
        await blank_arrived(db, events)
        pushed = await push(db, events, pusher)
        await note_conflicts(db, pushed, pusher)
        await keep(db, refused, pusher)
        await put_settings(db, {MARK: taken.mark})

    await one.inside(taken, work)


def tell_of_refused(one: OneTenant, read: Sequence[Read], reason: str, table: str) -> None:
    """Adds what was refused to the report."""
    for each in read:
        if isinstance(each.result, Refusal):
            refusal = each.result
            one.note(Heading.REFUSED, reason, table, refusal.guid, refusal.path, refusal.detail)


async def push_own(one: OneTenant, taken: Taken, raws: Sequence[dict[str, Any]], reason: str | None) -> None:
    """Pushes events that are made here, and tells of each under the reason, if there is one."""
    arrival = to_ms(utc_now())
    for at in range(0, len(raws), BATCH):
        read = [
            Read(raw, read_event(raw, arrival_ms=arrival, tolerance=one.wishes.tolerance))
            for raw in raws[at : at + BATCH]
        ]
        tell_of_refused(one, read, BAD_EVENT, "entities")
        await _push(one, taken, read)
        if reason is not None:
            _tell_of_made(one, read, reason)


def _tell_of_made(one: OneTenant, read: Sequence[Read], reason: str) -> None:
    made = [each.raw for each in read if not _is_refused(each)]
    one.count(made=len(made))
    for raw in made:
        fields = ", ".join(sorted(raw["data"])) if reason == MADE_FIELDS else ""
        one.note(Heading.CHANGED, reason, "entities", raw["entityGuid"], fields)


def _read_events(rows: Sequence[Row], tolerance: timedelta) -> list[Read]:
    return [event_from_row(row, tolerance) for row in rows]


def _is_refused(read: Read) -> bool:
    return isinstance(read.result, Refusal)
