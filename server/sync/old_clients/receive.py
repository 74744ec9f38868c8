"""Push, for phones: what cannot be taken is put aside, noise taken out, whole forms are cut, the rest is pushed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from server.db import Connection
from server.kit.clock import MILLISECOND, to_ms
from server.sync import queries
from server.sync.event import UPDATE_GROUP, Event
from server.sync.intake import Refusal, read_event
from server.sync.old_clients.axis import position_of
from server.sync.old_clients.marks import CARRIERS, is_carrier
from server.sync.old_clients.whole_forms import narrow
from server.sync.push import Pushed, Source, push
from server.sync.quarantine import keep
from server.sync.records import digest_of


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
    head = await queries.get_head(db)
    served = await queries.note_push(db, source.device_id, source.account, source.at)
    read = [read_event(raw, arrival_ms=arrival, tolerance=tolerance) for raw in raws]
    own = [each for each in read if isinstance(each, Event) and not is_carrier(each, head["carrier_key"])]
    known = await queries.known_digests(db, [event.guid for event in own])
    refusals = _reused(own, known) | _reserved(own)
    if head["not_before"] is not None:
        earliest = head["not_before"] - tolerance // MILLISECOND
        refusals |= await _foreign(db, [event for event in own if event.guid not in known], earliest)
    new = [event for event in own if event.guid not in known and id(event) not in refusals]
    for event in new:
        if _is_made_by_library(event):
            event.applied = {}
    if served is not None:
        await narrow(db, new, source, served)
    pushed = await push(db, new, source)
    judged = [refusals.get(id(each), each) for each in read]
    refused = [(raw, each) for raw, each in zip(raws, judged, strict=True) if isinstance(each, Refusal)]
    await keep(db, refused, source)
    return _fates(judged, pushed), pushed


def _reused(events: Sequence[Event], known: dict[str, bytes]) -> dict[int, Refusal]:
    """By identity: events whose guid another event has, in the log or earlier in the push. The first one stands."""
    first: dict[str, Event] = {}
    refusals = {}
    for event in events:
        earlier = first.setdefault(event.guid, event)
        if (event.guid not in known and earlier is event) or _was_served(event):
            continue
        if digest_of(event) != (known.get(event.guid) or digest_of(earlier)):
            refusals[id(event)] = Refusal(
                event.guid, "event.guid-reused", "guid", "another event with other content has this guid"
            )
    return refusals


def _was_served(event: Event) -> bool:
    """Whether it comes from a page, where events of custom types have the page's time: a phone offers them again."""
    return position_of(event.timestamp) is not None


def _reserved(events: Sequence[Event]) -> dict[int, Refusal]:
    """By identity: events that speak of a carrier and are none of the server's own. They would break all pages."""
    return {
        id(event): Refusal(event.guid, "event.reserved-guid", "data", "speaks of a guid that the server has reserved")
        for event in events
        if not CARRIERS.isdisjoint(event.mentions)
    }


async def _foreign(db: Connection, events: Sequence[Event], earliest_ms: int) -> dict[int, Refusal]:
    """By identity: events that belong to the log that had this one's id before, from phones that do not know it ended.

    They are older than this log, or speak of records of that one.
    """
    foreign = await queries.list_foreign(db, sorted({guid for event in events for guid in event.mentions}))
    refusals = {}
    for event in events:
        if event.timestamp_ms < earliest_ms:
            refusals[id(event)] = Refusal(
                event.guid, "event.before-log", "timestamp", "was made before this log began, for one that ended"
            )
        elif not foreign.isdisjoint(event.mentions):
            refusals[id(event)] = Refusal(
                event.guid, "event.of-another-log", "entityGuid", "is about a record of a log that ended"
            )
    return refusals


def _is_made_by_library(event: Event) -> bool:
    """The phone's library writes such an update itself when somebody opens a group that has lost a member.

    It changes nothing, but it mentions the group, so the phone is sent the group again.
    """
    return event.type == UPDATE_GROUP and event.user_id == "system" and isinstance(event.data.get("memberIds"), list)


def _fates(judged: Sequence[Event | Refusal], pushed: Pushed) -> list[Fate]:
    told: set[str] = set()
    fates = []
    for each in judged:
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
