"""Walking the chain of pushes from its first link to its last, with the digest of every event computed anew.

The log is read piece by piece, up to the head that stood when the walk began, each piece in a transaction of its own.
What lies below a head that was seen is never written again, so the pieces fit together as if they were read at once.
One transaction over a long log would keep the database from clearing away what everybody else overwrites meanwhile.

Out of some events what they said of a person was taken. Of these the digest that was noted is a link of the chain, but
nothing proves the rest of their content any more. So they have to speak of somebody of whom an event of the chain says
that she was erased, and to hold nothing of her.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TypeAlias

from server.db.connection import Opening, Row
from server.entities.erasing import texts_in
from server.kit.clock import parse_iso, to_ms
from server.sync.erasing import blank
from server.sync.event import Event
from server.sync.queries import list_piece
from server.sync.records import digest_of, event_from
from server.sync.verification import queries

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many events are verified, of how many in all."""

_EVENTS = 2_000
_EVENT_BYTES = 4 * 1024 * 1024
_PUSHES = 2_000


@dataclass(frozen=True, slots=True)
class HeldReceipt:
    """A link that a device shows, as the chain holds it: for the events `first` to `last`."""

    first: int
    last: int
    epoch: str
    received_at: datetime
    is_proven: bool
    """Whether the chain was found whole as far as there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the walk.

    `head`, `link` and `epoch` are the log's as it began; `events` and `pushes` how many were found right one after the
    other. `fault` says what is wrong at the first place where anything is; None for a log that is what was taken.
    `erased` is of how many of the events a part was taken out, `persons` for how many persons.
    """

    epoch: str
    head: int
    link: bytes
    events: int
    pushes: int
    fault: str | None
    receipt: HeldReceipt | None = None
    erased: int = 0
    persons: int = 0


async def verify_chain(reading: Opening, *, receipt: bytes | None = None, progress: Progress | None = None) -> Verdict:
    """Proves the log, and finds the link that a device was given as a receipt. Memory is bounded at any length."""
    async with reading() as db:
        # First, so that the event of each is among those that are walked through.
        erasures = await queries.list_erasures(db)
        end = await queries.get_end(db)
        held = await queries.find_push(db, receipt) if receipt is not None else None
    walk = _Walk(reading, end, erasures, progress)
    fault = None
    try:
        await walk.to_the_end()
    except _Fault as found:
        fault = str(found)
    return Verdict(
        epoch=end["epoch"],
        head=end["head"],
        link=end["link"],
        events=walk.last,
        pushes=walk.pushes,
        fault=fault,
        receipt=None if held is None else _held(held, walk.last),
        erased=walk.erased,
        persons=len(erasures),
    )


def _held(push: Row, last: int) -> HeldReceipt:
    is_proven = push["last_seq"] <= last
    return HeldReceipt(push["first_seq"], push["last_seq"], push["epoch"], push["received_at"], is_proven)


class _Fault(Exception):
    """Something is not as it was taken."""


class _Walk:
    """How far the chain was followed: `last` is the number of the last event behind which it is whole."""

    def __init__(self, reading: Opening, end: Row, erasures: dict[str, str], progress: Progress | None) -> None:
        self.last = 0
        self.pushes = 0
        self.erased = 0
        self._reading = reading
        self._end = end
        self._erasures = erasures
        self._unproven = set(erasures)
        self._link = self._previous = b""
        # Everything is looked at that anything speaks of, so that what is missing or too many is named itself.
        self._until = max(end["head"], end["last_event"], end["last_push"])
        self._events = _contents(reading, self._until)
        self._pushes = _pushes(reading, self._until)
        self._progress = progress or _silence

    async def to_the_end(self) -> None:
        async for push in self._pushes:
            self._expect_next(push)
            self._link, self._previous = await self._link_of(push), self._link
            if self._link != push["link"]:
                raise _Fault(f"The push of the events {_range(push)} does not give the link that is noted for it.")
            self.last = push["last_seq"]
            self.pushes += 1
            self._progress(self.last, self._until)
        async for event in self._events:
            raise _Fault(f"Event {event['seq']} ({event['guid']}) belongs to no push.")
        self._check_head()
        for guid in sorted(self._unproven):
            raise _Fault(f"{guid} is noted as erased, but the log does not hold the event by which that was done.")

    def _expect_next(self, push: Row) -> None:
        expected = self.last + 1
        if push["last_seq"] < push["first_seq"]:
            raise _Fault(f"The push of the events {_range(push)} is none: it ends before it begins.")
        if push["first_seq"] > expected:
            raise _Fault(f"No push brought the events {expected} to {push['first_seq'] - 1}.")
        if push["first_seq"] < expected:
            raise _Fault(f"The push of the events {_range(push)} overlaps the one before, which ends at {self.last}.")

    async def _link_of(self, push: Row) -> bytes:
        link = sha256(self._link + push["first_seq"].to_bytes(8, "big", signed=True))
        for seq in range(push["first_seq"], push["last_seq"] + 1):
            link.update(await self._digest_of_next(seq))
        return link.digest()

    async def _digest_of_next(self, seq: int) -> bytes:
        event = await anext(self._events, None)
        if event is None or event["seq"] > seq:
            raise _Fault(f"Event {seq} is missing.")
        if event["seq"] < seq:
            raise _Fault(f"Event {event['seq']} ({event['guid']}) belongs to no push.")
        read = _check(event)
        if event["erased"]:
            await self._check_erased(read, event)
        elif event["erases"] and self._erasures.get(read.entity_guid) == read.guid:
            self._unproven.discard(read.entity_guid)
        digest: bytes = event["digest"]
        return digest

    async def _check_erased(self, event: Event, row: Row) -> None:
        self.erased += 1
        spoken_of = {*event.mentions, *texts_in(event.data)}
        if self._erasures.keys().isdisjoint(spoken_of):
            # Somebody may have been erased since the walk began.
            async with self._reading() as db:
                self._erasures = await queries.list_erasures(db)
        spoken_of &= self._erasures.keys()
        if not spoken_of:
            raise _Fault(f"{_name(row)} is noted as erased, but speaks of nobody who was.")
        if blank(event, spoken_of):
            raise _Fault(f"{_name(row)} is noted as erased, but still says something of who was.")

    def _check_head(self) -> None:
        head = self._end["head"]
        if head != self.last:
            raise _Fault(f"The head stands at {head}, but the pushes end at {self.last}.")
        if self._end["link"] != self._link:
            raise _Fault("The link at the head is not the one of the last push.")
        if self._end["previous"] != self._previous:
            raise _Fault("The link before the one at the head is not the one of the last push but one.")


def _name(event: Row) -> str:
    return f"Event {event['seq']} ({event['guid']})"


def _check(event: Row) -> Event:
    """Raises _Fault for an event that is not what was pushed, or does not count for the time it was pushed with."""
    name = _name(event)
    try:
        read = event_from(event)
        digest = digest_of(read)
        timestamp_ms = to_ms(parse_iso(event["timestamp"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _Fault(f"{name} is none that could have been pushed.") from None
    if digest != event["digest"] and not event["erased"]:
        raise _Fault(f"{name} is not what was pushed: its content gives another digest than the one noted for it.")
    # It may count for an earlier time than its own: its arrival, where its clock was ahead.
    if event["timestamp_ms"] != timestamp_ms or event["effective_ms"] > timestamp_ms:
        raise _Fault(f"{name} counts for another time than the one it was pushed with.")
    return read


async def _contents(reading: Opening, up_to: int) -> AsyncIterator[Row]:
    after = queries.BEFORE_ALL
    while rows := await _read_contents(reading, after, up_to):
        for row in rows:
            yield row
        after = rows[-1]["seq"]


async def _read_contents(reading: Opening, after: int, up_to: int) -> list[Row]:
    async with reading() as db:
        return await list_piece(db, after, up_to, _EVENTS, _EVENT_BYTES)


async def _pushes(reading: Opening, up_to: int) -> AsyncIterator[Row]:
    after = queries.BEFORE_ALL
    while rows := await _read_pushes(reading, after, up_to):
        for row in rows:
            yield row
        after = rows[-1]["last_seq"]


async def _read_pushes(reading: Opening, after: int, up_to: int) -> list[Row]:
    async with reading() as db:
        return await queries.list_pushes(db, after, up_to, _PUSHES)


def _range(push: Row) -> str:
    return f"{push['first_seq']} to {push['last_seq']}"


def _silence(_done: int, _total: int) -> None:
    pass
