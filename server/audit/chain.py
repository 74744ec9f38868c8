"""Walking a log of acts from its first act to its last, with each digest and link computed anew from what is stored.

The database makes the chain; here it is followed another way, so that neither can hide a mistake of the other. The log
is read piece by piece, each in a transaction of its own: what lies below a head that was seen is never written again,
but for details that are erased.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import orjson

from server.audit import queries
from server.audit.queries import Log
from server.db.connection import Opening, Row

ERASED: Final = "acts.erased"
"""The action of the act that says which acts had their details erased: {"acts": [number]}."""

_BEFORE_ALL: Final = -(2**63)
_PIECE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the walk: a log of `acts` acts, up to the head as it was when the walk began.

    fault: what is wrong at the first place where anything is, None for a log that is what was recorded; broken_at: the
    number of the act there. link: the head's, to be kept elsewhere. erased: of how many acts the details are gone.
    expected: the number of the act that has the link that was expected, None where no act has it that is proven.
    """

    acts: int
    link: bytes
    erased: int
    fault: str | None = None
    broken_at: int | None = None
    expected: int | None = None


async def verify(reading: Opening, log: Log, *, expect: bytes | None = None) -> Verdict:
    """Proves a log. `reading` opens transactions in its scope; `expect` is a link that an earlier run told."""
    async with reading() as db:
        end = await queries.get_end(db, log)
    walk = _Walk(expect)
    fault, broken_at = None, None
    try:
        await _follow(reading, log, walk, max(end["last"], end["last_act"]))
        walk.check_head(end["last"], end["link"])
        walk.check_erased()
    except _Fault as found:
        fault, broken_at = str(found), found.number
    return Verdict(end["last"], end["link"], len(walk.erased), fault, broken_at, walk.expected)


async def _follow(reading: Opening, log: Log, walk: "_Walk", until: int) -> None:
    after = _BEFORE_ALL
    while True:
        async with reading() as db:
            rows = await queries.list_piece(db, log, after, until, _PIECE)
        for row in rows:
            walk.step(row)
        if len(rows) < _PIECE:
            return
        after = rows[-1]["id"]


class _Fault(Exception):
    """Something is not as it was recorded."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.number = number


class _Walk:
    """How far the chain was followed."""

    def __init__(self, expect: bytes | None) -> None:
        self.expected: int | None = None
        self.erased: set[int] = set()
        self._told: set[int] = set()
        self._last = 0
        self._link = b""
        self._expect = expect

    def step(self, row: Row) -> None:
        """The next act. Raises _Fault where it is not the one that was recorded there."""
        number = row["id"]
        if number != self._last + 1:
            raise self._out_of_order(number)
        self._check_details(row)
        link = sha256(self._link + text_of(row).encode()).digest()
        if link != row["link"]:
            raise _Fault(number, f"Act {number} is not what was recorded, or not what followed act {self._last}.")
        self._last, self._link = number, link
        if link == self._expect:
            self.expected = number

    def check_head(self, last: int, link: bytes) -> None:
        if last != self._last:
            raise _Fault(
                min(last, self._last) + 1, f"The log was taken as far as act {last}, but it ends with act {self._last}."
            )
        if link != self._link:
            raise _Fault(last, f"The link at the head is not the one of act {last}.")

    def check_erased(self) -> None:
        if untold := self.erased - self._told:
            number = min(untold)
            raise _Fault(number, f"The details of act {number} are gone, and no act says that they were erased.")

    def _out_of_order(self, number: int) -> _Fault:
        if number > self._last + 1:
            return _Fault(self._last + 1, f"Act {self._last + 1} is missing.")
        return _Fault(number, f"Act {number} stands before the first one.")

    def _check_details(self, row: Row) -> None:
        number, details = row["id"], row["details"]
        if row["erased"]:
            self.erased.add(number)
        elif sha256(details.encode()).digest() != row["digest"]:
            raise _Fault(number, f"The details of act {number} are not those that were recorded.")
        elif row["action"] == ERASED:
            self._told |= _numbers_in(details)


def text_of(row: Row) -> str:
    """What of an act is linked: a JSON list of number, time, actor, session, address, action, subject, tenant, digest.

    As PostgreSQL writes it: a blank behind each comma, and nothing escaped that need not be.
    """
    return json.dumps(
        [
            row["id"],
            time_of(row["at"]),
            *(row[name] for name in ("actor", "session_id", "address", "action", "subject", "tenant_id")),
            row["digest"].hex(),
        ],
        ensure_ascii=False,
    )


def time_of(at: datetime) -> str:
    """`2026-01-31T08:15:00.000000Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _numbers_in(details: str) -> set[int]:
    said: Any = orjson.loads(details)
    numbers = said.get("acts") if isinstance(said, dict) else None
    return {number for number in numbers if isinstance(number, int)} if isinstance(numbers, list) else set()
