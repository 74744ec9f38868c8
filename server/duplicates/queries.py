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
FOUND_BEFORE: Final = "found by the former server"
"""The rule of a pair that came with the log from another server. It stays open as long as both records live."""

_MATCHES_NO_LONGER: Final = f"""
    d.state = 'open' AND CASE d.rule
        WHEN '{FOUND_BEFORE}' THEN EXISTS (
            SELECT FROM entities e WHERE e.guid IN (d.entity_guid, d.duplicate_guid) AND e.state <> 'live')
        ELSE NOT EXISTS (
            SELECT FROM duplicate_keys one JOIN duplicate_keys other ON other.key = one.key
            WHERE one.entity_guid = d.entity_guid AND other.entity_guid = d.duplicate_guid)
        END"""


# Progress


async def is_through(db: Connection) -> bool:
    """Whether pairs have been looked for among all that the log has brought."""
    return bool(await db.fetchval("SELECT p.seq >= h.head FROM duplicates_progress p, sync_head h"))


async def lock_progress(db: Connection) -> int:
    """Up to which number of the log pairs have been looked for; nobody else looks until the transaction has ended.

    Locked before anything that pushes lock: devices, entities, the head.
    """
    return int(await db.fetchval("SELECT seq FROM duplicates_progress FOR UPDATE"))


async def lock_progress_if_free(db: Connection) -> int | None:
    """The same, but None while somebody else has it locked."""
    seq: int | None = await db.fetchval("SELECT seq FROM duplicates_progress FOR UPDATE SKIP LOCKED")
    return seq


async def set_progress(db: Connection, seq: int) -> None:
    """Notes up to which number pairs have been looked for."""
    await db.execute("UPDATE duplicates_progress SET seq = $1", seq)


async def list_changed(db: Connection, after: int, up_to: int, most: int) -> list[Row]:
    """The entities that the log mentioned or changed last in (after, up_to]: the first `most`, none of a number cut."""
    return await db.fetch(
        """
        SELECT guid, state, type, name, entity_name, data, fed_seq FROM entities
        WHERE fed_seq > $1 AND fed_seq <= coalesce(
            (SELECT fed_seq FROM entities WHERE fed_seq > $1 AND fed_seq <= $2 ORDER BY fed_seq, guid
             OFFSET $3 - 1 LIMIT 1), $2)
        ORDER BY fed_seq, guid
        """,
        after,
        up_to,
        most,
    )


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
        "SELECT guid, state, type, name, entity_name, data FROM entities WHERE guid > $1 AND state = 'live' "
        "ORDER BY guid LIMIT $2",
        guid,
        limit,
    )


# Pairs


async def open_pairs(db: Connection, guids: Sequence[str], at: datetime) -> None:
    """Opens a pair for each other entity with which one of these shares a key, unless the pair has been settled.

    The one that the log mentioned first is the duplicate_guid. Ids follow the order in which the later ones came.
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
                   (SELECT min(m.seq) FROM mentions m WHERE m.entity_guid = f.one) AS one_seq,
                   (SELECT min(m.seq) FROM mentions m WHERE m.entity_guid = f.other) AS other_seq
            FROM found f
        )
        INSERT INTO duplicates AS d (entity_guid, duplicate_guid, rule, found_at)
        SELECT CASE WHEN one_seq > other_seq THEN one ELSE other END,
               CASE WHEN one_seq > other_seq THEN other ELSE one END, rule, $2
        FROM placed
        ORDER BY greatest(one_seq, other_seq), least(one_seq, other_seq)
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
        f"""
        UPDATE duplicates d SET state = 'gone'
        WHERE (d.entity_guid = ANY($1) OR d.duplicate_guid = ANY($1)) AND {_MATCHES_NO_LONGER}
        """,
        guids,
    )


async def close_all_pairs(db: Connection) -> None:
    """The same for every open pair."""
    await db.execute(f"UPDATE duplicates d SET state = 'gone' WHERE {_MATCHES_NO_LONGER}")


async def settle_pairs(
    db: Connection,
    entity_guids: Sequence[str],
    duplicate_guids: Sequence[str],
    states: Sequence[str],
    accounts: Sequence[str],
    at: Sequence[datetime],
) -> None:
    """Settles the pairs, each given once, whichever way round they stand; one never found here is noted as settled."""
    await db.execute(
        """
        INSERT INTO duplicates AS d (entity_guid, duplicate_guid, rule, state, found_at, settled_at, settled_by)
        SELECT n.entity_guid, n.duplicate_guid, 'found by a device', n.state, n.at, n.at, n.account
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
             AS n (entity_guid, duplicate_guid, state, account, at)
        ON CONFLICT (least(entity_guid, duplicate_guid), greatest(entity_guid, duplicate_guid)) DO UPDATE
        SET state = excluded.state, settled_at = excluded.settled_at, settled_by = excluded.settled_by
        WHERE d.state NOT IN ('deleted', excluded.state)
        """,
        entity_guids,
        duplicate_guids,
        states,
        accounts,
        at,
    )


async def blocks_sync(db: Connection) -> bool:
    """Whether the config asks that devices wait until pairs are settled."""
    return bool(await db.fetchval("SELECT (value ->> 'blockSync')::boolean FROM settings WHERE name = 'duplicates'"))


async def has_open_pair(db: Connection) -> bool:
    """Whether any pair is open."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM duplicates WHERE state = 'open')"))


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
