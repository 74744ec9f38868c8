"""The SQL on the other server's database: reading only, in one transaction, whatever columns its version has."""

from collections.abc import AsyncIterable
from typing import Final

from server.db import Connection
from server.db.connection import Row

_PREFETCHED: Final = 500

_TIME: Final = """
CASE WHEN t >= '0001-01-01T00:00:00Z' AND t < '10000-01-01T00:00:00Z'
     THEN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') ELSE t::text END
"""


async def lift_limits(db: Connection) -> None:
    """Takes the limits off the open transaction, which lasts as long as the import."""
    await db.execute(
        "SELECT set_config('statement_timeout', '0', true), "
        "set_config('idle_in_transaction_session_timeout', '0', true)"
    )


async def describe(db: Connection) -> Row:
    """database and login of the connection."""
    row = await db.fetchrow("SELECT current_database() AS database, current_user AS login")
    assert row is not None
    return row


async def list_columns(db: Connection) -> set[tuple[str, str]]:
    """(table, column) of everything that is found without naming a schema and may be read."""
    rows = await db.fetch(
        """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = ANY(current_schemas(false))
        """
    )
    return {(row["table_name"], row["column_name"]) for row in rows}


async def list_config_ids(db: Connection) -> list[str]:
    """The ids of all app configs."""
    return [row["id"] for row in await db.fetch('SELECT id FROM app_configs ORDER BY id COLLATE "C"')]


async def get_config(db: Connection, config_id: str) -> str:
    """The whole row of app_configs as JSON."""
    return str(await db.fetchval("SELECT to_jsonb(c)::text FROM app_configs c WHERE c.id = $1", config_id))


async def list_users(db: Connection) -> list[Row]:
    """id, and the whole row of users as JSON."""
    return await db.fetch("SELECT u.id::text AS id, to_jsonb(u)::text AS whole FROM users u ORDER BY u.id")


async def count_rows(db: Connection) -> list[Row]:
    """For each table, how many rows there are of each tenant: table, tenant, n."""
    return await db.fetch(
        """
        SELECT 'events' AS "table", tenant_id AS tenant, count(*) AS n FROM events GROUP BY tenant_id
        UNION ALL SELECT 'entities', tenant_id, count(*) FROM entities GROUP BY tenant_id
        UNION ALL SELECT 'audit_log', tenant_id, count(*) FROM audit_log GROUP BY tenant_id
        UNION ALL SELECT 'potential_duplicates', tenant_id, count(*) FROM potential_duplicates GROUP BY tenant_id
        """
    )


async def list_event_types(db: Connection, tenant: str) -> list[str]:
    """The types of the tenant's events."""
    rows = await db.fetch("SELECT DISTINCT type FROM events WHERE tenant_id = $1 AND type IS NOT NULL", tenant)
    return sorted(row["type"] for row in rows)


async def list_event_users(db: Connection, tenant: str) -> set[str]:
    """Whoever is named as the maker of one of the tenant's events."""
    rows = await db.fetch("SELECT DISTINCT user_id FROM events WHERE tenant_id = $1 AND user_id IS NOT NULL", tenant)
    return {row["user_id"] for row in rows}


async def has_event(db: Connection, tenant: str, guid: str) -> bool:
    """Whether the tenant's log holds the event."""
    return bool(
        await db.fetchval("SELECT EXISTS (SELECT FROM events WHERE tenant_id = $1 AND guid = $2)", tenant, guid)
    )


def events_of(db: Connection, tenant: str) -> AsyncIterable[Row]:
    """The tenant's events by their time: guid, entity_guid, type, data (JSON), timestamp, user_id, arrived_ms.

    Nothing says when an event arrived, but what the server did with it stands in the audit log with the server's time.
    """
    query = f"""
        SELECT e.guid, e.entity_guid, e.type, e.data::text AS data, e.user_id,
               (SELECT {_TIME} FROM (SELECT e.timestamp AS t) AS at) AS timestamp,
               (extract(epoch FROM greatest(least(coalesce(r.at, now()), now()), 'epoch')) * 1000)::bigint
                   AS arrived_ms
        FROM events e LEFT JOIN (
            SELECT event_guid, max(timestamp) AS at FROM audit_log WHERE tenant_id = $1 GROUP BY event_guid
        ) AS r ON r.event_guid = e.guid
        WHERE e.tenant_id = $1 ORDER BY e.timestamp NULLS FIRST, e.guid
        """
    return db.cursor(query, tenant, prefetch=_PREFETCHED)


def entities_of(db: Connection, tenant: str) -> AsyncIterable[Row]:
    """The tenant's entities by guid: guid, modified (JSON), updated."""
    query = f"""
        SELECT coalesce(e.guid, e.id) AS guid, e.modified::text AS modified,
               (SELECT {_TIME} FROM (SELECT e.last_updated AT TIME ZONE 'UTC' AS t) AS at) AS updated
        FROM entities e WHERE e.tenant_id = $1 ORDER BY coalesce(e.guid, e.id) COLLATE "C"
        """
    return db.cursor(query, tenant, prefetch=_PREFETCHED)


def audit_log_of(db: Connection, tenant: str) -> AsyncIterable[Row]:
    """The tenant's audit log in the order in which it was written."""
    query = f"""
        SELECT a.id, a.guid, a.action, a.entity_guid, a.event_guid, a.changes::text AS changes, a.signature, a.user_id,
               (SELECT {_TIME} FROM (SELECT a.timestamp AS t) AS at) AS timestamp
        FROM audit_log a WHERE a.tenant_id = $1 ORDER BY a.id
        """
    return db.cursor(query, tenant, prefetch=_PREFETCHED)


def pairs_of(db: Connection, tenant: str) -> AsyncIterable[Row]:
    """The tenant's open pairs: entity_guid, duplicate_guid."""
    query = """
        SELECT entity_guid, duplicate_guid FROM potential_duplicates WHERE tenant_id = $1
        ORDER BY entity_guid, duplicate_guid
        """
    return db.cursor(query, tenant, prefetch=_PREFETCHED)
