"""The SQL of keys and pairs. Everything is meant inside one schema; names are never qualified."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.db import Connection
from server.db.connection import Row

KEPT: Final = "kept"
DELETED: Final = "deleted"
MOST_HOLDERS: Final = 20
"""A key that more records share tells nothing about any two of them."""


# Keys


async def replace_keys(
    db: Connection, entities: Sequence[str], guids: Sequence[str], keys: Sequence[int], rules: Sequence[str]
) -> None:
    """Makes the keys given as columns the only ones of the entities. What stays the same is not written."""
    await db.execute(
        """
        WITH wanted AS (SELECT * FROM unnest($2::text[], $3::bigint[], $4::text[]) AS w (entity_guid, key, rule)),
        gone AS (
            DELETE FROM duplicate_keys k WHERE k.entity_guid = ANY($1)
            AND NOT EXISTS (SELECT FROM wanted w WHERE w.key = k.key AND w.entity_guid = k.entity_guid)
        )
        INSERT INTO duplicate_keys (entity_guid, key, rule) SELECT entity_guid, key, rule FROM wanted
        ON CONFLICT (key, entity_guid) DO NOTHING
        """,
        entities,
        guids,
        keys,
        rules,
    )


async def delete_stray_keys(db: Connection) -> None:
    """Takes away the keys of entities that do not live."""
    await db.execute(
        """
        DELETE FROM duplicate_keys k
        WHERE NOT EXISTS (SELECT FROM entities e WHERE e.guid = k.entity_guid AND e.state = 'live')
        """
    )


async def list_guids_with_keys_after(db: Connection, guid: str, limit: int) -> list[str]:
    """Entities that have keys, in the order of their guids, after this one."""
    rows = await db.fetch(
        "SELECT DISTINCT entity_guid FROM duplicate_keys WHERE entity_guid > $1 ORDER BY entity_guid LIMIT $2",
        guid,
        limit,
    )
    return [row["entity_guid"] for row in rows]


async def list_live_after(db: Connection, guid: str, limit: int) -> list[Row]:
    """Live entities in the order of their guids, after this one."""
    return await db.fetch(
        "SELECT guid, type, name, entity_name, data FROM entities WHERE guid > $1 AND state = 'live' "
        "ORDER BY guid LIMIT $2",
        guid,
        limit,
    )


# Pairs


async def open_pairs(db: Connection, guids: Sequence[str], at: datetime) -> None:
    """Opens a pair for each other entity with which one of these shares a key, unless the pair has been settled.

    The one that the log mentioned first is the duplicate_guid.
    """
    await db.execute(
        f"""
        WITH telling AS MATERIALIZED (
            SELECT k.entity_guid, k.key, k.rule FROM duplicate_keys k
            WHERE k.entity_guid = ANY($1)
              AND {MOST_HOLDERS} >= (
                  SELECT count(*) FROM (SELECT FROM duplicate_keys h WHERE h.key = k.key LIMIT {MOST_HOLDERS} + 1) AS h)
        ),
        found AS MATERIALIZED (
            SELECT least(t.entity_guid, o.entity_guid) AS one, greatest(t.entity_guid, o.entity_guid) AS other,
                   string_agg(DISTINCT t.rule, '; ' ORDER BY t.rule) AS rule
            FROM telling t JOIN duplicate_keys o ON o.key = t.key AND o.entity_guid <> t.entity_guid
            GROUP BY 1, 2
        ),
        placed AS (
            SELECT f.one, f.other, f.rule,
                   (SELECT min(m.seq) FROM mentions m WHERE m.entity_guid = f.one)
                   > (SELECT min(m.seq) FROM mentions m WHERE m.entity_guid = f.other) AS one_is_later
            FROM found f
        )
        INSERT INTO duplicates AS d (entity_guid, duplicate_guid, rule, found_at)
        SELECT CASE WHEN one_is_later THEN one ELSE other END, CASE WHEN one_is_later THEN other ELSE one END, rule, $2
        FROM placed
        ON CONFLICT (least(entity_guid, duplicate_guid), greatest(entity_guid, duplicate_guid)) DO UPDATE
        SET state = 'open', rule = excluded.rule,
            found_at = CASE WHEN d.state = 'open' THEN d.found_at ELSE excluded.found_at END
        WHERE d.state = 'gone' OR (d.state = 'open' AND d.rule <> excluded.rule)
        """,
        guids,
        at,
    )


async def close_pairs(db: Connection, guids: Sequence[str]) -> None:
    """Closes those open pairs of the entities that share no key any more; only what lives has keys."""
    await db.execute(
        """
        UPDATE duplicates d SET state = 'gone'
        WHERE d.state = 'open' AND (d.entity_guid = ANY($1) OR d.duplicate_guid = ANY($1))
          AND NOT EXISTS (
              SELECT FROM duplicate_keys one JOIN duplicate_keys other ON other.key = one.key
              WHERE one.entity_guid = d.entity_guid AND other.entity_guid = d.duplicate_guid)
        """,
        guids,
    )


async def close_all_pairs(db: Connection) -> None:
    """The same for every open pair."""
    await db.execute(
        """
        UPDATE duplicates d SET state = 'gone'
        WHERE d.state = 'open' AND NOT EXISTS (
            SELECT FROM duplicate_keys one JOIN duplicate_keys other ON other.key = one.key
            WHERE one.entity_guid = d.entity_guid AND other.entity_guid = d.duplicate_guid)
        """
    )


async def settle_pairs(
    db: Connection,
    entity_guids: Sequence[str],
    duplicate_guids: Sequence[str],
    states: Sequence[str],
    *,
    account: str,
    at: datetime,
) -> None:
    """Settles the pairs, each given once, whichever way round they stand; one never found here is noted as settled."""
    await db.execute(
        """
        INSERT INTO duplicates AS d (entity_guid, duplicate_guid, rule, state, found_at, settled_at, settled_by)
        SELECT n.entity_guid, n.duplicate_guid, 'found by a device', n.state, $5, $5, $4
        FROM unnest($1::text[], $2::text[], $3::text[]) AS n (entity_guid, duplicate_guid, state)
        ON CONFLICT (least(entity_guid, duplicate_guid), greatest(entity_guid, duplicate_guid)) DO UPDATE
        SET state = excluded.state, settled_at = excluded.settled_at, settled_by = excluded.settled_by
        WHERE d.state NOT IN ('deleted', excluded.state)
        """,
        entity_guids,
        duplicate_guids,
        states,
        account,
        at,
    )


async def is_sync_blocked(db: Connection) -> bool:
    """Whether a pair is open and the config asks that devices wait for it to be settled."""
    return bool(
        await db.fetchval(
            """
            SELECT coalesce((SELECT (value ->> 'blockSync')::boolean FROM settings WHERE name = 'duplicates'), false)
                   AND EXISTS (SELECT FROM duplicates WHERE state = 'open')
            """
        )
    )


_BEFORE: Final = {
    "desc": "d.id < $1",
    "asc": "d.id > $1",
}
_DIRECTIONS: Final = {"desc": "DESC", "asc": "ASC"}


async def list_open_pairs(db: Connection, order: str, after: int, offset: int, limit: int) -> list[Row]:
    """Open pairs with the names of both, by the order in which they were found, 'asc' or 'desc', after the id."""
    return await db.fetch(
        f"""
        SELECT d.id, d.entity_guid, d.duplicate_guid, d.rule, d.found_at, e.name AS name, o.name AS duplicate_name
        FROM (
            SELECT d.id, d.entity_guid, d.duplicate_guid, d.rule, d.found_at FROM duplicates d
            WHERE d.state = 'open' AND {_BEFORE[order]}
            ORDER BY d.id {_DIRECTIONS[order]} OFFSET $2 LIMIT $3
        ) AS d
        LEFT JOIN entities e ON e.guid = d.entity_guid
        LEFT JOIN entities o ON o.guid = d.duplicate_guid
        ORDER BY d.id {_DIRECTIONS[order]}
        """,
        after,
        offset,
        limit,
    )


async def count_open_pairs(db: Connection, most: int) -> int:
    """How many pairs are open, counted up to `most`."""
    return int(
        await db.fetchval("SELECT count(*) FROM (SELECT FROM duplicates WHERE state = 'open' LIMIT $1) AS o", most)
    )


async def states_of(db: Connection, guids: Sequence[str]) -> dict[str, str]:
    """'live' or 'deleted' for each of the entities that live or lived."""
    rows = await db.fetch("SELECT guid, state FROM entities WHERE guid = ANY($1) AND state <> 'missing'", guids)
    return {row["guid"]: row["state"] for row in rows}
