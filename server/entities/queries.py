"""The SQL by which entities are read. Everything is meant inside one schema; names are never qualified.

Statements are put together from constants, one for each filter that is asked for, so that the database plans for
exactly these. A filter that is not asked for still takes its parameter, which then is NULL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.db import Connection
from server.db.connection import Row


@dataclass(frozen=True, slots=True)
class Filters:
    """Which live entities are meant; None asks nothing. `name_parts` has the letters of `search` that are indexed."""

    type: str | None = None
    form: str | None = None
    updated_since_ms: int | None = None
    search: str | None = None
    name_parts: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list: after a place, past some rows, at most so many.

    `order` is 'lastUpdated asc', 'lastUpdated desc', 'name asc' or 'name desc'; `after` the sorted value and the guid.
    """

    order: str
    limit: int
    offset: int = 0
    after: tuple[Any, str] | None = None


# A very long name is cut where it is sorted by, and shown whole.
_COLUMNS: Final = """
    e.guid, e.entity_name, e.type, e.data::text AS data, e.member_ids, e.version, e.external_id, e.updated_ms,
    e.name AS sorted_name,
    CASE WHEN jsonb_typeof(e.data -> 'name') = 'string' THEN coalesce(nullif(e.data ->> 'name', ''), e.name)
         ELSE e.name END AS name
"""

# Written out, so that an index of one type alone can be chosen.
_OF_TYPE: Final = {
    "individual": "e.type = 'individual' AND $1::text IS NOT NULL",
    "group": "e.type = 'group' AND $1::text IS NOT NULL",
    None: "$1::text IS NULL",
}
_OF_FORM: Final = {True: "coalesce(nullif(e.entity_name, ''), e.type) = $2", False: "$2::text IS NULL"}
_SINCE: Final = {True: "e.updated_ms >= $3", False: "$3::bigint IS NULL"}
_NAMED: Final = {True: "strpos(lower(e.name), lower($4)) > 0", False: "$4::text IS NULL"}
_WITH_PARTS: Final = {True: "e.name_parts @> $5", False: "$5::text[] IS NULL"}

_ORDERS: Final = {
    "lastUpdated asc": "e.updated_ms, e.guid",
    "lastUpdated desc": "e.updated_ms DESC, e.guid DESC",
    "name asc": "e.name, e.guid",
    "name desc": "e.name DESC, e.guid DESC",
}
_AFTER: Final = {
    "lastUpdated asc": "(e.updated_ms, e.guid) > ($6::bigint, $7)",
    "lastUpdated desc": "(e.updated_ms, e.guid) < ($6::bigint, $7)",
    "name asc": "(e.name, e.guid) > ($6::text, $7)",
    "name desc": "(e.name, e.guid) < ($6::text, $7)",
    "": "$6::text IS NULL AND $7::text IS NULL",
}


async def list_entities(db: Connection, filters: Filters, window: Window) -> list[Row]:
    """Live entities in order."""
    if filters.search is not None:
        # A plan made once for every search cannot know whether many names or few hold a part.
        await db.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    return await db.fetch(
        f"""
        SELECT {_COLUMNS} FROM entities e
        WHERE e.state = 'live'
          AND {_OF_TYPE[filters.type]} AND {_OF_FORM[filters.form is not None]}
          AND {_SINCE[filters.updated_since_ms is not None]} AND {_NAMED[filters.search is not None]}
          AND {_WITH_PARTS[filters.name_parts is not None]}
          AND {_AFTER[window.order if window.after else ""]}
        ORDER BY {_ORDERS[window.order]} OFFSET $8 LIMIT $9
        """,
        *_values(filters),
        *(window.after or (None, None)),
        window.offset,
        window.limit,
    )


async def count_filtered(db: Connection, filters: Filters, most: int) -> int:
    """How many live entities are meant, counted up to `most`."""
    return int(
        await db.fetchval(
            f"""
            SELECT count(*) FROM (
                SELECT FROM entities e
                WHERE e.state = 'live'
                  AND {_OF_TYPE[filters.type]} AND {_OF_FORM[filters.form is not None]}
                  AND {_SINCE[filters.updated_since_ms is not None]} AND {_NAMED[filters.search is not None]}
                  AND {_WITH_PARTS[filters.name_parts is not None]}
                LIMIT $6
            ) AS counted
            """,
            *_values(filters),
            most,
        )
    )


def _values(filters: Filters) -> tuple[object, ...]:
    return filters.type, filters.form, filters.updated_since_ms, filters.search, filters.name_parts


async def list_counts(db: Connection) -> dict[str, int]:
    """How many live entities there are, by form."""
    rows = await db.fetch("SELECT form, n FROM entity_counts WHERE n > 0 ORDER BY form")
    return {row["form"]: row["n"] for row in rows}


async def find_entity(db: Connection, guid: str) -> Row | None:
    """An entity that lives or lived."""
    return await db.fetchrow(
        f"SELECT {_COLUMNS}, e.parent_ids, e.state FROM entities e WHERE e.guid = $1 AND e.state <> 'missing'", guid
    )


async def has_events(db: Connection, guid: str) -> bool:
    """Whether any event speaks of the entity."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM mentions WHERE entity_guid = $1)", guid))


EVENT_RANK: Final = """
    CASE
        WHEN e.type IN ('create-individual', 'create-group') THEN 0
        WHEN e.type = 'delete-entity' THEN 2
        WHEN e.type = 'resolve-duplicate'
            AND coalesce(e.data ->> 'shouldDelete', '') NOT IN ('', 'false', '0', '[]', '{}') THEN 2
        ELSE 1
    END
"""
"""Where an event `e` stands among those of one time: create before change before delete."""

_EVENT_COLUMNS: Final = (
    "e.seq, e.guid, e.entity_guid, e.type, e.data, "
    "CASE WHEN e.applied::jsonb <> e.data::jsonb THEN e.applied END AS applied, "
    "e.timestamp, e.timestamp_ms, e.effective_ms, e.user_id, e.account, e.device_id, e.received_at, e.outcome, "
    "e.reason, e.erased"
)


async def list_events_of(
    db: Connection, guid: str, after: tuple[Any, ...] | None, offset: int, limit: int
) -> list[Row]:
    """The events that speak of the entity, in the order in which they are folded, after a place in it.

    A place is (effective_ms, timestamp_ms, rank, guid). `applied` is NULL where it is the same as the data.
    """
    return await db.fetch(
        f"""
        SELECT * FROM (
            SELECT {_EVENT_COLUMNS}, {EVENT_RANK} AS rank FROM events e
            WHERE e.seq IN (SELECT m.seq FROM mentions m WHERE m.entity_guid = $1)
        ) AS e
        WHERE $2::bigint IS NULL
           OR (e.effective_ms, e.timestamp_ms, e.rank, e.guid) > ($2, $3::bigint, $4::bigint, $5::text)
        ORDER BY e.effective_ms, e.timestamp_ms, e.rank, e.guid OFFSET $6 LIMIT $7
        """,
        guid,
        *(after or (None, None, None, None)),
        offset,
        limit,
    )
