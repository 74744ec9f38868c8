"""Whether both sides have written the same: else there is nothing to compare."""

from typing import Any

from server.db import Scope
from server.db.scope import quoted
from tests.bench.connection import Connection, connected

_SAMPLE = 50
_NUMBERS = frozenset({"seq", "fed_seq"})


async def check_likeness(superuser_dsn: str, croft: Scope, floor: Scope) -> dict[str, int]:
    """How many rows each table of both tenants has. Fails where they differ, or a sample of their entities and events.

    Numbers are left out of the sample: of clients that push at once, now one is first and now the other.
    """
    async with connected(superuser_dsn) as db:
        rows = {}
        for table in await tables_of(db, croft):
            counts = [await db.fetchval(f"SELECT count(*) FROM {_name(scope, table)}") for scope in (croft, floor)]
            assert counts[0] == counts[1], f"{table}: Croft has {counts[0]} rows, the floor {counts[1]}"
            rows[table] = counts[0]
        heads = [await db.fetchval(f"SELECT head FROM {_name(scope, 'sync_head')}") for scope in (croft, floor)]
        assert heads[0] == heads[1], f"Croft's head is {heads[0]}, the floor's {heads[1]}"
        for table in ("entities", "events"):
            guids = await db.fetch(f"SELECT guid FROM {_name(croft, table)} ORDER BY guid LIMIT {_SAMPLE}")
            sought = [row["guid"] for row in guids]
            one, other = [await _rows(db, scope, table, sought) for scope in (croft, floor)]
            assert one == other, f"{table}: Croft wrote {one}, the floor {other}"
    return rows


async def tables_of(db: Connection, scope: Scope) -> list[str]:
    """The tables of a tenant in which its data is: what was done to the tenant itself is no part of a push."""
    rows = await db.fetch(
        "SELECT tablename FROM pg_tables "
        "WHERE schemaname = $1 AND tablename NOT LIKE '%migration%' AND tablename NOT LIKE 'acts%' ORDER BY 1",
        scope.schema,
    )
    return [row["tablename"] for row in rows]


async def _rows(db: Connection, scope: Scope, table: str, guids: list[str]) -> list[dict[str, Any]]:
    rows = await db.fetch(f"SELECT * FROM {_name(scope, table)} WHERE guid = ANY($1) ORDER BY guid", guids)
    return [{key: value for key, value in row.items() if key not in _NUMBERS} for row in rows]


def _name(scope: Scope, table: str) -> str:
    return f"{quoted(scope.schema)}.{quoted(table)}"
