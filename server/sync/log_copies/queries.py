"""The SQL of copies. Everything is meant inside one schema and only reads."""

from server.db import Connection
from server.db.connection import Row


async def list_whole_events(db: Connection, after: int, up_to: int, limit: int, most_bytes: int) -> list[Row]:
    """The events with numbers in (after, up_to], in order, with all that a copy holds of them.

    At most `limit` of them, and about `most_bytes` of stored data, but one at least.
    """
    return await db.fetch(
        """
        WITH next AS (
            SELECT seq, sum(pg_column_size(data)) OVER (ORDER BY seq) AS bytes
            FROM (SELECT seq, data FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3) AS candidates
        )
        SELECT seq, guid, entity_guid, type, data, applied, timestamp, user_id, received_at, device_id, account,
               outcome, reason
        FROM events
        WHERE seq > $1 AND seq <= (SELECT coalesce(max(seq) FILTER (WHERE bytes <= $4), min(seq)) FROM next)
        ORDER BY seq
        """,
        after,
        up_to,
        limit,
        most_bytes,
    )
