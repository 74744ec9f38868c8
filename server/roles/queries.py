"""The SQL of the roles that tenants make for themselves, on the shared schema."""

from collections.abc import Sequence

from server.db.connection import Connection, Row
from server.roles.model import CustomRole
from server.roles.permissions import Permission, rights_of

_COLUMNS = "name, description, permissions"


async def lock_roles(db: Connection, tenant_id: int) -> None:
    """Waits until nobody else makes, changes or removes a role of the tenant."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('croft.roles', $1))", tenant_id)


async def list_roles(db: Connection, tenant_id: int) -> list[CustomRole]:
    """The tenant's own roles by name."""
    rows = await db.fetch(f"SELECT {_COLUMNS} FROM tenant_roles WHERE tenant_id = $1 ORDER BY name", tenant_id)
    return [_role(row) for row in rows]


async def find_role(db: Connection, tenant_id: int, name: str) -> CustomRole | None:
    """The tenant's own role of this very name; nobody changes or removes it before the transaction ends."""
    sql = f"SELECT {_COLUMNS} FROM tenant_roles WHERE tenant_id = $1 AND name = $2 FOR SHARE"
    row = await db.fetchrow(sql, tenant_id, name)
    return _role(row) if row else None


async def lock_role(db: Connection, tenant_id: int, name: str) -> CustomRole | None:
    """The same, for who is about to change it: waits for those who are just giving it to somebody."""
    sql = f"SELECT {_COLUMNS} FROM tenant_roles WHERE tenant_id = $1 AND name = $2 FOR UPDATE"
    row = await db.fetchrow(sql, tenant_id, name)
    return _role(row) if row else None


async def list_role_names(db: Connection, tenant_ids: Sequence[int]) -> list[Row]:
    """tenant_id and name of the own roles of these tenants; none of them is removed before the transaction ends."""
    sql = "SELECT tenant_id, name FROM tenant_roles WHERE tenant_id = ANY($1::bigint[]) ORDER BY 1, 2 FOR SHARE"
    return await db.fetch(sql, list(tenant_ids))


async def count_roles(db: Connection, tenant_id: int) -> int:
    """How many roles the tenant made."""
    return int(await db.fetchval("SELECT count(*) FROM tenant_roles WHERE tenant_id = $1", tenant_id))


async def has_role_like(db: Connection, tenant_id: int, name: str) -> bool:
    """Whether a role of the tenant has this name, in any case."""
    sql = "SELECT EXISTS (SELECT FROM tenant_roles WHERE tenant_id = $1 AND lower(name) = lower($2))"
    return bool(await db.fetchval(sql, tenant_id, name))


async def insert_role(db: Connection, tenant_id: int, role: CustomRole) -> None:
    """Adds a role."""
    await db.execute(
        "INSERT INTO tenant_roles (tenant_id, name, description, permissions) VALUES ($1, $2, $3, $4)",
        tenant_id,
        role.name,
        role.description,
        _names(role),
    )


async def update_role(db: Connection, tenant_id: int, role: CustomRole) -> None:
    """Writes the description and the permissions of the role with this name."""
    await db.execute(
        "UPDATE tenant_roles SET description = $3, permissions = $4 WHERE tenant_id = $1 AND name = $2",
        tenant_id,
        role.name,
        role.description,
        _names(role),
    )


async def delete_role(db: Connection, tenant_id: int, name: str) -> None:
    """Removes a role."""
    await db.execute("DELETE FROM tenant_roles WHERE tenant_id = $1 AND name = $2", tenant_id, name)


async def count_members(db: Connection, tenant_id: int) -> dict[str, int]:
    """How many members have each role that somebody has."""
    rows = await db.fetch("SELECT role, count(*) AS n FROM memberships WHERE tenant_id = $1 GROUP BY role", tenant_id)
    return {row["role"]: row["n"] for row in rows}


async def count_service_accounts(db: Connection, tenant_id: int) -> dict[str, int]:
    """How many service accounts have each role that one has."""
    rows = await db.fetch(
        "SELECT role, count(*) AS n FROM service_accounts WHERE tenant_id = $1 GROUP BY role", tenant_id
    )
    return {row["role"]: row["n"] for row in rows}


def _role(row: Row) -> CustomRole:
    return CustomRole(row["name"], row["description"], rights_of(row["name"], row["permissions"]))


def _names(role: CustomRole) -> list[str]:
    return [permission.value for permission in Permission if permission in role.permissions]
