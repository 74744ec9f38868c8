"""The SQL of health, on the shared schema."""

from server.db import Connection, Scope

# The system identifier is made by initdb, the timeline grows when a standby is promoted or a backup recovered, and the
# oid is another one where the database was dumped into a new one.
_CLUSTER = """
SELECT s.system_identifier::text || '/' || c.timeline_id::text || '/' || d.oid::text
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
WHERE d.datname = current_database()
"""


async def cluster_identity(db: Connection) -> str:
    """Which cluster, timeline and database this is. Raises InsufficientPrivilegeError where asking is not permitted."""
    return str(await db.fetchval(_CLUSTER))


async def lock_stored_cluster(db: Connection) -> str | None:
    """The identity at the last start, None at the first; nobody else can change it until the transaction ends."""
    stored = await db.fetchval("SELECT cluster FROM installation FOR UPDATE")
    return None if stored is None else str(stored)


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
