"""The SQL of what is held about persons. Inside an organization's schema unless a function says that it is shared.

A needle is a guid as it stands in a JSON text, quotes included, so that no longer guid is taken for it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.db import Connection
from server.db.connection import Row
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from

_ENTITY: Final = """
    guid, state, type, name, coalesce(nullif(entity_name, ''), type) AS form, external_id, data::text AS data,
    member_ids, parent_ids, version, updated_ms, erased
"""
_EVENT: Final = (
    "seq, guid, entity_guid, type, data, applied, timestamp, timestamp_ms, effective_ms, user_id, base_seq, outcome, "
    "reason, erased, erases, account, device_id, received_at"
)
_SAYING: Final = "EXISTS (SELECT FROM unnest($1::text[]) AS n (needle) WHERE strpos(t.content, n.needle) > 0)"

# Where persons are spoken of


async def get_head(db: Connection) -> int:
    """The number of the log's last event."""
    return int(await db.fetchval("SELECT head FROM sync_head"))


async def list_mentions(db: Connection, persons: Sequence[str]) -> list[int]:
    """The numbers of the events that are noted as speaking of one of the persons."""
    rows = await db.fetch("SELECT DISTINCT seq FROM mentions WHERE entity_guid = ANY($1)", persons)
    return [row["seq"] for row in rows]


async def list_saying(db: Connection, needles: Sequence[str], after: int, up_to: int) -> list[int]:
    """The numbers in (after, up_to] of the events whose data holds a needle."""
    rows = await db.fetch(
        f"""
        SELECT e.seq
        FROM events e CROSS JOIN LATERAL (SELECT e.data::text AS content OFFSET 0) t
        WHERE e.seq > $2 AND e.seq <= $3 AND {_SAYING}
        """,
        needles,
        after,
        up_to,
    )
    return [row["seq"] for row in rows]


async def list_events(db: Connection, seqs: Sequence[int]) -> list[Row]:
    """The events with these numbers, in order."""
    return await db.fetch(f"SELECT {_EVENT} FROM events WHERE seq = ANY($1) ORDER BY seq", seqs)


async def list_mentioned(db: Connection, seqs: Sequence[int], needles: Sequence[str]) -> list[Row]:
    """Of the entities that these events speak of, those whose data holds a needle: guid and data."""
    return await db.fetch(
        f"""
        SELECT e.guid, e.data::text AS data
        FROM entities e CROSS JOIN LATERAL (SELECT e.data::text AS content OFFSET 0) t
        WHERE e.guid IN (SELECT m.entity_guid FROM mentions m WHERE m.seq = ANY($2)) AND {_SAYING}
        """,
        needles,
        seqs,
    )


async def list_quarantined(db: Connection, needles: Sequence[str], after: int, limit: int) -> tuple[int, list[Row]]:
    """Of the next entries of the quarantine behind an id: the last id, and those that hold a needle. 0 at the end."""
    rows = await db.fetch(
        f"""
        SELECT q.id, q.guid, q.code, q.path, q.detail, q.account, q.device_id, q.received_at,
               CASE WHEN {_SAYING} THEN q.raw END AS raw
        FROM (
            SELECT id, guid, code, path, detail, account, device_id, received_at, raw FROM quarantine
            WHERE id > $2 ORDER BY id LIMIT $3
        ) AS q CROSS JOIN LATERAL (SELECT q.raw AS content OFFSET 0) t
        ORDER BY q.id
        """,
        needles,
        after,
        limit,
    )
    return (rows[-1]["id"] if rows else 0), [row for row in rows if row["raw"] is not None]


async def list_audited(
    db: Connection, persons: Sequence[str], needles: Sequence[str], after: int, limit: int
) -> tuple[int, list[Row]]:
    """Of the next entries of the devices' audit log: the last number, and those that are about a person or say one."""
    rows = await db.fetch(
        f"""
        SELECT a.seq, a.guid, a.timestamp, a.user_id, a.action, a.event_guid, a.entity_guid, a.signature, a.device_id,
               a.received_at, CASE WHEN a.entity_guid = ANY($2) OR {_SAYING} THEN a.changes END AS changes
        FROM (
            SELECT seq, guid, timestamp, user_id, action, event_guid, entity_guid, signature, device_id, received_at,
                   changes
            FROM audit_log WHERE seq > $3 ORDER BY seq LIMIT $4
        ) AS a CROSS JOIN LATERAL (SELECT a.changes::text AS content OFFSET 0) t
        ORDER BY a.seq
        """,
        needles,
        persons,
        after,
        limit,
    )
    return (rows[-1]["seq"] if rows else 0), [row for row in rows if row["changes"] is not None]


_NAMED_IN_ACTS: Final = f"""
    SELECT a.id, a.at, a.actor, a.action, a.subject, a.content AS details
    FROM (SELECT id, at, actor, action, subject, details::text AS content, erased FROM acts WHERE id > $3) AS a
    CROSS JOIN LATERAL (SELECT a.content OFFSET 0) t
    WHERE NOT a.erased AND ({_SAYING} OR a.subject = ANY($2)) ORDER BY a.id LIMIT $4
"""
_NAMED_IN_AUDIT: Final = f"""
    SELECT a.id, a.at, a.actor, a.action, a.subject, a.content AS details
    FROM (
        SELECT id, at, actor, action, subject, details::text AS content, erased FROM audit
        WHERE id > $3 AND tenant_id = $5
    ) AS a
    CROSS JOIN LATERAL (SELECT a.content OFFSET 0) t
    WHERE NOT a.erased AND ({_SAYING} OR a.subject = ANY($2)) ORDER BY a.id LIMIT $4
"""


async def list_acts(
    db: Connection, subjects: Sequence[str], needles: Sequence[str], after: int, limit: int
) -> list[Row]:
    """The acts behind a number in the organization's own log on one of the subjects or whose details hold a needle."""
    return await db.fetch(_NAMED_IN_ACTS, needles, subjects, after, limit)


async def list_operators_acts(
    db: Connection, subjects: Sequence[str], needles: Sequence[str], after: int, limit: int, tenant_id: int
) -> list[Row]:
    """The same in the operators' log, on the shared schema, of the acts on one tenant."""
    return await db.fetch(_NAMED_IN_AUDIT, needles, subjects, after, limit, tenant_id)


# One person


async def find_entity(db: Connection, guid: str) -> Row | None:
    """The entity as it stands, in whatever state."""
    return await db.fetchrow(f"SELECT {_ENTITY} FROM entities WHERE guid = $1", guid)


async def list_standing(db: Connection, persons: Sequence[str]) -> list[Row]:
    """Of each of the entities: guid, type, whether it is live, the effective time of what touched it last, and how many
    living members it has."""
    return await db.fetch(
        """
        SELECT e.guid, e.type, e.state = 'live' AS is_live, (e.newest ->> 0)::bigint AS newest_ms,
               (SELECT count(*) FROM entities m WHERE m.guid = ANY(e.member_ids) AND m.state = 'live'
                AND m.guid <> ALL($1)) AS members
        FROM entities e WHERE e.guid = ANY($1)
        """,
        persons,
    )


async def list_named(db: Connection, guids: Sequence[str]) -> list[Row]:
    """guid, type and name of living entities."""
    return await db.fetch(
        "SELECT guid, type, name FROM entities WHERE guid = ANY($1) AND state = 'live' ORDER BY guid", guids
    )


async def list_groups_of_events(db: Connection, guid: str) -> list[Row]:
    """guid, type and name of the entities whose own events speak of the person, be she in them now or not."""
    return await db.fetch(
        """
        SELECT g.guid, g.type, g.name FROM entities g
        WHERE g.guid IN (
            SELECT e.entity_guid FROM mentions m JOIN events e ON e.seq = m.seq WHERE m.entity_guid = $1
        ) AND g.guid <> $1
        ORDER BY g.guid
        """,
        guid,
    )


async def list_external_ids(db: Connection, persons: Sequence[str]) -> list[Row]:
    """What outside systems know of the persons: system, entity_guid, external_id, version."""
    return await db.fetch(
        "SELECT system, entity_guid, external_id, version FROM external_state WHERE entity_guid = ANY($1)", persons
    )


async def list_conflicts(db: Connection, guid: str) -> list[Row]:
    """The conflicts of the entity; their values stand in the events."""
    return await db.fetch(
        """
        SELECT id, field, event_guid, other_guid, found_at, state, settled_at, settled_by, settled_with
        FROM conflicts WHERE entity_guid = $1 ORDER BY id
        """,
        guid,
    )


async def list_pairs(db: Connection, guid: str) -> list[Row]:
    """The pairs of likely duplicates in which the entity is."""
    return await db.fetch(
        """
        SELECT id, entity_guid, duplicate_guid, rule, state, found_at, settled_at, settled_by
        FROM duplicates WHERE entity_guid = $1 OR duplicate_guid = $1 ORDER BY id
        """,
        guid,
    )


async def count_rows(db: Connection, persons: Sequence[str]) -> Row:
    """How many rows there are of the persons: duplicate_keys, duplicates, conflicts, external_ids."""
    row = await db.fetchrow(
        """
        SELECT (SELECT count(*) FROM duplicate_keys WHERE entity_guid = ANY($1)) AS duplicate_keys,
               (SELECT count(*) FROM duplicates WHERE entity_guid = ANY($1) OR duplicate_guid = ANY($1)) AS duplicates,
               (SELECT count(*) FROM conflicts WHERE entity_guid = ANY($1)) AS conflicts,
               (SELECT count(*) FROM external_state WHERE entity_guid = ANY($1)) AS external_ids
        """,
        persons,
    )
    assert row is not None
    return row


async def list_known_guids(db: Connection, guids: Sequence[str]) -> set[str]:
    """Which of these guids are those of events in the log."""
    rows = await db.fetch("SELECT guid FROM events WHERE guid = ANY($1)", guids)
    return {row["guid"] for row in rows}


# Erasing


async def list_erasures(db: Connection, persons: Sequence[str] | None = None) -> list[Row]:
    """Who was erased, of these persons or of all: guid, event_guid, at, by, reason. The oldest first."""
    return await db.fetch(
        """
        SELECT guid, event_guid, at, by, reason FROM erased_persons
        WHERE $1::text[] IS NULL OR guid = ANY($1) ORDER BY at, guid
        """,
        persons,
    )


async def lock_erasing(db: Connection) -> None:
    """Waits for whoever has looked up who was erased and is still storing; who comes later waits until the end."""
    await db.execute("LOCK TABLE erasing IN EXCLUSIVE MODE")


async def blank_events(
    db: Connection, seqs: Sequence[int], contents: Sequence[str], applied: Sequence[str | None]
) -> int:
    """Puts what is left in the place of what events said; how many events that were."""
    return int(await db.fetchval("SELECT blank_events($1, $2::json[], $3::json[])", seqs, contents, applied))


async def blank_quarantine(db: Connection, ids: Sequence[int], raws: Sequence[str]) -> int:
    """The same of entries of the quarantine."""
    return int(await db.fetchval("SELECT blank_quarantine($1, $2)", ids, raws))


async def blank_audit_log(db: Connection, seqs: Sequence[int], changes: Sequence[str]) -> int:
    """The same of entries of the devices' audit log, whose signatures go, too."""
    return int(await db.fetchval("SELECT blank_audit_log($1, $2::json[])", seqs, changes))


async def set_data(db: Connection, guids: Sequence[str], contents: Sequence[str], fed_seq: int) -> None:
    """Puts what is left in the place of other entities' data, and feeds these to devices under the number."""
    await db.execute(
        """
        UPDATE entities e SET data = n.data, fed_seq = greatest(e.fed_seq, $3)
        FROM unnest($1::text[], $2::jsonb[]) AS n (guid, data) WHERE e.guid = n.guid
        """,
        guids,
        contents,
        fed_seq,
    )


async def forget(db: Connection, persons: Sequence[str]) -> None:
    """Takes away keys, pairs, conflicts and external ids of erased persons."""
    await db.execute("DELETE FROM duplicate_keys WHERE entity_guid = ANY($1)", persons)
    await db.execute("DELETE FROM external_state WHERE entity_guid = ANY($1)", persons)
    await db.execute("SELECT forget_pairs($1)", persons)


async def sample_anew(db: Connection) -> None:
    """Lets the database forget its samples of what stood in columns."""
    await db.execute("SELECT sample_anew()")


# Configs, on the shared schema


async def list_configs(db: Connection, tenant_id: int, needles: Sequence[str]) -> list[int]:
    """The numbers of the tenant's configs with seed data; with needles, of those that hold one of them."""
    rows = await db.fetch(
        f"""
        SELECT v.number
        FROM config_versions v CROSS JOIN LATERAL (SELECT v.document::text AS content OFFSET 0) t
        WHERE v.tenant_id = $2 AND json_array_length(v.document -> 'entityData') > 0
          AND (cardinality($1::text[]) = 0 OR {_SAYING})
        ORDER BY v.number
        """,
        needles,
        tenant_id,
    )
    return [row["number"] for row in rows]


async def read_config(db: Connection, tenant_id: int, number: int) -> str | None:
    """A config as it is stored."""
    document: str | None = await db.fetchval(
        "SELECT document::text FROM config_versions WHERE tenant_id = $1 AND number = $2", tenant_id, number
    )
    return document


async def lock_config(db: Connection, tenant_id: int, number: int) -> str | None:
    """The same, locked until the transaction ends."""
    document: str | None = await db.fetchval(
        "SELECT document::text FROM config_versions WHERE tenant_id = $1 AND number = $2 FOR UPDATE", tenant_id, number
    )
    return document


async def set_config(db: Connection, tenant_id: int, number: int, document: str) -> None:
    """Puts a document in the place of one that is stored."""
    await db.execute(
        "UPDATE config_versions SET document = $3::json WHERE tenant_id = $1 AND number = $2",
        tenant_id,
        number,
        document,
    )


# Retention


async def list_unchanged(db: Connection, form: str, before: datetime, after: str, limit: int) -> tuple[str, list[str]]:
    """Of the next living entities of a form behind a guid: the last guid, and those that are due. Empty at the end.

    Due is who lives, has no living member, and was neither changed since that time nor has any event of hers arrived
    since then: a clock that is behind makes nobody due.
    """
    rows = await db.fetch(
        """
        SELECT n.guid,
               NOT EXISTS (
                   SELECT FROM entities m WHERE m.guid = ANY(n.member_ids) AND m.state = 'live'
               ) AND NOT EXISTS (
                   SELECT FROM mentions m JOIN events e ON e.seq = m.seq
                   WHERE m.entity_guid = n.guid AND (e.received_at >= $2 OR e.effective_ms >= $5)
               ) AS is_due
        FROM (
            SELECT guid, member_ids FROM entities
            WHERE state = 'live' AND coalesce(nullif(entity_name, ''), type) = $1 AND guid > $3
              AND (type = 'group' OR updated_ms < $5)
            ORDER BY guid LIMIT $4
        ) AS n
        ORDER BY n.guid
        """,
        form,
        before,
        after,
        limit,
        int(before.timestamp() * 1000),
    )
    return (rows[-1]["guid"] if rows else ""), [row["guid"] for row in rows if row["is_due"]]


async def list_due(db: Connection, persons: Sequence[str], before: datetime) -> set[str]:
    """Those of the persons who are still due, as `list_unchanged` has it."""
    rows = await db.fetch(
        """
        SELECT n.guid FROM entities n
        WHERE n.guid = ANY($1) AND n.state = 'live' AND NOT EXISTS (
            SELECT FROM mentions m JOIN events e ON e.seq = m.seq
            WHERE m.entity_guid = n.guid AND (e.received_at >= $2 OR e.effective_ms >= $3)
        )
        """,
        persons,
        before,
        int(before.timestamp() * 1000),
    )
    return {row["guid"] for row in rows}


async def count_old(db: Connection, quarantined: datetime | None, audited: datetime | None) -> Row:
    """How many entries of the quarantine and of the devices' audit log arrived before these times."""
    row = await db.fetchrow(
        """
        SELECT (SELECT count(*) FROM quarantine WHERE received_at < $1) AS quarantine,
               (SELECT count(*) FROM audit_log WHERE received_at < $2) AS audit_log
        """,
        quarantined,
        audited,
    )
    assert row is not None
    return row


async def forget_old(db: Connection, quarantined: datetime | None, audited: datetime | None, most: int) -> Row:
    """Deletes at most so many of either; how many of each."""
    row = await db.fetchrow(
        "SELECT f.quarantined AS quarantine, f.audited AS audit_log FROM forget_old($1, $2, $3) AS f",
        quarantined,
        audited,
        most,
    )
    assert row is not None
    return row


# When retention is due, on the shared schema


async def claim_due(db: Connection, schema_version: str, now: datetime, until: datetime) -> Tenant | None:
    """Takes on the tenant whose retention has been due the longest, for as long as `until`."""
    row = await db.fetchrow(
        f"""
        UPDATE tenants t SET retention_due = $3 WHERE t.id = (
            SELECT d.id FROM tenants d
            WHERE d.retention_due <= $2 AND d.state <> 'deleted' AND d.schema_version = $1
            ORDER BY d.retention_due LIMIT 1 FOR UPDATE SKIP LOCKED
        ) RETURNING {TENANT_COLUMNS}
        """,
        schema_version,
        now,
        until,
    )
    return None if row is None else tenant_from(row)


async def set_due(db: Connection, tenant_id: int, due: datetime) -> None:
    """When the tenant's retention is due next, where it has any."""
    await db.execute(
        "UPDATE tenants SET retention_due = $2 WHERE id = $1 AND retention_due IS NOT NULL", tenant_id, due
    )


async def list_with_retention(db: Connection) -> list[Tenant]:
    """The tenants that have retention times and are not deleted."""
    rows = await db.fetch(
        f"SELECT {TENANT_COLUMNS} FROM tenants t "
        "WHERE t.retention_due IS NOT NULL AND t.state <> 'deleted' ORDER BY t.id"
    )
    return [tenant_from(row) for row in rows]
