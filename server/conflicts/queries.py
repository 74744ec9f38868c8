"""The SQL of conflicts and histories. Everything is meant inside one schema; names are never qualified."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from server.db import Connection
from server.db.connection import Row
from server.entities.queries import EVENT_RANK

OPEN: Final = "open"
CHOSEN: Final = "chosen"
SUPERSEDED: Final = "superseded"
GONE: Final = "gone"

MOST_OF_ENTITY: Final = 200
MOST_OF_PUSH: Final = 10_000
MOST_BYTES: Final = 8_000_000
"""How much stored data one statement brings at most, about."""

_EVENT_COLUMNS: Final = (
    "e.seq, e.guid, e.entity_guid, e.type, e.data, e.applied, e.timestamp, e.timestamp_ms, e.effective_ms, "
    "e.user_id, e.base_seq, e.account, e.device_id, e.received_at, e.outcome, e.reason, e.erased, e.erases"
)


# Finding


async def list_open_of(db: Connection, guids: Sequence[str]) -> list[Row]:
    """The open conflicts of the entities: id, entity_guid, field, and of both events where they stand and whose."""
    return await db.fetch(
        """
        SELECT c.id, c.entity_guid, c.field,
               json_build_object('seq', b.seq, 'guid', b.guid, 'type', b.type, 'effective_ms', b.effective_ms,
                   'timestamp_ms', b.timestamp_ms, 'account', b.account, 'device_id', b.device_id) AS event,
               json_build_object('seq', o.seq, 'guid', o.guid, 'type', o.type, 'effective_ms', o.effective_ms,
                   'timestamp_ms', o.timestamp_ms, 'account', o.account, 'device_id', o.device_id) AS other
        FROM conflicts c JOIN events b ON b.seq = c.event_seq JOIN events o ON o.seq = c.other_seq
        WHERE c.state = 'open' AND c.entity_guid = ANY($1)
        """,
        guids,
    )


async def list_unseen(
    db: Connection,
    guids: Sequence[str],
    bases: Sequence[int],
    *,
    before: int,
    types: Sequence[str],
    account: str,
    device_id: str,
) -> list[Row]:
    """The events of these types by other devices that took effect and mention an entity, after its number in `bases`.

    Looks at the newest MOST_OF_ENTITY events of each entity, at MOST_OF_PUSH in all, and of these takes the newest that
    are not more than MOST_BYTES together. What lies beyond is left out.
    """
    # Ranges of pairs and the fence leave one way to run it: from each entity to its mentions, and on to the events.
    return await db.fetch(
        f"""
        WITH unseen AS MATERIALIZED (
            SELECT DISTINCT seq FROM (
                SELECT m.seq
                FROM unnest($1::text[], $2::bigint[]) AS a (entity_guid, base) CROSS JOIN LATERAL (
                    SELECT m.seq FROM mentions m
                    WHERE (m.entity_guid, m.seq) > (a.entity_guid, a.base)
                      AND (m.entity_guid, m.seq) < (a.entity_guid, $3::bigint)
                    ORDER BY m.entity_guid DESC, m.seq DESC LIMIT {MOST_OF_ENTITY}
                ) AS m
                LIMIT {MOST_OF_PUSH}
            ) AS bounded
        )
        SELECT {_EVENT_COLUMNS} FROM (
            SELECT {_EVENT_COLUMNS}, sum(pg_column_size(e.data)) OVER (ORDER BY e.seq DESC) AS bytes
            FROM unseen u CROSS JOIN LATERAL (
                SELECT {_EVENT_COLUMNS} FROM events e WHERE e.seq = u.seq OFFSET 0
            ) AS e
            WHERE e.outcome = 'applied' AND e.type = ANY($4) AND (e.account <> $5 OR e.device_id <> $6)
        ) AS e
        WHERE e.bytes <= {MOST_BYTES}
        """,
        guids,
        bases,
        before,
        types,
        account,
        device_id,
    )


async def insert_conflicts(db: Connection, rows: Sequence[tuple[str, str, str, int, str, int]], at: datetime) -> None:
    """Notes conflicts, given as (entity_guid, field, event_guid, event_seq, other_guid, other_seq)."""
    entities, fields, guids, seqs, others, other_seqs = zip(*rows, strict=True)
    await db.execute(
        """
        INSERT INTO conflicts (entity_guid, field, event_guid, event_seq, other_guid, other_seq, found_at)
        SELECT n.*, $7
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[]) AS n
        ON CONFLICT (event_seq, other_seq, field) DO NOTHING
        """,
        entities,
        fields,
        guids,
        seqs,
        others,
        other_seqs,
        at,
    )


async def set_savepoint(db: Connection) -> None:
    """Marks where `return_to_savepoint` returns to."""
    await db.execute("SAVEPOINT before_choice")


async def return_to_savepoint(db: Connection) -> None:
    """Gives up everything since the savepoint."""
    await db.execute("ROLLBACK TO SAVEPOINT before_choice")


async def settle(db: Connection, rows: Sequence[tuple[int, str, str | None]], *, at: datetime, by: str) -> int:
    """Settles open conflicts, given as (id, state, the guid of the event that settled it); how many were open."""
    ids, states, events = zip(*rows, strict=True)
    settled = await db.fetch(
        """
        UPDATE conflicts c SET state = n.state, settled_at = $4, settled_by = $5, settled_with = n.event
        FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n (id, state, event)
        WHERE c.id = n.id AND c.state = 'open'
        RETURNING 1
        """,
        ids,
        states,
        events,
        at,
        by,
    )
    return len(settled)


# Listing


@dataclass(frozen=True, slots=True)
class Filters:
    """Which conflicts are meant: all of one state, and only those of the entity or the form where that is not None."""

    state: str
    entity: str | None = None
    form: str | None = None


# Not every deletion comes with a push of a device, which would write it down here: so the entity is asked, too.
_IN_STATE: Final = {
    OPEN: "c.state = 'open' AND e.state = 'live'",
    CHOSEN: "c.state = 'chosen'",
    SUPERSEDED: "c.state = 'superseded'",
    GONE: "(c.state = 'gone' OR (c.state = 'open' AND e.state <> 'live'))",
}
_OF_ENTITY: Final = {True: "c.entity_guid = $1", False: "$1::text IS NULL"}
_OF_FORM: Final = {True: "coalesce(nullif(e.entity_name, ''), e.type) = $2", False: "$2::text IS NULL"}

_COLUMNS: Final = """
    c.id, c.entity_guid, c.field, c.event_seq, c.other_seq, c.found_at, c.settled_at, c.settled_by, c.settled_with,
    CASE WHEN c.state = 'open' AND e.state <> 'live' THEN 'gone' ELSE c.state END AS state,
    e.name, coalesce(nullif(e.entity_name, ''), e.type) AS form, e.type, e.deaths, e.born, e.newest, e.fed_seq,
    (e.data -> c.field)::text AS current
"""

# Fenced off, so that conflicts are read in their order and each looks up its entity, however large the tables are.
_WITH_ENTITIES: Final = """
    conflicts c CROSS JOIN LATERAL (
        SELECT n.name, n.entity_name, n.type, n.state, n.deaths, n.born, n.newest, n.fed_seq, n.data
        FROM entities n WHERE n.guid = c.entity_guid OFFSET 0
    ) AS e
"""


async def list_conflicts(db: Connection, filters: Filters, before: int, limit: int) -> list[Row]:
    """Conflicts below the id `before`, the newest first, each with how its entity stands.

    `bytes` is how much the entities and events of this one and those before it in the list take, about.
    """
    return await db.fetch(
        f"""
        SELECT c.*, sum(c.size) OVER (ORDER BY c.id DESC) AS bytes FROM (
            SELECT c.*, c.entity_size + (SELECT pg_column_size(b.data) FROM events b WHERE b.seq = c.event_seq)
                   + (SELECT pg_column_size(o.data) FROM events o WHERE o.seq = c.other_seq) AS size
            FROM (
                SELECT {_COLUMNS}, pg_column_size(e.data) AS entity_size FROM {_WITH_ENTITIES}
                WHERE {_IN_STATE[filters.state]}
                  AND {_OF_ENTITY[filters.entity is not None]} AND {_OF_FORM[filters.form is not None]} AND c.id < $3
                ORDER BY c.id DESC LIMIT $4
            ) AS c
        ) AS c
        ORDER BY c.id DESC
        """,
        filters.entity,
        filters.form,
        before,
        limit,
    )


async def count_conflicts(db: Connection, filters: Filters, most: int) -> int:
    """How many conflicts are meant, counted up to `most`."""
    return int(
        await db.fetchval(
            f"""
            SELECT count(*) FROM (
                SELECT FROM {_WITH_ENTITIES}
                WHERE {_IN_STATE[filters.state]}
                  AND {_OF_ENTITY[filters.entity is not None]} AND {_OF_FORM[filters.form is not None]}
                LIMIT $3
            ) AS counted
            """,
            filters.entity,
            filters.form,
            most,
        )
    )


async def find_conflict(db: Connection, conflict_id: int) -> Row | None:
    """One conflict, with how its entity stands."""
    return await db.fetchrow(f"SELECT {_COLUMNS} FROM {_WITH_ENTITIES} WHERE c.id = $1", conflict_id)


async def list_events(db: Connection, seqs: Sequence[int]) -> list[Row]:
    """The events with these numbers."""
    return await db.fetch(f"SELECT {_EVENT_COLUMNS} FROM events e WHERE e.seq = ANY($1)", seqs)


async def find_event(db: Connection, guid: str) -> Row | None:
    """The event with this guid."""
    return await db.fetchrow(f"SELECT {_EVENT_COLUMNS} FROM events e WHERE e.guid = $1", guid)


# History


async def list_history(db: Connection, guid: str, after: tuple[Any, ...] | None, limit: int) -> list[Row]:
    """The events that speak of the entity, in the order in which they are folded, after a place in it.

    A place is (effective_ms, timestamp_ms, rank, guid). Not more than MOST_BYTES together, but always one;
    `remaining` says how many there are up to the limit.
    """
    return await db.fetch(
        f"""
        SELECT {_EVENT_COLUMNS}, e.rank, e.remaining FROM (
            SELECT e.*, count(*) OVER () AS remaining, row_number() OVER turns AS number,
                   sum(pg_column_size(e.data)) OVER turns AS bytes
            FROM (
                SELECT * FROM (
                    SELECT {_EVENT_COLUMNS}, {EVENT_RANK} AS rank FROM events e
                    WHERE e.seq IN (SELECT m.seq FROM mentions m WHERE m.entity_guid = $1)
                ) AS e
                WHERE $2::bigint IS NULL
                   OR (e.effective_ms, e.timestamp_ms, e.rank, e.guid) > ($2, $3::bigint, $4::bigint, $5::text)
                ORDER BY e.effective_ms, e.timestamp_ms, e.rank, e.guid LIMIT $6
            ) AS e
            WINDOW turns AS (ORDER BY e.effective_ms, e.timestamp_ms, e.rank, e.guid)
        ) AS e
        WHERE e.number = 1 OR e.bytes <= {MOST_BYTES}
        ORDER BY e.number
        """,
        guid,
        *(after or (None, None, None, None)),
        limit,
    )


async def list_written_after(db: Connection, guid: str, place: tuple[Any, ...], fields: Sequence[str]) -> set[str]:
    """Those of the fields that an event of the entity itself writes behind the place."""
    rows = await db.fetch(
        f"""
        SELECT DISTINCT f.field
        FROM (
            SELECT e.seq, e.guid, e.effective_ms, e.timestamp_ms, {EVENT_RANK} AS rank,
                   coalesce(e.applied, e.data)::jsonb AS written
            FROM events e
            WHERE e.seq IN (SELECT m.seq FROM mentions m WHERE m.entity_guid = $1)
              AND e.entity_guid = $1 AND e.outcome = 'applied'
              AND e.type IN ('create-individual', 'update-individual', 'create-group', 'update-group')
        ) AS e JOIN unnest($6::text[]) AS f (field) ON e.written ? f.field
        WHERE (e.effective_ms, e.timestamp_ms, e.rank, e.guid) > ($2::bigint, $3::bigint, $4::bigint, $5::text)
        """,
        guid,
        *place,
        fields,
    )
    return {row["field"] for row in rows}


async def list_conflicts_of(db: Connection, guid: str, events: Sequence[str]) -> list[Row]:
    """The conflicts of the entity in which one of the events takes part: id, field, event_guid, other_guid.

    Open ones come last, else the newest.
    """
    return await db.fetch(
        """
        SELECT id, field, event_guid, other_guid FROM conflicts
        WHERE entity_guid = $1 AND (event_guid = ANY($2) OR other_guid = ANY($2))
        ORDER BY state = 'open', id
        """,
        guid,
        events,
    )
