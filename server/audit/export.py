"""A log of acts as lines of text, the oldest act first: NDJSON, or CSV that a spreadsheet opens without harm."""

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final

import orjson

from server.audit import queries
from server.audit.chain import time_of
from server.audit.model import Media
from server.audit.queries import Log
from server.db.connection import Opening, Row

NDJSON: Final[Media] = "application/x-ndjson"
CSV: Final[Media] = "text/csv"

_PIECE: Final = 500
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_CONTROLS: Final = ("\t", "\r", "\n")
_HEADINGS: Final = (
    "number", "at", "actor", "sessionId", "address", "action", "subject", "tenantId", "details", "erased", "digest",
    "link",
)  # fmt: skip


def media_of(accept: str) -> Media:
    """What an Accept header asks for: CSV where it names that before NDJSON, else NDJSON."""
    named = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    return CSV if CSV in named and (NDJSON not in named or named.index(CSV) < named.index(NDJSON)) else NDJSON


async def pieces(reading: Opening, log: Log, media: Media) -> AsyncGenerator[bytes, None]:
    """The whole log as it stands now, in pieces that are read in transactions of their own."""
    async with reading() as db:
        until = (await queries.get_end(db, log))["last"]
    after = 0
    if media == CSV:
        yield _csv([_HEADINGS])
    while after < until:
        async with reading() as db:
            rows = await queries.list_piece(db, log, after, until, _PIECE)
        if not rows:
            return
        after = rows[-1]["id"]
        yield _csv(map(_cells, rows)) if media == CSV else b"".join(map(line_of, rows))


def act_of(row: Row) -> dict[str, Any]:
    """An act as it is answered; its details as they are stored, to the letter, for whoever computes the digest."""
    return {
        "number": row["id"],
        "at": time_of(row["at"]),
        "actor": row["actor"],
        "sessionId": row["session_id"],
        "address": row["address"],
        "action": row["action"],
        "subject": row["subject"],
        "tenantId": row["tenant_id"],
        "details": orjson.Fragment(row["details"]),
        "erased": row["erased"],
        "digest": row["digest"].hex(),
        "link": row["link"].hex(),
    }


def line_of(row: Row) -> bytes:
    """An act as a line of NDJSON."""
    return orjson.dumps(act_of(row), option=orjson.OPT_APPEND_NEWLINE)


def defused(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula: one that begins like a formula gets an apostrophe."""
    return f"'{text}" if text.startswith(_CONTROLS) or text.lstrip().startswith(_FORMULA) else text


def _cells(row: Row) -> list[str]:
    act = act_of(row) | {"details": row["details"]}
    return [defused("" if (value := act[name]) is None else str(value)) for name in _HEADINGS]


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    # Quoted, all of them: a spreadsheet may take another character than the comma for what parts cells.
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
