"""Snapshots: every live entity, for a device that holds nothing yet.

The snapshot has the cursor of the head at which it begins, and is read in short transactions, in the order in which
entities were changed last. An entity that does not change meanwhile keeps its place and is met once, as it was at that
head.
One that does is fed under a number past the head: it may be met, or twice, or not at all, and comes in the pull that
follows from the cursor.
"""

import base64
import binascii
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from server.db import Connection
from server.kit.problem import FieldError
from server.sync.v2 import queries
from server.sync.v2.cursor import BAD_CURSOR, Head, check_epoch, find_head
from server.sync.v2.lines import lines_of
from server.sync.v2.pull import Puller

_STEP: Final = 1_000
_STEP_BYTES: Final = 2 * 1024 * 1024

_BEFORE_ALL: Final = (-(2**63), "")
_LARGEST: Final = 2**63
_PARTS: Final = [[str, int, int, str, int, kind] for kind in (str, type(None))]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a snapshot has come: of which epoch and head, behind which place, how many entities were sent."""

    epoch: str
    seq: int
    place: tuple[int, str]
    sent: int
    form: str | None

    @property
    def token(self) -> str:
        """What a device sends to go on from here."""
        content = orjson.dumps([self.epoch, self.seq, *self.place, self.sent, self.form])
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    @property
    def cursor(self) -> str:
        """Where the device pulls from afterwards."""
        return Head(self.epoch, self.seq).cursor_at(self.seq)


async def begin(db: Connection, form: str | None, resume: str | None) -> tuple[Progress, int]:
    """Where the snapshot begins, or goes on behind a token, and how many entities there are about in all.

    Raises sync.bad-cursor for a token that was not given out for this form, and sync.epoch-changed.
    """
    head = await find_head(db)
    progress = Progress(head.epoch, head.seq, _BEFORE_ALL, 0, form) if resume is None else _progress(resume, form)
    check_epoch(progress.epoch, head)
    if progress.seq > head.seq:
        head.refuse()
    return progress, await queries.count_entities(db, progress.form)


async def stream(puller: Puller, progress: Progress, total: int) -> AsyncGenerator[bytes, None]:
    """The lines of the snapshot. Raises sync.epoch-changed when a new epoch begins meanwhile."""
    lines = _line({"snapshot": {"epoch": progress.epoch, "cursor": progress.cursor, "total": total}})
    while True:
        async with puller.reading() as db:
            piece = await _read(db, progress)
        lines += lines_of("entity", piece.entities)
        if piece.is_last:
            break
        progress = replace(progress, place=piece.place, sent=progress.sent + len(piece.entities))
        yield lines + _line({"resume": progress.token, "sent": progress.sent})
        lines = b""
    await puller.note_served(progress.seq if progress.form is None else None)
    yield lines + _line({"cursor": progress.cursor, "done": True})


@dataclass(frozen=True, slots=True)
class _Piece:
    entities: list[bytes]
    place: tuple[int, str]
    is_last: bool


async def _read(db: Connection, progress: Progress) -> _Piece:
    """The next entities: as many as are not too heavy together, one at least."""
    limit = _STEP
    most: int | None = _STEP_BYTES
    while True:
        rows = await queries.read_entities(db, progress.place, limit, most, progress.form)
        told, *entities = [row["line"] for row in rows]
        piece = orjson.loads(told)
        check_epoch(progress.epoch, Head(piece["epoch"], 0))
        if piece["fits"]:
            place = (rows[-1]["updated_ms"], orjson.loads(entities[-1])["guid"]) if entities else progress.place
            return _Piece(entities, place, is_last=len(entities) < limit)
        assert most is not None
        weight = await queries.weigh_entities(db, progress.place, limit, most, progress.form)
        if weight <= most or limit == 1:
            most = None
        else:
            limit = max(1, int(limit * min(0.5, most / weight)))


def _progress(token: str, form: str | None) -> Progress:
    parts = _parts(token)
    if [type(part) for part in parts] not in _PARTS or not all(map(_is_sane, parts)):
        raise _bad()
    epoch, seq, ms, guid, sent, of_form = parts
    if form not in (None, of_form):
        raise _bad()
    return Progress(epoch, seq, (ms, guid), sent, of_form)


def _parts(token: str) -> list[Any]:
    try:
        parts = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _bad() from None
    return parts if isinstance(parts, list) else []


def _is_sane(part: str | int | None) -> bool:
    if isinstance(part, int):
        return -_LARGEST <= part < _LARGEST
    return part is None or "\0" not in part


def _bad() -> Exception:
    return BAD_CURSOR(errors=[FieldError("resume", "is none that was given out for this snapshot")])


def _line(value: object) -> bytes:
    return orjson.dumps(value) + b"\n"
