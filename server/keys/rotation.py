"""Sealing everything with the key that seals now, while servers work on it; and telling what each key sealed."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from server.audit import Author, record
from server.db import Connection, Database
from server.keys import queries
from server.keys.sealed_rows import KINDS, Kind, Row, opens
from server.vault import Keyring, key_id_of

Progress = Callable[[str, int, int], None]
"""Told of a kind's name, how many of its rows were looked at, and how many there are."""


@dataclass(slots=True)
class Tally:
    """What is sealed with which key. Each counts values by the kind's name and the key's id.

    missing: their key is not there; spoilt: their key is there and does not open them; opening: all others.
    `plain` counts, by the kind's name, secrets that are not sealed at all.
    """

    opening: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    spoilt: Counter[tuple[str, str]] = field(default_factory=Counter)
    plain: Counter[str] = field(default_factory=Counter)

    @property
    def key_ids(self) -> list[str]:
        """Every key that something is sealed with."""
        return sorted({key_id for counts in (self.opening, self.missing, self.spoilt) for _, key_id in counts})

    @property
    def unreadable(self) -> int:
        """How many values cannot be opened."""
        return self.missing.total() + self.spoilt.total()

    def outstanding(self, current: str) -> int:
        """How many values could be sealed anew."""
        return self.plain.total() + sum(n for (_, key_id), n in self.opening.items() if key_id != current)

    def add(self, kind: str, row: Row, keyring: Keyring) -> None:
        """Counts a row."""
        self.plain[kind] += row.plain
        for sealed in row.sealed:
            key_id = key_id_of(sealed) or "none"
            self._counts_for(key_id, sealed, row.place, keyring)[kind, key_id] += 1

    def _counts_for(self, key_id: str, sealed: str, place: str, keyring: Keyring) -> Counter[tuple[str, str]]:
        if opens(keyring, sealed, place):
            return self.opening
        return self.spoilt if keyring.has_key(key_id) else self.missing


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: rows sealed anew, rows that somebody else changed meanwhile, and what there is after it."""

    renewed: int
    overtaken: int
    left: Tally


async def tally(database: Database, keyring: Keyring, kinds: Sequence[Kind] = KINDS) -> Tally:
    """Counts everything that is sealed, without changing anything."""
    counted = Tally()
    for kind in kinds:
        async for batch in _batches(database, kind, _silent):
            for row in batch:
                counted.add(kind.name, row, keyring)
    return counted


async def rotate(database: Database, keyring: Keyring, author: Author, *, progress: Progress | None = None) -> Rotated:
    """Seals everything with the key that seals now. Killed, it is to be run again; a second run finds nothing to do.

    A row that changes meanwhile is left to whoever changed it, whose server seals with its own key. Keys that nothing
    needs any more are forgotten.
    """
    renewed = overtaken = 0
    for kind in KINDS:
        async for batch in _batches(database, kind, progress or _silent):
            wanting = [row for row in batch if row.needs(keyring)]
            if wanting:
                async with database.shared() as db:
                    done = [await kind.renew(db, row, keyring) for row in wanting]
                renewed += sum(done)
                overtaken += len(done) - sum(done)
    left = await tally(database, keyring)
    async with database.shared() as db:
        await _forget(db, keyring, left)
        if renewed:
            await record(db, author, "secrets.rotated", f"key:{keyring.current}", details={"rows": renewed})
    return Rotated(renewed, overtaken, left)


async def _batches(database: Database, kind: Kind, progress: Progress) -> AsyncIterator[list[Row]]:
    key, seen = kind.before_all, 0
    async with database.shared(readonly=True) as db:
        total = await kind.count(db)
    progress(kind.name, 0, total)
    while True:
        async with database.shared(readonly=True) as db:
            batch = await kind.list_after(db, key)
        if not batch:
            return
        yield batch
        key, seen = batch[-1].key, seen + len(batch)
        progress(kind.name, seen, max(seen, total))


async def _forget(db: Connection, keyring: Keyring, left: Tally) -> None:
    await queries.note_key(db, keyring.current)
    noted = await queries.list_noted_keys(db)
    await queries.forget_keys(db, sorted(set(noted) - {keyring.current, *left.key_ids}))


def _silent(_: str, __: int, ___: int) -> None:
    pass
