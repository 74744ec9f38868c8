"""The SQL about tenants, on the shared schema unless a function says that it works in the tenant's own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from server.db.connection import Connection, Row
from server.db.scope import quoted
from server.kit.strict_json import dump_json
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from

_SELECT: Final = f"SELECT {TENANT_COLUMNS} FROM tenants t"

# Locks, held until the transaction ends


async def lock_config_id(db: Connection, config_id: str) -> None:
    """Waits until nobody else creates, uploads or restores a tenant under the id."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('croft.config-id.' || $1, 0))", config_id)


async def lock_schema(db: Connection, tenant_id: int) -> None:
    """Waits until nobody else changes the tables of the tenant's schema."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('croft.tenant-schema', $1))", tenant_id)


# One tenant


async def find_live_tenant(db: Connection, config_id: str) -> Tenant | None:
    """The tenant that has the config id now, its row locked."""
    row = await db.fetchrow(f"{_SELECT} WHERE t.config_id = $1 AND t.state <> 'deleted' FOR UPDATE", config_id)
    return tenant_from(row) if row else None


_NAMED: Final = "(t.config_id = $1 OR t.id::text = $1)"


async def find_tenant(db: Connection, name: str) -> Tenant | None:
    """The tenant with this config id or number: a config id goes before a number, the living before the deleted."""
    row = await db.fetchrow(
        f"""
        {_SELECT} WHERE {_NAMED}
        ORDER BY t.config_id = $1 DESC, t.state = 'deleted', t.deleted_at DESC LIMIT 1
        """,
        name,
    )
    return tenant_from(row) if row else None


async def find_deleted_tenant(db: Connection, name: str) -> Tenant | None:
    """The deleted tenant with this number, or the one that was deleted last of those that had this config id."""
    row = await db.fetchrow(
        f"""
        {_SELECT} WHERE {_NAMED} AND t.state = 'deleted'
        ORDER BY t.config_id = $1 DESC, t.deleted_at DESC LIMIT 1
        """,
        name,
    )
    return tenant_from(row) if row else None


async def lock_tenant(db: Connection, tenant_id: int) -> Tenant | None:
    """The tenant as it is once nobody else changes it, its row locked."""
    row = await db.fetchrow(f"{_SELECT} WHERE t.id = $1 FOR UPDATE", tenant_id)
    return tenant_from(row) if row else None


async def find_artifact(db: Connection, artifact_id: str) -> Tenant | None:
    """The active tenant whose public artifact has this id."""
    row = await db.fetchrow(f"{_SELECT} WHERE t.artifact_id = $1 AND t.state = 'active'", artifact_id)
    return tenant_from(row) if row else None


async def insert_tenant(
    db: Connection, *, config_id: str, artifact_id: str, name: str, schema: str, role: str, at: datetime
) -> int:
    """A new active tenant; returns its number."""
    return int(
        await db.fetchval(
            """
            INSERT INTO tenants (config_id, artifact_id, name, schema_name, role_name, created_at)
            VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
            """,
            config_id,
            artifact_id,
            name,
            schema,
            role,
            at,
        )
    )


async def set_state(db: Connection, tenant_id: int, state: str, deleted_at: datetime | None) -> None:
    """The tenant's state; `deleted_at` only with 'deleted'."""
    await db.execute("UPDATE tenants SET state = $2, deleted_at = $3 WHERE id = $1", tenant_id, state, deleted_at)


async def set_config_id(db: Connection, tenant_id: int, config_id: str) -> None:
    """Gives the tenant another config id."""
    await db.execute("UPDATE tenants SET config_id = $2 WHERE id = $1", tenant_id, config_id)


async def delete_tenant_row(db: Connection, tenant_id: int) -> None:
    """Forgets the tenant with its config versions and memberships."""
    await db.execute("DELETE FROM tenants WHERE id = $1", tenant_id)


# Schemas and roles


async def owner_role(db: Connection) -> str:
    """The role that owns every tenant's schema and tables."""
    return str(await db.fetchval("SELECT owner_role FROM installation"))


async def session_login(db: Connection) -> str:
    """The login of this connection, whatever role it is in."""
    return str(await db.fetchval("SELECT session_user"))


async def serving_login(db: Connection) -> str:
    """The login that serves, which may be another one than that of this connection."""
    return str(await db.fetchval("SELECT coalesce(serving_login, session_user) FROM installation"))


async def create_schema(db: Connection, schema: str, owner: str, role: str) -> None:
    """A schema of the owner that the role may use. Run as the owner."""
    await db.execute(f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(owner)}")
    await db.execute(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}")


async def drop_schema(db: Connection, schema: str) -> None:
    """Drops the schema with all that is in it. Run as the owner."""
    await db.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")


async def drop_what_role_owns(db: Connection) -> None:
    """Drops what the present role owns outside of its schema, such as large objects, and ends its rights."""
    await db.execute("DROP OWNED BY CURRENT_USER")


async def drop_role(db: Connection, role: str) -> None:
    """Drops a tenant's role, which by then may do nothing."""
    await db.execute(f"DROP ROLE {quoted(role)}")


async def list_tenants_behind(db: Connection, version: str) -> list[Tenant]:
    """Every tenant, whatever its state, that lacks a migration up to `version`."""
    rows = await db.fetch(f"{_SELECT} WHERE t.schema_version < $1 ORDER BY t.id", version)
    return [tenant_from(row) for row in rows]


async def set_schema_version(db: Connection, tenant_id: int, version: str) -> None:
    """Notes the last migration that the tenant's schema has."""
    await db.execute("UPDATE tenants SET schema_version = $2 WHERE id = $1", tenant_id, version)


# In a tenant's own schema


async def insert_head(db: Connection, epoch: str, base: int, carrier_key: bytes, cluster: str | None = None) -> None:
    """Where the log of a new tenant begins, and in which cluster if that is known. In its schema, as its owner."""
    await db.execute(
        "INSERT INTO sync_head (epoch, base, head, carrier_key, cluster) VALUES ($1, $2, 0, $3, $4)",
        epoch,
        base,
        carrier_key,
        cluster,
    )


async def put_settings(db: Connection, settings: dict[str, Any]) -> set[str]:
    """Sets the settings that the config decides, and gives the names of those that changed. In the tenant's schema."""
    rows = await db.fetch(
        """
        INSERT INTO settings (name, value) SELECT * FROM unnest($1::text[], $2::jsonb[])
        ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE settings.value <> excluded.value
        RETURNING name
        """,
        list(settings),
        [dump_json(value).decode() for value in settings.values()],
    )
    return {row["name"] for row in rows}


async def list_known_guids_after(db: Connection, last: str, limit: int) -> list[str]:
    """The first guids after `last` of the tenant's entities and of those it knows to be others', in order.

    In the tenant's schema.
    """
    rows = await db.fetch(
        """
        (SELECT guid FROM entities WHERE guid > $1 ORDER BY guid LIMIT $2)
        UNION (SELECT guid FROM foreign_guids WHERE guid > $1 ORDER BY guid LIMIT $2)
        ORDER BY guid LIMIT $2
        """,
        last,
        limit,
    )
    return [row["guid"] for row in rows]


async def insert_foreign_guids(db: Connection, guids: Sequence[str]) -> None:
    """Makes guids known as those of others' entities. In the tenant's schema, as its owner."""
    await db.execute("INSERT INTO foreign_guids (guid) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", guids)


async def list_erased_persons(db: Connection) -> set[str]:
    """Whom nothing may be kept of any more, as it stays until the transaction ends. In the tenant's schema."""
    rows = await db.fetch(
        """
        WITH locked AS (SELECT FROM erasing FOR KEY SHARE)
        SELECT guid FROM erased_persons WHERE NOT EXISTS (SELECT FROM locked)
        """
    )
    return {row["guid"] for row in rows}


async def count_entities(db: Connection) -> int:
    """How many live entities the tenant has. In the tenant's schema."""
    return int(await db.fetchval("SELECT coalesce(sum(n), 0)::bigint FROM entity_counts"))


# Config versions


async def insert_version(
    db: Connection, tenant_id: int, number: int, document: dict[str, Any], at: datetime, account: str
) -> None:
    """Keeps an uploaded config."""
    await db.execute(
        "INSERT INTO config_versions (tenant_id, number, document, uploaded_at, uploaded_by) "
        "VALUES ($1, $2, $3::json, $4, $5)",
        tenant_id,
        number,
        dump_json(document).decode(),
        at,
        account,
    )


# In the order of their ids, as whoever locks several of them does. Only providers open sessions of one tenant.
_DELETE_SESSIONS_OF_PROVIDERS = """
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE tenant_id = $1 ORDER BY id FOR UPDATE)
"""


async def delete_sessions_of_providers(db: Connection, tenant_id: int) -> None:
    """Ends the sessions that the tenant's identity providers opened."""
    await db.execute(_DELETE_SESSIONS_OF_PROVIDERS, tenant_id)


async def set_form_roles(db: Connection, tenant_id: int, form_roles: dict[str, list[str]]) -> None:
    """Notes which roles may see the entities of which forms."""
    await db.execute(
        "UPDATE tenants SET form_roles = $2::jsonb WHERE id = $1", tenant_id, orjson.dumps(form_roles).decode()
    )


async def hide_forms(db: Connection, *, is_on: bool) -> None:
    """Lets the policies hold that hide entities of some forms from some, or hold no more. In the tenant's scope."""
    if is_on:
        await db.execute("SELECT hide_forms()")
    else:
        await db.execute("SELECT show_forms()")


async def set_retention_due(db: Connection, tenant_id: int, due: datetime | None) -> None:
    """When the tenant's retention times are to be carried out next; None where it has none."""
    await db.execute("UPDATE tenants SET retention_due = $2 WHERE id = $1", tenant_id, due)


async def set_current_version(
    db: Connection, tenant_id: int, number: int, *, name: str, description: str, version: str
) -> None:
    """Makes a config version the tenant's present one."""
    await db.execute(
        "UPDATE tenants SET config_number = $2, name = $3, description = $4, version = $5 WHERE id = $1",
        tenant_id,
        number,
        name,
        description,
        version,
    )


async def find_document(db: Connection, tenant_id: int, number: int) -> dict[str, Any] | None:
    """The config that was uploaded under the number."""
    text = await db.fetchval(
        "SELECT document::text FROM config_versions WHERE tenant_id = $1 AND number = $2", tenant_id, number
    )
    document: dict[str, Any] | None = orjson.loads(text) if text else None
    return document


async def list_rows_ever(db: Connection, tenant_id: int, ids: Sequence[str]) -> set[str]:
    """Which of the ids are those of a row of entityData in any config that was uploaded."""
    rows = await db.fetch(
        """
        SELECT DISTINCT row->>'id' AS id
        FROM config_versions v, json_array_elements(v.document->'entityData') AS section,
             json_array_elements(section->'data') AS row
        WHERE v.tenant_id = $1 AND row->>'id' = ANY($2)
        """,
        tenant_id,
        ids,
    )
    return {row["id"] for row in rows}


async def list_versions(db: Connection, tenant_id: int) -> list[Row]:
    """Number, name, version, time and account of each upload, the newest first."""
    return await db.fetch(
        """
        SELECT number, document->>'name' AS name, document->>'version' AS version, uploaded_at, uploaded_by
        FROM config_versions WHERE tenant_id = $1 ORDER BY number DESC
        """,
        tenant_id,
    )


# Lists

_SORT_COLUMNS: Final = {
    "name": 'lower(t.name) COLLATE "C", t.name',
    "id": "t.config_id",
    "entitiesCount": "t.entities_count",
    "createdAt": "t.created_at",
}
_MATCHING: Final = """
FROM tenants t
WHERE t.state = ANY($1)
  AND ($2::bigint IS NULL OR EXISTS (SELECT FROM memberships m WHERE m.tenant_id = t.id AND m.user_id = $2))
  AND ($3 = '' OR strpos(lower(t.name), lower($3)) > 0 OR strpos(lower(t.config_id), lower($3)) > 0
       OR strpos(lower(t.version), lower($3)) > 0)
  AND ($4::bigint IS NULL OR t.id = $4)
"""


async def count_tenants(
    db: Connection, states: Sequence[str], member: int | None, search: str, *, only: int | None = None
) -> int:
    """How many tenants are in one of the states, have the account `member` (None: any), and match the search.

    `only`: none but the tenant with this number.
    """
    return int(await db.fetchval(f"SELECT count(*) {_MATCHING}", states, member, search, only))


async def list_tenants(
    db: Connection,
    states: Sequence[str],
    member: int | None,
    search: str,
    *,
    sort_by: str,
    descending: bool,
    limit: int,
    offset: int,
    only: int | None = None,
) -> list[Tenant]:
    """A page of the tenants that `count_tenants` counts. `sort_by`: name, id, entitiesCount or createdAt."""
    direction = "DESC" if descending else "ASC"
    order = ", ".join(f"{column} {direction}" for column in [*_SORT_COLUMNS[sort_by].split(", "), "t.id"])
    rows = await db.fetch(
        f"SELECT {TENANT_COLUMNS} {_MATCHING} ORDER BY {order} LIMIT $5 OFFSET $6",
        states,
        member,
        search,
        only,
        limit,
        offset,
    )
    return [tenant_from(row) for row in rows]


async def list_external_syncs(db: Connection, tenant_ids: Sequence[int]) -> dict[int, Any]:
    """The externalSync of each tenant's present config, secrets included."""
    rows = await db.fetch(
        """
        SELECT t.id, (v.document->'externalSync')::text AS value
        FROM tenants t JOIN config_versions v ON v.tenant_id = t.id AND v.number = t.config_number
        WHERE t.id = ANY($1)
        """,
        tenant_ids,
    )
    return {row["id"]: orjson.loads(row["value"]) for row in rows if row["value"]}


async def lock_entities_count(db: Connection, tenant_id: int) -> bool:
    """Whether the tenant is there; if so, nobody else notes its number of entities before the transaction ends.

    Raises asyncpg.LockNotAvailableError where somebody is just changing the tenant.
    """
    sql = "SELECT true FROM tenants WHERE id = $1 FOR NO KEY UPDATE NOWAIT"
    return bool(await db.fetchval(sql, tenant_id))


async def set_entities_count(db: Connection, tenant_id: int, count: int) -> None:
    """Notes how many entities the tenant has."""
    await db.execute("UPDATE tenants SET entities_count = $2 WHERE id = $1 AND entities_count <> $2", tenant_id, count)


# What ends with a tenant


async def list_roles_of_member(db: Connection, user_id: int) -> dict[int, str]:
    """The roles of an account by the numbers of the tenants that it is in."""
    rows = await db.fetch("SELECT tenant_id, role FROM memberships WHERE user_id = $1", user_id)
    return {row["tenant_id"]: row["role"] for row in rows}


async def end_sessions_of_members(db: Connection, tenant_id: int) -> int:
    """Ends the sessions of members who are in no other tenant and are not ADMIN; returns how many."""
    ended = await db.fetch(
        """
        DELETE FROM sessions s USING memberships m, users u
        WHERE m.tenant_id = $1 AND s.user_id = m.user_id AND u.id = m.user_id AND u.role <> 'ADMIN'
          AND NOT EXISTS (SELECT FROM memberships o WHERE o.user_id = m.user_id AND o.tenant_id <> $1)
        RETURNING s.id
        """,
        tenant_id,
    )
    return len(ended)


async def delete_memberships(db: Connection, tenant_id: int) -> int:
    """Removes every membership in the tenant; returns how many there were."""
    return len(await db.fetch("DELETE FROM memberships WHERE tenant_id = $1 RETURNING user_id", tenant_id))


async def list_deleted_before(db: Connection, at: datetime) -> list[Tenant]:
    """The deleted tenants that were deleted at this time or earlier."""
    rows = await db.fetch(f"{_SELECT} WHERE t.state = 'deleted' AND t.deleted_at <= $1 ORDER BY t.deleted_at", at)
    return [tenant_from(row) for row in rows]


async def insert_former_config_id(db: Connection, config_id: str, tenant_id: int) -> None:
    """Remembers that the tenant had the config id."""
    await db.execute(
        "INSERT INTO former_config_ids (config_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        config_id,
        tenant_id,
    )


async def list_former_holders(db: Connection, config_id: str) -> list[int]:
    """The numbers of all tenants that had the config id when they were deleted, purged ones among them."""
    rows = await db.fetch("SELECT tenant_id FROM former_config_ids WHERE config_id = $1 ORDER BY tenant_id", config_id)
    return [row["tenant_id"] for row in rows]


async def find_schema(db: Connection, tenant_id: int) -> str | None:
    """The schema of the tenant, None for one that is purged."""
    schema: str | None = await db.fetchval("SELECT schema_name FROM tenants WHERE id = $1", tenant_id)
    return schema
