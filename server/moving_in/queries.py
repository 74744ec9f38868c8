"""The SQL of moving in on this side. The first part is on the shared schema, the second inside a tenant's own."""

from collections.abc import Sequence
from datetime import datetime

from server.db import Connection
from server.db.connection import Row

# The shared schema


async def find_artifact_holder(db: Connection, artifact_id: str) -> Row | None:
    """id, config_id and state of the tenant, in whatever state, that has the artifact id."""
    return await db.fetchrow("SELECT id, config_id, state FROM tenants WHERE artifact_id = $1", artifact_id)


async def set_artifact_id(db: Connection, tenant_id: int, artifact_id: str) -> None:
    """Gives the tenant's public artifact another id."""
    await db.execute("UPDATE tenants SET artifact_id = $2 WHERE id = $1", tenant_id, artifact_id)


async def find_config_number(db: Connection, config_id: str) -> int | None:
    """How many configs were uploaded for the living tenant with the id; None where there is no such tenant."""
    number: int | None = await db.fetchval(
        "SELECT config_number FROM tenants WHERE config_id = $1 AND state <> 'deleted'", config_id
    )
    return number


async def add_memberships(db: Connection, user_id: int, tenant_ids: Sequence[int], roles: Sequence[str]) -> list[int]:
    """Makes the account a member of tenants, and gives the numbers of those in which it was none before."""
    rows = await db.fetch(
        """
        INSERT INTO memberships (user_id, tenant_id, role)
        SELECT $1, n.tenant_id, n.role FROM unnest($2::bigint[], $3::text[]) AS n (tenant_id, role)
        ON CONFLICT DO NOTHING RETURNING tenant_id
        """,
        user_id,
        tenant_ids,
        roles,
    )
    return [row["tenant_id"] for row in rows]


# Inside a tenant's schema


async def list_known_events(db: Connection, guids: Sequence[str]) -> set[str]:
    """Which of the events are in the log."""
    rows = await db.fetch("SELECT guid FROM events WHERE guid = ANY($1)", guids)
    return {row["guid"] for row in rows}


async def list_entities_between(db: Connection, after: str, up_to: str | None) -> list[Row]:
    """The entities that live or lived, with guids in (after, up_to]; without `up_to` all after the first."""
    return await db.fetch(
        """
        SELECT guid, state, type, version, data::text AS data, member_ids FROM entities
        WHERE guid > $1 AND ($2::text IS NULL OR guid <= $2) AND state <> 'missing'
        """,
        after,
        up_to,
    )


async def list_states(db: Connection, guids: Sequence[str]) -> dict[str, str]:
    """'live' or 'deleted' for each of the entities that live or lived."""
    rows = await db.fetch("SELECT guid, state FROM entities WHERE guid = ANY($1) AND state <> 'missing'", guids)
    return {row["guid"]: row["state"] for row in rows}


async def list_live_types(db: Connection, guids: Sequence[str]) -> dict[str, str]:
    """'individual' or 'group' for each of the entities that live."""
    rows = await db.fetch("SELECT guid, type FROM entities WHERE guid = ANY($1) AND state = 'live'", guids)
    return {row["guid"]: row["type"] for row in rows}


async def list_keys_in_events(db: Connection, guids: Sequence[str]) -> set[tuple[str, str]]:
    """(guid, key) of every field that an event about one of the entities holds, whether or not it had an effect."""
    rows = await db.fetch(
        """
        SELECT DISTINCT e.entity_guid, k.key FROM mentions m JOIN events e ON e.seq = m.seq,
               json_object_keys(e.data) AS k (key)
        WHERE m.entity_guid = ANY($1) AND e.entity_guid = m.entity_guid
        """,
        guids,
    )
    return {(row["entity_guid"], row["key"]) for row in rows}


async def list_touched_by_others(db: Connection, guids: Sequence[str], device_id: str) -> set[str]:
    """Those of the entities of which an event speaks that came from another device than this one."""
    rows = await db.fetch(
        """
        SELECT DISTINCT m.entity_guid FROM mentions m JOIN events e ON e.seq = m.seq
        WHERE m.entity_guid = ANY($1) AND e.device_id <> $2
        """,
        guids,
        device_id,
    )
    return {row["entity_guid"] for row in rows}


async def list_created_data(db: Connection, forms: Sequence[str]) -> list[str]:
    """The data, as JSON texts, of every event that creates a record of one of the forms."""
    rows = await db.fetch(
        """
        SELECT data::text AS data FROM events
        WHERE type IN ('create-individual', 'create-group') AND data ->> 'entityName' = ANY($1)
        """,
        forms,
    )
    return [row["data"] for row in rows]


async def count_waiting(db: Connection) -> int:
    """How many events of the log wait for something that is not there."""
    return int(await db.fetchval("SELECT count(*) FROM events WHERE outcome = 'waiting'"))


async def insert_open_pairs(
    db: Connection, entity_guids: Sequence[str], duplicate_guids: Sequence[str], rule: str, at: datetime
) -> int:
    """Opens the pairs, except those that are known here, whatever became of them; gives how many."""
    rows = await db.fetch(
        """
        INSERT INTO duplicates (entity_guid, duplicate_guid, rule, found_at)
        SELECT n.entity_guid, n.duplicate_guid, $3, $4
        FROM unnest($1::text[], $2::text[]) AS n (entity_guid, duplicate_guid)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        entity_guids,
        duplicate_guids,
        rule,
        at,
    )
    return len(rows)


async def insert_audit_log(db: Connection, columns: Sequence[Sequence[object]], device_id: str) -> int:
    """Adds entries of an audit log that are not known yet, each with its own user and arrival; gives how many."""
    rows = await db.fetch(
        """
        INSERT INTO audit_log (guid, timestamp, user_id, action, event_guid, entity_guid, changes, signature,
                               received_at, device_id)
        SELECT n.*, $10
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::json[], $8::text[],
                    $9::timestamptz[]) AS n
        ON CONFLICT (guid) DO NOTHING RETURNING seq
        """,
        *columns,
        device_id,
    )
    return len(rows)
