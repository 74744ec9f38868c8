"""Pull, for new clients: the log from where a device stands, and the entities fed in the same part of it.

An entity is fed under the number of the last event that mentioned or changed it. A part is read in one statement, and
ends no further than the head that this sees. So what is committed after it has numbers behind it: an entity that is
missing in a part because it changed meanwhile comes in a later one.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import orjson

from server.db import Connection
from server.db.connection import Opening
from server.sync.v2 import queries
from server.sync.v2.cursor import Head, check_epoch, find_head
from server.sync.v2.lines import lines_of
from server.sync.v2.negotiation import is_named, tag_of
from server.sync.v2.queries import Span, Wanted

MOST_EVENTS: Final = 10_000
"""How many events a page holds at most."""

_PAGE_BYTES: Final = 8 * 1024 * 1024
_STEP: Final = 1_000
_STEP_BYTES: Final = 2 * 1024 * 1024

_WINDOW: Final = 20_000
"""How many numbers of the log a filter looks through at once."""

_EVERYTHING: Final = 2**62

NOTED_AGAIN: Final = timedelta(minutes=5)
"""How long after it was noted that a device pulls it is noted again, even when it has come no further."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the log up to `last`, its events and entities as JSON, and the head as it was then.

    served: the number that the device was last served up to; is_stale: whether that was long ago.
    """

    head: Head
    last: int
    served: int | None
    is_stale: bool
    events: list[bytes]
    entities: list[bytes]

    @property
    def cursor(self) -> str:
        """The cursor behind it."""
        return self.head.cursor_at(self.last)

    @property
    def more(self) -> bool:
        """Whether there was more behind it."""
        return self.last < self.head.seq


def page_span(wanted: Wanted, epoch: str | None, after: int, limit: int) -> Span:
    """The part that a page of at most so many events is read from."""
    return _span(wanted, epoch, after, min(limit, MOST_EVENTS), most_bytes=_PAGE_BYTES)


def step_span(wanted: Wanted, epoch: str | None, after: int, left: int | None, up_to: int = _EVERYTHING) -> Span:
    """The part that the next step of a stream is read from, of which so many events are left to send."""
    step = _STEP if left is None else min(left, _STEP)
    return _span(wanted, epoch, after, step, up_to=up_to, most_bytes=_STEP_BYTES)


def _span(
    wanted: Wanted, epoch: str | None, after: int, limit: int, *, most_bytes: int, up_to: int = _EVERYTHING
) -> Span:
    window = limit if wanted.through == "log" else _WINDOW
    return Span(epoch=epoch, after=after, up_to=up_to, limit=limit, window=window, most_bytes=most_bytes)


async def read_part(db: Connection, wanted: Wanted, span: Span, at: datetime) -> Part:
    """The part, or its beginning where it would be too heavy: the events of one number at least.

    Raises sync.epoch-changed where the span is of another epoch, or from beyond the head.
    """
    while True:
        told, *lines = [row[0] for row in await queries.read_part(db, wanted, span, at - NOTED_AGAIN)]
        part = orjson.loads(told)
        head = Head(part["epoch"], part["head"])
        check_span(span, head)
        if part["fits"]:
            break
        span = await _lighter(db, wanted, replace(span, up_to=part["last"]))
    border = lines.index(None)
    return Part(head, part["last"], part["served"], part["stale"], lines[:border], lines[border + 1 :])


def check_span(span: Span, head: Head) -> None:
    """Raises sync.epoch-changed where the span is of another epoch, or from beyond the head."""
    check_epoch(span.epoch, head)
    if span.after > head.seq:
        head.refuse()


async def _lighter(db: Connection, wanted: Wanted, span: Span) -> Span:
    """The span, to be read as it is if it turns out to be light enough, or else a smaller one."""
    assert span.most_bytes is not None
    weight = await queries.weigh_part(db, wanted, span)
    if weight <= span.most_bytes or span.limit == span.window == 1:
        return replace(span, most_bytes=None)
    share = min(0.5, span.most_bytes / weight)
    return replace(span, limit=max(1, int(span.limit * share)), window=max(1, int(span.window * share)))


def page_of(part: Part, wanted: Wanted) -> bytes:
    """The part as the JSON of a page."""
    told = orjson.dumps({"epoch": part.head.epoch, "cursor": part.cursor, "more": part.more})
    return b"".join(
        (
            told[:-1],
            b',"events":[' + b",".join(part.events) + b"]" if wanted.events else b"",
            b',"entities":[' + b",".join(part.entities) + b"]" if wanted.entities else b"",
            b"}",
        )
    )


@dataclass(frozen=True, slots=True)
class Puller:
    """A device that pulls: what it wants, since when it was asked for, and how its transactions are opened."""

    wanted: Wanted
    at: datetime
    reading: Opening
    writing: Opening

    async def note(self, part: Part, *, is_last: bool) -> None:
        """Notes that the device pulls, and how far it has come, when it is at the end or nothing was noted for long.

        A filter tells nothing of how far it has come with what the filter leaves out.
        """
        seq = part.last if self.wanted.form is None and self.wanted.entity is None else None
        if part.is_stale or (is_last and seq is not None and seq != part.served):
            await self.note_served(seq)

    async def note_served(self, seq: int | None) -> None:
        """Notes that the device pulls, and up to which number it was served, where that is known."""
        async with self.writing() as db:
            await queries.note_pull(db, self.wanted.account, self.wanted.device_id, self.at, seq)

    async def unchanged(self, span: Span, known: str) -> Head | None:
        """The head, where one of the entity tags in this If-None-Match header is its. Raises sync.epoch-changed.

        That the device pulls is noted now and then even so: who asks in vain is seen.
        """
        async with self.reading() as db:
            head = await find_head(db)
            check_span(span, head)
            if not is_named(tag_of(head), known):
                return None
            is_stale = await queries.is_stale(db, self.wanted.account, self.wanted.device_id, self.at - NOTED_AGAIN)
        if is_stale:
            await self.note_served(None)
        return head

    async def stream(self, part: Part, limit: int | None) -> AsyncGenerator[bytes, None]:
        """Lines from this part on, up to the head that it saw or to so many events (entities, where these alone).

        A transaction is open only while a step is read. Raises sync.epoch-changed when a new epoch begins meanwhile.
        """
        up_to = part.head.seq
        left = limit
        while True:
            if left is not None:
                left -= len(part.events if self.wanted.events else part.entities)
            lines = lines_of("event", part.events) + lines_of("entity", part.entities)
            if part.last >= up_to or (left is not None and left <= 0):
                break
            yield lines + _line({"cursor": part.cursor})
            span = step_span(self.wanted, part.head.epoch, part.last, left, up_to)
            async with self.reading() as db:
                part = await read_part(db, self.wanted, span, self.at)
        await self.note(part, is_last=True)
        yield lines + _line({"cursor": part.cursor, "more": part.more})


def _line(value: object) -> bytes:
    return orjson.dumps(value) + b"\n"
