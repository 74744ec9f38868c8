"""The other server's database, read in one transaction that cannot write, and the values in its rows."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from math import isinf
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import asyncpg
import orjson

from server.db import Connection
from server.db.connection import Row
from server.kit.problem import Problem
from server.kit.strict_json import MAX_INTEGER, read_json
from server.moving_in.datacollect import queries

_NEEDED: Final = {
    "app_configs": ("id", "name", "entity_forms"),
    "users": ("id", "email", "password_hash", "role"),
    "events": ("guid", "tenant_id", "entity_guid", "type", "data", "timestamp", "user_id"),
    "entities": ("id", "guid", "modified", "last_updated", "tenant_id"),
    "audit_log": ("id", "tenant_id", "guid", "action", "entity_guid", "event_guid", "changes", "signature", "user_id"),
    "potential_duplicates": ("entity_guid", "duplicate_guid", "tenant_id"),
}
_JSON_COLUMNS: Final = frozenset(
    {
        "entity_forms",
        "entity_data",
        "external_sync",
        "auth_configs",
        "self_service",
        "sync_scope",
        "programs",
        "role_assignments",
    }
)
_CONNECT_SECONDS = 30
_SAFE_DIGITS = len(str(MAX_INTEGER))

_ADDRESS: Final = (
    "The address of the other server's database cannot be read. It is postgresql://LOGIN:PASSWORD@HOST:PORT/DATABASE; "
    "the characters @ : / ? # % of a password are written as %40 %3A %2F %3F %23 %25."
)

P = ParamSpec("P")
T = TypeVar("T")


class SourceError(Exception):
    """The other server's database cannot be read, and why, in words that hold no password."""


@dataclass(frozen=True, slots=True)
class Source:
    """The open database of the other server. `place` names it; `counts` tells by table and tenant how many rows."""

    db: Connection
    place: str
    counts: Mapping[tuple[str, str], int]
    has_tenants_of_users: bool

    def count(self, table: str, tenant: str) -> int:
        """How many rows of the table are the tenant's."""
        return self.counts.get((table, tenant), 0)

    async def ask(self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kw: P.kwargs) -> T:
        """What the query answers. Raises SourceError."""
        with _failures_of_source():
            return await query(self.db, *args, **kw)


@asynccontextmanager
async def open_source(dsn: str) -> AsyncIterator[Source]:
    """Everything read from it is of the same moment; nothing is written. Raises SourceError, also inside the block."""
    db = await _connect(dsn)
    try:
        with _failures_of_source():
            await db.transaction(isolation="repeatable_read", readonly=True).start()
            source = await _examine(db)
        yield source
    finally:
        db.terminate()


@contextmanager
def _failures_of_source() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise SourceError(f"The other server's database failed: {error}") from error


async def _connect(dsn: str) -> Connection:
    """Complains in words of its own: what the driver says of an address may hold parts of the password."""
    _check_address(dsn)
    try:
        return await asyncpg.connect(dsn, statement_cache_size=0, timeout=_CONNECT_SECONDS)
    except (asyncpg.PostgresError, OSError) as error:
        told = str(error) or type(error).__name__
        raise SourceError(f"The other server's database cannot be reached: {told}") from None
    except (ValueError, asyncpg.InterfaceError):
        raise SourceError(_ADDRESS) from None


def _check_address(dsn: str) -> None:
    """Refuses one of which a part of the password could be taken for something else."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        raise SourceError(_ADDRESS) from None
    after = f"{parts.path}{parts.query}{parts.fragment}"
    if parts.scheme not in ("postgresql", "postgres") or parts.netloc.count("@") > 1 or "@" in after:
        raise SourceError(_ADDRESS)


async def _examine(db: Connection) -> Source:
    await queries.lift_limits(db)
    about = await queries.describe(db)
    place = f"{about['database']} (as {about['login']})"
    columns = await queries.list_columns(db)
    missing = [f"{table}.{name}" for table, names in _NEEDED.items() for name in names if (table, name) not in columns]
    if missing:
        raise SourceError(
            f"The database {place} is none of a DataCollect server, or the login may not read it: "
            f"there is no {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}."
        )
    counts = {(row["table"], row["tenant"]): row["n"] for row in await queries.count_rows(db)}
    return Source(db, place, counts, ("users", "tenant_ids") in columns)


async def in_batches(rows: AsyncIterable[Row], most: int, most_bytes: int, sized: str) -> AsyncIterator[Sequence[Row]]:
    """The rows in lists of at most `most`, and of about `most_bytes` in the column `sized`. Raises SourceError."""
    batch: list[Row] = []
    size = 0
    with _failures_of_source():
        async for row in rows:
            batch.append(row)
            size += len(row[sized] or "")
            if len(batch) >= most or size >= most_bytes:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def read_value(text: str) -> Any:
    """The value of a JSON text as a phone reads it. Raises ValueError for what this server cannot keep.

    To a phone every number is a float, so a long integer is one as well, as long as it says the same.
    """
    try:
        return read_json(text.encode())
    except Problem as fault:
        refused = fault
    try:
        return read_json(orjson.dumps(json.loads(text, parse_int=_integer, parse_float=_float)))
    except (Problem, TypeError, RecursionError):
        raise ValueError(refused.detail) from None


def read_row(text: str) -> dict[str, Any]:
    """A whole row of app_configs or users. Raises ValueError as `read_value` does.

    Some versions have kept the JSON of a column as a text within JSON.
    """
    row: dict[str, Any] = read_value(text)
    packed = {key: read_value(row[key]) for key in _JSON_COLUMNS & row.keys() if isinstance(row[key], str)}
    return {**row, **packed}


def _integer(digits: str) -> int | float:
    if len(digits) < _SAFE_DIGITS or (len(digits) <= _SAFE_DIGITS + 1 and abs(int(digits)) <= MAX_INTEGER):
        return int(digits)
    number = _float(digits)
    if Decimal(repr(number)) != Decimal(digits):
        raise ValueError(f"The number {digits[:40]} has more digits than a phone can hold.")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"The number {digits[:40]}… is too large.")
    return number
