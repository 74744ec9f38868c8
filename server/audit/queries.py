"""The SQL of the logs of acts.

The operators' log stands in the shared schema, a tenant's own in the tenant's. What may be added to is called by one
name, what is read has one: each statement means the log of the scope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from server.db.connection import Connection, Row

Log = Literal["operators", "tenant"]
"""Whose log is meant; the transaction is in its scope."""

_COLUMNS: Final = (
    "id, at, actor, session_id, address, action, subject, tenant_id, details::text AS details, digest, link, erased"
)
_WANTED: Final = """
WHERE id < $1 AND ($2::text IS NULL OR actor = $2)
  AND ($3::text IS NULL OR action = $3 OR starts_with(action, $3 || '.'))
  AND ($4::text IS NULL OR subject = $4) AND ($5::timestamptz IS NULL OR at >= $5)
  AND ($6::timestamptz IS NULL OR at < $6) AND ($7::bigint IS NULL OR tenant_id = $7)
ORDER BY id DESC LIMIT $8
"""
_LIST: Final = {
    "operators": f"SELECT {_COLUMNS} FROM audit {_WANTED}",
    "tenant": f"SELECT {_COLUMNS} FROM acts {_WANTED}",
}
_PIECE: Final = "WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"
_LIST_PIECE: Final = {
    "operators": f"SELECT {_COLUMNS} FROM audit {_PIECE}",
    "tenant": f"SELECT {_COLUMNS} FROM acts {_PIECE}",
}
_END: Final = {
    "operators": "SELECT last, link, (SELECT coalesce(max(id), 0) FROM audit) AS last_act FROM audit_head",
    "tenant": "SELECT last, link, (SELECT coalesce(max(id), 0) FROM acts) AS last_act FROM acts_head",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which acts: those with a number less than `before`, and, where it is not None, by `actor`, of `action` or of the
    kind that it begins, on `subject`, from `since` and before `until`, about the tenant."""

    before: int
    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    tenant_id: int | None = None


async def append_act(
    db: Connection,
    actor: str,
    session_id: str,
    address: str,
    action: str,
    subject: str,
    tenant_id: int | None,
    details: str,
) -> int:
    """Adds one act to the log of the scope and gives its number. `details` is a JSON text."""
    return int(
        await db.fetchval(
            "SELECT append_act($1, $2, $3, $4, $5, $6, $7)",
            actor,
            session_id,
            address,
            action,
            subject,
            tenant_id,
            details,
        )
    )


async def erase_acts(
    db: Connection, actor: str, session_id: str, address: str, subject: str, ids: Sequence[int]
) -> int | None:
    """Empties the details of acts in the log of the scope; the number of the act that says so, None without any."""
    number: int | None = await db.fetchval(
        "SELECT erase_acts($1, $2, $3, $4, $5)", actor, session_id, address, subject, ids
    )
    return number


async def has_log(db: Connection) -> bool:
    """Whether there is a log in the schema of the scope."""
    return bool(await db.fetchval("SELECT to_regproc('append_act') IS NOT NULL"))


async def list_acts(db: Connection, log: Log, wanted: Wanted, limit: int) -> list[Row]:
    """The acts that are wanted, the newest first."""
    return await db.fetch(
        _LIST[log],
        wanted.before,
        wanted.actor,
        wanted.action,
        wanted.subject,
        wanted.since,
        wanted.until,
        wanted.tenant_id,
        limit,
    )


async def list_piece(db: Connection, log: Log, after: int, up_to: int, limit: int) -> list[Row]:
    """The acts with numbers in (after, up_to], in order."""
    return await db.fetch(_LIST_PIECE[log], after, up_to, limit)


async def get_end(db: Connection, log: Log) -> Row:
    """last, link: the head; last_act: what the table ends with at the same moment."""
    row = await db.fetchrow(_END[log])
    assert row is not None
    return row
