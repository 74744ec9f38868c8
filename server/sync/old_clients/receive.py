"""Push, for phones: known noise is taken out, whole forms are cut to what was changed in them, the rest is pushed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

import orjson

from server.db import Connection
from server.kit.clock import to_ms
from server.sync import queries
from server.sync.event import UPDATE_GROUP, Event
from server.sync.intake import Refusal, read_event
from server.sync.old_clients.marks import is_carrier
from server.sync.old_clients.whole_forms import narrow
from server.sync.push import Pushed, Source, push


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one pushed event: accepted, waiting, without-effect, known or quarantined, and why."""

    guid: str
    status: str
    code: str = ""
    path: str = ""
    detail: str = ""


async def receive(
    db: Connection, raws: Sequence[Any], source: Source, tolerance: timedelta
) -> tuple[list[Fate], Pushed]:
    """Takes what a phone pushed. Gives the fate of each, in order, and what the push did."""
    arrival = to_ms(source.at)
    read = [read_event(raw, arrival_ms=arrival, tolerance=tolerance) for raw in raws]
    events = [each for each in read if isinstance(each, Event)]
    refused = [(raw, each) for raw, each in zip(raws, read, strict=True) if isinstance(each, Refusal)]
    key = (await queries.get_head(db))["carrier_key"]
    served = await queries.note_push(db, source.device_id, source.account, source.at)
    own = [event for event in events if not is_carrier(event, key)]
    for event in own:
        if _is_made_by_library(event):
            event.applied = {}
    if served is not None:
        await narrow(db, own, source.device_id, served)
    pushed = await push(db, own, source)
    if refused:
        await _quarantine(db, refused, source)
    return _fates(read, pushed), pushed


def _is_made_by_library(event: Event) -> bool:
    """The phone's library writes such an update itself when somebody opens a group that has lost a member.

    It changes nothing, but it mentions the group, so the phone is sent the group again.
    """
    return event.type == UPDATE_GROUP and event.user_id == "system" and isinstance(event.data.get("memberIds"), list)


async def _quarantine(db: Connection, refused: Sequence[tuple[Any, Refusal]], source: Source) -> None:
    texts = [orjson.dumps(raw) for raw, _ in refused]
    refusals = [refusal for _, refusal in refused]
    await queries.insert_quarantine(
        db,
        [
            [sha256(text).digest() for text in texts],
            [refusal.guid for refusal in refusals],
            [refusal.code for refusal in refusals],
            [refusal.path for refusal in refusals],
            [refusal.detail for refusal in refusals],
            [text.decode() for text in texts],
        ],
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )


def _fates(read: Sequence[Event | Refusal], pushed: Pushed) -> list[Fate]:
    told: set[str] = set()
    fates = []
    for each in read:
        if isinstance(each, Refusal):
            fates.append(Fate(each.guid, "quarantined", each.code, each.path, each.detail))
            continue
        outcome = pushed.outcomes.get(each.guid)
        if outcome is None or each.guid in told:
            fates.append(Fate(each.guid, "known"))
        elif outcome.kind == "applied":
            fates.append(Fate(each.guid, "accepted"))
        else:
            fates.append(Fate(each.guid, outcome.kind, f"event.{outcome.reason}"))
        told.add(each.guid)
    return fates
