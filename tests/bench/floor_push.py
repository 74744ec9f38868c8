"""The floor of a push: the very rows that Croft wrote, into a second tenant's tables, by plain asyncpg alone.

The rows are read back from the tenant to which Croft took them, with whatever columns its tables have. So both sides
write the same rows into the same tables under the same indexes, and the same chain of pushes.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from time import perf_counter
from typing import Any, Final

from server.db import Scope
from server.db.connection import Row
from server.db.scope import enter_statement, quoted
from tests.bench.connection import Connection, connect
from tests.bench.timing import Run

_SAME_IN_A_PUSH: Final = frozenset({"account", "device_id", "received_at"})
_NUMBERED_BY: Final = {"events": "seq", "mentions": "seq", "entities": "fed_seq"}


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of one table are read back and written.

    `$1` of `read` is the number before the push's first, `$2` its last. Where the rows are numbered, `$1` of `write` is
    the number before the push's first, too.
    """

    read: str
    write: str
    is_numbered: bool
    columns: tuple[str, ...]
    scalars: tuple[str, ...]

    def parameters(self, rows: Sequence[Row]) -> list[Any]:
        """The columns of one push's rows, in the order of the statement's parameters."""
        return [
            *([row[name] for row in rows] for name in self.columns),
            *(rows[0][name] for name in self.scalars),
        ]


@dataclass(frozen=True, slots=True)
class Push:
    """Everything one push writes, ready to be written."""

    scope: Scope
    count: int
    head: tuple[Any, ...]
    device: tuple[Any, ...]
    forms: tuple[list[str], list[int]]
    tables: tuple[tuple[Table, list[Any]], ...]


class FloorPush:
    """Writes to the database at `dsn`; `superuser_dsn` reads what Croft wrote there."""

    def __init__(self, dsn: str, superuser_dsn: str) -> None:
        self._dsn = dsn
        self._superuser_dsn = superuser_dsn
        self._reading: Connection | None = None
        self._writing: list[Connection] = []
        self._tables: dict[str, Table] = {}
        self._pushes: deque[Push] = deque()

    async def prepare(self, pairs: Sequence[tuple[Scope, Scope]], *, clients: int) -> None:
        """Reads back what the first of each pair of tenants has and the second has not."""
        await self._connect(clients)
        each = [await self._read_back(source, target) for source, target in pairs]
        self._pushes = deque(push for pushes in zip_longest(*each) for push in pushes if push is not None)

    async def push(self) -> Run:
        """Writes what was prepared, one transaction a push."""
        run = Run(rows=sum(push.count for push in self._pushes))
        began = perf_counter()
        await asyncio.gather(*(self._write(db, run) for db in self._writing))
        run.seconds = perf_counter() - began
        return run

    async def close(self) -> None:
        """Closes the connections."""
        for db in (self._reading, *self._writing):
            if db is not None:
                await db.close()

    async def _write(self, db: Connection, run: Run) -> None:
        while self._pushes:
            push = self._pushes.popleft()
            began = perf_counter()
            await db.execute(f"BEGIN; {enter_statement(push.scope)}")
            first = await db.fetchval(_TAKE_NUMBERS, *push.head)
            for table, parameters in push.tables:
                await db.execute(table.write, *((first,) if table.is_numbered else ()), *parameters)
            await db.execute(_COUNT, *push.forms)
            await db.execute(_NOTE_DEVICE, *push.device)
            await db.execute("COMMIT")
            run.took.append(perf_counter() - began)

    async def _connect(self, clients: int) -> None:
        if self._reading is None:
            self._reading = await connect(self._superuser_dsn)
        while len(self._writing) > clients:
            await self._writing.pop().close()
        while len(self._writing) < clients:
            self._writing.append(await connect(self._dsn))

    async def _read_back(self, source: Scope, target: Scope) -> list[Push]:
        db = self._reading
        assert db is not None
        if not self._tables:
            self._tables = {name: await _describe(db, source.schema, name) for name in (*_NUMBERED_BY, _KEYS)}
        after = await db.fetchval(f"SELECT head FROM {quoted(target.schema)}.sync_head")
        await db.execute(f"SET search_path = {quoted(source.schema)}")
        pushes = await db.fetch("SELECT * FROM pushes WHERE last_seq > $1 ORDER BY last_seq", after)
        return [await self._push(db, row, target) for row in pushes]

    async def _push(self, db: Connection, row: Row, target: Scope) -> Push:
        before, last = row["first_seq"] - 1, row["last_seq"]
        tables = []
        for table in self._tables.values():
            rows = await db.fetch(table.read, before, last)
            if rows:
                tables.append((table, table.parameters(rows)))
        digests = await db.fetchval(
            "SELECT string_agg(digest, '' ORDER BY seq) FROM events WHERE seq > $1 AND seq <= $2", before, last
        )
        forms = await db.fetch(_FORMS, before, last)
        who = row["account"], row["device_id"], row["received_at"]
        return Push(
            scope=target,
            count=last - before,
            head=(last - before, digests, *who),
            device=(row["device_id"], row["account"], row["received_at"]),
            forms=([each["form"] for each in forms], [each["n"] for each in forms]),
            tables=tuple(tables),
        )


async def _describe(db: Connection, schema: str, name: str) -> Table:
    """Every column as it is; lists as their text, because unnest would take them apart; numbers from the push's own."""
    found = await db.fetch(_COLUMNS, f"{quoted(schema)}.{name}")
    types: dict[str, str] = {row["name"]: row["type"] for row in found}
    number = _NUMBERED_BY.get(name)
    scalars = tuple(column for column in types if column in _SAME_IN_A_PUSH)
    columns = tuple(column for column in types if column not in scalars)
    read = [_reading(column, types[column], number) for column in columns] + list(scalars)
    where = f"{number} > $1 AND {number} <= $2 ORDER BY {number}" if number else _OF_ENTITIES
    place = 2 if number else 1
    given = [f"${at}::{_carried(types[column])}[]" for at, column in enumerate(columns, place)]
    written = [_writing(column, types[column], number) for column in columns]
    written += [f"${at}::{types[column]}" for at, column in enumerate(scalars, place + len(columns))]
    return Table(
        read=f"SELECT {', '.join(read)} FROM {name} WHERE {where}",
        write=f"INSERT INTO {name} ({', '.join((*columns, *scalars))}) SELECT {', '.join(written)}"
        f" FROM unnest({', '.join(given)}) AS n ({', '.join(columns)})",
        is_numbered=number is not None,
        columns=columns,
        scalars=scalars,
    )


def _reading(column: str, type_: str, number: str | None) -> str:
    if column == number:
        return f"{column} - $1 AS {column}"
    return f"{column}::text AS {column}" if type_.endswith("[]") else column


def _writing(column: str, type_: str, number: str | None) -> str:
    if column == number:
        return f"$1 + n.{column}"
    return f"n.{column}::{type_}" if type_.endswith("[]") else f"n.{column}"


def _carried(type_: str) -> str:
    return "text" if type_.endswith("[]") else type_


_KEYS: Final = "duplicate_keys"
_OF_ENTITIES: Final = "entity_guid IN (SELECT guid FROM entities WHERE fed_seq > $1 AND fed_seq <= $2)"

_COLUMNS: Final = """
SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
ORDER BY attnum
"""

_TAKE_NUMBERS: Final = """
WITH moved AS (
    UPDATE sync_head SET head = head + $1, previous = link, link = sha256(link || int8send(head + 1) || $2)
    RETURNING head, link, epoch
)
INSERT INTO pushes (last_seq, first_seq, epoch, account, device_id, received_at, link)
SELECT head, head - $1 + 1, epoch, $3, $4, $5, link FROM moved
RETURNING first_seq - 1
"""

_FORMS: Final = """
SELECT coalesce(nullif(entity_name, ''), type) AS form, count(*) AS n FROM entities
WHERE fed_seq > $1 AND fed_seq <= $2 AND state = 'live' GROUP BY 1
"""

_COUNT: Final = """
INSERT INTO entity_counts (form, n) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (form) DO UPDATE SET n = entity_counts.n + excluded.n
"""

_NOTE_DEVICE: Final = """
INSERT INTO devices (id, account, last_push) VALUES ($1, $2, $3)
ON CONFLICT (account, id) DO UPDATE SET last_push = excluded.last_push
"""
