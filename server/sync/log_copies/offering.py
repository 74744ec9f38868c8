"""Offering a copy to a log that has lost some of it: what the log has is passed over, the rest is taken as it was.

An event comes with the account, the device and the time of arrival that it had, so it counts for the same time and
takes effect as it did then. Events that came in one push are pushed together, each push in a transaction of its own.
Offering a copy again is harmless.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import asyncpg

from server.db import Connection
from server.db.connection import Opening
from server.kit.sight import EVERYTHING
from server.sync import queries
from server.sync.erasing import blank_arrived
from server.sync.event import Event
from server.sync.intake import Refusal
from server.sync.log_copies.reading import Line, Terms
from server.sync.push import Follow, Pushed, Source, push
from server.sync.receiving import Arrival, Known, refusals_of

_LINES: Final = 1_000
_LINE_BYTES: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 5
_PASSING: Final = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, asyncpg.SerializationError)


@dataclass(slots=True)
class Offered:
    """How much of a copy has been offered so far. `waiting` and `without_effect` are among what was `taken`.

    `is_whole`: whether its last line says that it did not break off.
    """

    bytes: int = 0
    events: int = 0
    known: int = 0
    taken: int = 0
    waiting: int = 0
    without_effect: int = 0
    refused: int = 0
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """The log that a copy is offered to: how its transactions are opened, and what follows a push.

    `writing` is None for a dry run: then nothing is written, and what would be taken counts as taken.
    """

    reading: Opening
    writing: Opening | None
    follow: Follow


async def offer(
    log: Log, lines: Iterable[Line], terms: Terms, refuse: Callable[[int, Refusal], None]
) -> AsyncIterator[Offered]:
    """Offers the lines in their order, telling after each piece how far it has come.

    `refuse` is told the number of each line that could not be taken, and why.
    """
    so_far = Offered()
    would_take: set[str] = set()
    for piece in _pieces(lines):
        new = await _lost(log, piece, terms, so_far, refuse)
        if log.writing is None:
            guids = {line.guid for line in new}
            so_far.taken += len(guids - would_take)
            so_far.known += len(new) - len(guids - would_take)
            would_take |= guids
        for source, some in groupby(new, key=lambda line: line.source):
            if log.writing is not None:
                await _push(log.writing, log.follow, [line.event for line in some], source, so_far)
        so_far.bytes += sum(line.size for line in piece)
        so_far.is_whole = piece[-1].is_end
        yield so_far


@dataclass(frozen=True, slots=True)
class _Lost:
    """An event of a copy that the log does not have."""

    event: Event
    source: Source

    @property
    def guid(self) -> str:
        return self.event.guid


def _pieces(lines: Iterable[Line]) -> Iterator[list[Line]]:
    piece: list[Line] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += line.size
        if len(piece) >= _LINES or size >= _LINE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


async def _lost(
    log: Log, piece: Sequence[Line], terms: Terms, so_far: Offered, refuse: Callable[[int, Refusal], None]
) -> list[_Lost]:
    """What of the lines the log lacks and can take."""
    events = [line.result for line in piece if isinstance(line.result, Event)]
    async with log.reading() as db:
        rows = await queries.list_known(db, [event.guid for event in events])
        known = {row["guid"]: Known(row["digest"], row["seq"]) for row in rows}
        arrival = Arrival([], [], await queries.get_head(db), known)
        refusals = await refusals_of(
            db, arrival, events, terms.tolerance, may_differ=lambda event: False, sight=EVERYTHING
        )
    lost = []
    for line in piece:
        result = line.result if line.result is None else refusals.get(id(line.result), line.result)
        so_far.events += result is not None
        if isinstance(result, Refusal):
            so_far.refused += 1
            refuse(line.number, result)
        elif result is not None and result.guid in known:
            so_far.known += 1
        elif result is not None:
            assert line.source is not None
            lost.append(_Lost(result, line.source))
    return lost


async def _note_erasures(db: Connection, pushed: Pushed, source: Source) -> None:
    """Who was erased stays so. What this log may still hold of her is left to whoever erases her again."""
    if events := [event for event in pushed.events if event.erases]:
        await queries.note_erasures(
            db,
            [event.entity_guid for event in events],
            [event.guid for event in events],
            at=source.at,
            by=source.account,
            reason="told by a copy of the log",
        )


async def _push(writing: Opening, follow: Follow, events: list[Event], source: Source, so_far: Offered) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with writing() as db:
                await blank_arrived(db, events)
                pushed = await push(db, events, source)
                await follow(db, pushed, source)
                await _note_erasures(db, pushed, source)
            break
        except _PASSING:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(0.1 * attempt)
    kinds = [outcome.kind for outcome in pushed.outcomes.values()]
    so_far.taken += len(kinds)
    so_far.known += len(events) - len(kinds)
    so_far.waiting += kinds.count("waiting")
    so_far.without_effect += kinds.count("without-effect")
