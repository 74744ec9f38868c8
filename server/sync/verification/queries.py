"""The SQL of verification. Everything is meant inside one schema and only reads."""

from server.db import Connection
from server.db.connection import Row

BEFORE_ALL = -(2**63)
"""Less than every number: what stands before the first one would be out of place, and has to be met."""


async def keep_one_view(db: Connection) -> None:
    """All that the transaction reads is of one moment. Called before anything is read in it."""
    await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def get_end(db: Connection) -> Row:
    """epoch, head, link, previous: the head as it stands; last_event, last_push: what the tables end with then."""
    row = await db.fetchrow(
        """
        SELECT epoch, head, link, previous,
               (SELECT coalesce(max(seq), 0) FROM events) AS last_event,
               (SELECT coalesce(max(last_seq), 0) FROM pushes) AS last_push
        FROM sync_head
        """
    )
    assert row is not None
    return row


async def list_pushes(db: Connection, after: int, up_to: int, limit: int) -> list[Row]:
    """The pushes that end in (after, up_to], in order."""
    return await db.fetch(
        """
        SELECT last_seq, first_seq, link FROM pushes
        WHERE last_seq > $1 AND last_seq <= $2 ORDER BY last_seq LIMIT $3
        """,
        after,
        up_to,
        limit,
    )


async def list_erasures(db: Connection) -> dict[str, str]:
    """By person who was erased, the event by which she was."""
    rows = await db.fetch("SELECT guid, event_guid FROM erased_persons")
    return {row["guid"]: row["event_guid"] for row in rows}


async def find_push(db: Connection, link: bytes) -> Row | None:
    """The push with the link: first_seq, last_seq, epoch, received_at."""
    return await db.fetchrow("SELECT first_seq, last_seq, epoch, received_at FROM pushes WHERE link = $1", link)


async def list_mentions(db: Connection) -> list[Row]:
    """seq, and the entity_guids noted for it."""
    return await db.fetch("SELECT seq, array_agg(entity_guid) AS guids FROM mentions GROUP BY seq")


async def list_counts(db: Connection) -> dict[str, int]:
    """How many live entities are noted of each form; forms without any are left out."""
    return {row["form"]: row["n"] for row in await db.fetch("SELECT form, n FROM entity_counts WHERE n <> 0")}
