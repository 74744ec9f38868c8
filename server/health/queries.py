"""The SQL of health, on the shared schema."""

from server.db import Connection, Scope

# The system identifier is made by initdb, the timeline grows when a standby is promoted or a backup recovered, and the
# oid is another one where the database was dumped into a new one.
_CLUSTER = """
SELECT s.system_identifier::text || '/' || c.timeline_id::text || '/' || d.oid::text
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
WHERE d.datname = current_database()
"""


# Some providers drop the functions or keep them for themselves.
_MAY_ASK = """
SELECT count(*) = 2 FROM pg_proc
WHERE oid IN (to_regprocedure('pg_control_system()'), to_regprocedure('pg_control_checkpoint()'))
  AND has_function_privilege(oid, 'EXECUTE')
"""


async def cluster_identity(db: Connection) -> str | None:
    """Which cluster, timeline and database this is; None where the login may not ask."""
    return str(await db.fetchval(_CLUSTER)) if await db.fetchval(_MAY_ASK) else None


async def find_stored_cluster(db: Connection) -> str | None:
    """The identity at the last start after which every tenant followed; None at the first."""
    stored: str | None = await db.fetchval("SELECT cluster FROM installation")
    return stored


async def store_cluster(db: Connection, identity: str) -> None:
    """Notes the identity for the next start."""
    await db.execute("UPDATE installation SET cluster = $1", identity)


async def count_tenants_behind(db: Connection, version: str) -> int:
    """How many tenants that are not deleted lack a migration up to `version`."""
    return int(
        await db.fetchval("SELECT count(*) FROM tenants WHERE schema_version < $1 AND state <> 'deleted'", version)
    )


async def list_tenants_behind(db: Connection, version: str) -> list[str]:
    """The config ids of tenants that are not deleted and lack a migration up to `version`, by name."""
    rows = await db.fetch(
        "SELECT config_id FROM tenants WHERE schema_version < $1 AND state <> 'deleted' ORDER BY config_id", version
    )
    return [row["config_id"] for row in rows]


async def list_scopes(db: Connection) -> list[tuple[str, Scope]]:
    """Config id and scope of every tenant whose schema is there, deleted ones included: they may be restored."""
    rows = await db.fetch(
        "SELECT config_id, schema_name, role_name FROM tenants WHERE schema_version <> '' ORDER BY id"
    )
    return [(row["config_id"], Scope(row["schema_name"], row["role_name"])) for row in rows]
