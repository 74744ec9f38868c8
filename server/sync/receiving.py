"""What every push goes through, in whatever dialect it came: reading, what is known already, what cannot be taken."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from server.db import Connection
from server.db.connection import Row, beside
from server.kit.clock import MILLISECOND, to_ms
from server.kit.sight import Sight
from server.sync import queries
from server.sync.erasing import blank_arrived
from server.sync.event import Event
from server.sync.intake import Refusal, read_event
from server.sync.old_clients.marks import CARRIERS
from server.sync.push import Pushed, Receipt, Source, push
from server.sync.quarantine import keep
from server.sync.records import digest_of


@dataclass(slots=True)
class Fate:
    """What became of one pushed event: accepted, waiting, without-effect, known or quarantined, and why.

    `seq` is its number in the log; None for what is not in it.
    """

    guid: str
    status: str
    code: str = ""
    path: str = ""
    detail: str = ""
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """The fates in the order in which the events were pushed, and what the push did."""

    fates: list[Fate]
    pushed: Pushed

    @property
    def receipt(self) -> Receipt | None:
        """The receipt, if anything was new."""
        return self.pushed.receipt


@dataclass(frozen=True, slots=True)
class Known:
    """An event that is in the log already."""

    digest: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a device pushed, read, and the log as it stands: `head` as in `begin_push`, `known` by guid."""

    raws: Sequence[Any]
    read: list[Event | Refusal]
    head: Row
    known: dict[str, Known]

    @property
    def events(self) -> Iterator[Event]:
        """What could be read as an event."""
        return (each for each in self.read if isinstance(each, Event))


async def arrive(
    db: Connection, raws: Sequence[Any], source: Source, tolerance: timedelta, *, in_full: bool = False
) -> Arrival:
    """Reads what was pushed and notes that the device did. `in_full` as in `read_event`."""
    arrival_ms = to_ms(source.at)
    read = [read_event(raw, arrival_ms=arrival_ms, tolerance=tolerance, in_full=in_full) for raw in raws]
    events = [each for each in read if isinstance(each, Event)]
    beginning = queries.begin_push(
        db, [event.guid for event in events], account=source.account, device_id=source.device_id, at=source.at
    )
    head, _ = await beside(beginning, lambda: [digest_of(event) for event in events])
    if head["has_erased"]:
        await blank_arrived(db, events)
    known = zip(head["guids"] or (), head["digests"] or (), head["seqs"] or (), strict=True)
    return Arrival(raws, read, head, {guid: Known(digest, seq) for guid, digest, seq in known})


async def refusals_of(
    db: Connection,
    arrival: Arrival,
    events: Sequence[Event],
    tolerance: timedelta,
    *,
    may_differ: Callable[[Event], bool],
    sight: Sight,
) -> dict[int, Refusal]:
    """By identity: those of the events that cannot be taken, and why.

    `may_differ` tells of which the content may be another than when it was pushed first. Whoever does not see a form
    cannot submit it either.
    """
    refusals = _reused(events, arrival.known, may_differ) | _reserved(events)
    if sight.hidden:
        refusals |= await _hidden(db, [event for event in events if event.guid not in arrival.known], sight)
    if arrival.head["not_before"] is not None:
        earliest = arrival.head["not_before"] - tolerance // MILLISECOND
        refusals |= await _foreign(db, [event for event in events if event.guid not in arrival.known], earliest)
    return refusals


async def settle(
    db: Connection,
    arrival: Arrival,
    new: Sequence[Event],
    refusals: dict[int, Refusal],
    source: Source,
    *,
    may_differ: Callable[[Event], bool],
) -> Received:
    """Pushes what is new, puts aside what was refused, and tells the fate of each. `may_differ` as in `refusals_of`."""
    pushed = await push(db, new, source)
    known = arrival.known
    # What another push brought while this one was under way.
    if outrun := [event for event in new if event.guid not in pushed.outcomes]:
        known = known | await _find_known(db, [event.guid for event in outrun])
        refusals = refusals | _reused(outrun, known, may_differ)
    judged = [refusals.get(id(each), each) for each in arrival.read]
    refused = [(raw, each) for raw, each in zip(arrival.raws, judged, strict=True) if isinstance(each, Refusal)]
    await keep(db, refused, source)
    return Received(_fates(judged, pushed, known), pushed)


async def _find_known(db: Connection, guids: Sequence[str]) -> dict[str, Known]:
    return {row["guid"]: Known(row["digest"], row["seq"]) for row in await queries.list_known(db, guids)}


def _reused(
    events: Sequence[Event], known: dict[str, Known], may_differ: Callable[[Event], bool]
) -> dict[int, Refusal]:
    """Events whose guid another event has, in the log or earlier in the push. The first one stands."""
    first: dict[str, Event] = {}
    refusals = {}
    for event in events:
        earlier = first.setdefault(event.guid, event)
        before = known.get(event.guid)
        if (before is None and earlier is event) or may_differ(event):
            continue
        if digest_of(event) != (before.digest if before else digest_of(earlier)):
            refusals[id(event)] = Refusal(
                event.guid, "event.guid-reused", "guid", "another event with other content has this guid"
            )
    return refusals


def _reserved(events: Sequence[Event]) -> dict[int, Refusal]:
    """Events that speak of a carrier and are none of the server's own. They would break all pages."""
    return {
        id(event): Refusal(event.guid, "event.reserved-guid", "data", "speaks of a guid that the server has reserved")
        for event in events
        if not CARRIERS.isdisjoint(event.mentions)
    }


async def _hidden(db: Connection, events: Sequence[Event], sight: Sight) -> dict[int, Refusal]:
    """Events that would make, change or take away a record of a form that is hidden from who pushes them."""
    mentioned = sorted({guid for event in events for guid in event.mentions})
    of_hidden = await queries.list_of_forms(db, mentioned, sorted(sight.hidden))
    # Of what neither is there nor is given a form by the push itself, the type is the form.
    formed = {*of_hidden, *(guid for event in events for guid, form, _ in event.forms if form)}

    def is_hidden(event: Event) -> bool:
        written = (form or ("" if guid in formed else by_type) for guid, form, by_type in event.forms)
        return any(of_hidden.get(guid) for guid in event.mentions) or not sight.hidden.isdisjoint(written)

    return {
        id(event): Refusal(event.guid, "event.form-not-allowed", "data", "is about a form that is not yours to submit")
        for event in events
        if is_hidden(event)
    }


async def _foreign(db: Connection, events: Sequence[Event], earliest_ms: int) -> dict[int, Refusal]:
    """Events that belong to the log that had this one's id before, from phones that do not know it ended.

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


def _fates(judged: Sequence[Event | Refusal], pushed: Pushed, known: dict[str, Known]) -> list[Fate]:
    numbers = {event.guid: event.seq for event in pushed.events}
    told: set[str] = set()
    fates = []
    for each in judged:
        if isinstance(each, Refusal):
            fates.append(Fate(each.guid, "quarantined", each.code, each.path, each.detail))
            continue
        outcome = pushed.outcomes.get(each.guid)
        if outcome is None or each.guid in told:
            before = known.get(each.guid)
            fates.append(Fate(each.guid, "known", seq=before.seq if before else numbers.get(each.guid)))
        elif outcome.kind == "applied":
            fates.append(Fate(each.guid, "accepted", seq=numbers[each.guid]))
        else:
            fates.append(Fate(each.guid, outcome.kind, f"event.{outcome.reason}", seq=numbers[each.guid]))
        told.add(each.guid)
    return fates
