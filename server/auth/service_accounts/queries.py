"""The SQL of service accounts and their keys, on the shared schema."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.auth.queries import number_of
from server.db.connection import Connection, Row
from server.db.scope import SHARED_SCHEMA
from server.tenants.model import TENANT_COLUMNS

# Keys that hold

_STANDING = f"""
SELECT k.id AS key_id, k.prefix, k.digest, k.scopes, a.id AS service_account_id, a.tenant_id AS home, a.role,
       r.permissions AS own_permissions, {TENANT_COLUMNS}
"""

_HOLDING = f"""
JOIN {SHARED_SCHEMA}.service_accounts a ON a.id = k.service_account_id
JOIN {SHARED_SCHEMA}.tenants h ON h.id = a.tenant_id AND h.state <> 'deleted'
LEFT JOIN {SHARED_SCHEMA}.tenant_roles r ON r.tenant_id = a.tenant_id AND r.name = a.role
"""

_HOLDS = "k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())"

_FIND_KEY = f"""
{_STANDING}
FROM {SHARED_SCHEMA}.api_keys k
{_HOLDING}
LEFT JOIN LATERAL (
    SELECT * FROM {SHARED_SCHEMA}.tenants
    WHERE (config_id = $2 OR id = $3 OR ($2 IS NULL AND id = a.tenant_id)) AND state <> 'deleted'
    ORDER BY config_id = $2 DESC LIMIT 1
) t ON true
WHERE k.prefix = $1 AND {_HOLDS}
"""

_LIST_STANDINGS = f"""
{_STANDING}
FROM unnest($1::text[], $2::bigint[]) AS asked (prefix, tenant_id)
JOIN {SHARED_SCHEMA}.api_keys k ON k.prefix = asked.prefix AND {_HOLDS}
{_HOLDING}
JOIN {SHARED_SCHEMA}.tenants t ON t.id = asked.tenant_id AND t.state <> 'deleted'
"""


async def find_key(db: Connection, prefix: str, tenant: str | None) -> Row | None:
    """A key that holds, its account, the account's role, and the tenant named (the account's own where none is).

    One statement that needs no transaction. Columns of the tenant are null where it is unknown.
    """
    return await db.fetchrow(_FIND_KEY, prefix, tenant, number_of(tenant))


async def list_key_standings(db: Connection, prefixes: Sequence[str], tenant_ids: Sequence[int]) -> list[Row]:
    """The same for each pair of a key's prefix and a tenant's number; no row for what is over or deleted."""
    return await db.fetch(_LIST_STANDINGS, list(prefixes), list(tenant_ids))


_MARK_USED = """
UPDATE api_keys k SET last_used_at = held.at
FROM (
    SELECT o.id, given.at FROM unnest($1::text[], $2::timestamptz[]) AS given (prefix, at)
    JOIN api_keys o ON o.prefix = given.prefix AND (o.last_used_at IS NULL OR o.last_used_at < given.at)
    ORDER BY o.id FOR NO KEY UPDATE OF o SKIP LOCKED
) held
WHERE k.id = held.id
"""


async def mark_used(db: Connection, prefixes: Sequence[str], moments: Sequence[datetime]) -> None:
    """Notes when each of these keys was last used. One that is locked is being revoked."""
    await db.execute(_MARK_USED, list(prefixes), list(moments))


# Accounts

_ACCOUNT_COLUMNS = """
a.id, a.name, a.description, a.role, a.created_at, a.created_by,
(SELECT count(*) FROM api_keys k WHERE k.service_account_id = a.id AND k.revoked_at IS NULL
 AND (k.expires_at IS NULL OR k.expires_at > now())) AS keys,
(SELECT max(k.last_used_at) FROM api_keys k WHERE k.service_account_id = a.id) AS last_used_at
"""

_MATCHING_ACCOUNTS = """
FROM service_accounts a
WHERE a.tenant_id = $1
  AND ($2 = '' OR strpos(lower(a.name), lower($2)) > 0 OR strpos(lower(a.description), lower($2)) > 0)
"""

_ACCOUNT_ORDERS: Final = {
    "name": "lower(a.name)",
    "-name": "lower(a.name) DESC",
    "role": "a.role, lower(a.name)",
    "-role": "a.role DESC, lower(a.name)",
    "createdAt": "a.created_at, a.id",
    "-createdAt": "a.created_at DESC, a.id DESC",
}


async def count_accounts(db: Connection, tenant_id: int, search: str = "") -> int:
    """How many service accounts of the tenant have `search` in name or description, in any case."""
    return int(await db.fetchval(f"SELECT count(*) {_MATCHING_ACCOUNTS}", tenant_id, search))


async def list_accounts(
    db: Connection, tenant_id: int, search: str, *, order: str, limit: int, offset: int
) -> list[Row]:
    """A page of those that `count_accounts` counts. `order`: name, role or createdAt, with a minus for descending.

    Columns: id, name, description, role, created_at, created_by, keys (that hold), last_used_at.
    """
    sql = f"SELECT {_ACCOUNT_COLUMNS} {_MATCHING_ACCOUNTS} ORDER BY {_ACCOUNT_ORDERS[order]} LIMIT $3 OFFSET $4"
    return await db.fetch(sql, tenant_id, search, limit, offset)


async def find_account(db: Connection, tenant_id: int, number: int) -> Row | None:
    """A service account of the tenant, with the columns of `list_accounts`."""
    sql = f"SELECT {_ACCOUNT_COLUMNS} FROM service_accounts a WHERE a.tenant_id = $1 AND a.id = $2"
    return await db.fetchrow(sql, tenant_id, number)


async def lock_account(db: Connection, tenant_id: int, number: int) -> Row | None:
    """name, description and role of a service account of the tenant, which nobody else changes, nor its keys."""
    sql = "SELECT id, name, description, role FROM service_accounts WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
    return await db.fetchrow(sql, tenant_id, number)


_INSERT_ACCOUNT = """
INSERT INTO service_accounts (tenant_id, name, description, role, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, lower(name)) DO NOTHING
RETURNING id
"""


async def insert_account(
    db: Connection, tenant_id: int, name: str, description: str, role: str, at: datetime, by: str
) -> int | None:
    """Adds one and returns its number; None where the tenant has one of this name."""
    found: int | None = await db.fetchval(_INSERT_ACCOUNT, tenant_id, name, description, role, at, by)
    return found


_HAS_NAME = """
SELECT EXISTS (SELECT FROM service_accounts WHERE tenant_id = $1 AND lower(name) = lower($2) AND id <> $3)
"""


async def has_another_named(db: Connection, tenant_id: int, name: str, number: int) -> bool:
    """Whether another service account of the tenant than this one has the name, in any case."""
    return bool(await db.fetchval(_HAS_NAME, tenant_id, name, number))


async def update_account(db: Connection, number: int, name: str, description: str, role: str) -> None:
    """Writes name, description and role."""
    sql = "UPDATE service_accounts SET name = $2, description = $3, role = $4 WHERE id = $1"
    await db.execute(sql, number, name, description, role)


async def delete_account(db: Connection, number: int) -> None:
    """Removes a service account with its keys."""
    await db.execute("DELETE FROM service_accounts WHERE id = $1", number)


# Keys

_KEY_COLUMNS = """
k.id, k.name, k.prefix, k.scopes, k.created_at, k.created_by, k.expires_at, k.last_used_at, k.revoked_at
"""

_MATCHING_KEYS = """
FROM api_keys k
WHERE k.service_account_id = $1 AND ($2 = '' OR strpos(lower(k.name), lower($2)) > 0 OR strpos(k.prefix, $2) > 0)
"""

_KEY_ORDERS: Final = {
    "name": "lower(k.name), k.id",
    "-name": "lower(k.name) DESC, k.id DESC",
    "createdAt": "k.created_at, k.id",
    "-createdAt": "k.created_at DESC, k.id DESC",
    "lastUsedAt": "k.last_used_at NULLS FIRST, k.id",
    "-lastUsedAt": "k.last_used_at DESC NULLS LAST, k.id DESC",
}


async def count_keys(db: Connection, account: int, search: str = "") -> int:
    """How many keys of the service account have `search` in their name, in any case, or in their prefix."""
    return int(await db.fetchval(f"SELECT count(*) {_MATCHING_KEYS}", account, search))


async def count_holding_keys(db: Connection, account: int) -> int:
    """How many keys of the service account are neither revoked nor over."""
    sql = f"SELECT count(*) FROM api_keys k WHERE k.service_account_id = $1 AND {_HOLDS}"
    return int(await db.fetchval(sql, account))


async def list_keys(db: Connection, account: int, search: str, *, order: str, limit: int, offset: int) -> list[Row]:
    """A page of those that `count_keys` counts. `order`: name, createdAt or lastUsedAt, with a minus for descending.

    Columns: id, name, prefix, scopes, created_at, created_by, expires_at, last_used_at, revoked_at.
    """
    sql = f"SELECT {_KEY_COLUMNS} {_MATCHING_KEYS} ORDER BY {_KEY_ORDERS[order]} LIMIT $3 OFFSET $4"
    return await db.fetch(sql, account, search, limit, offset)


_INSERT_KEY = """
INSERT INTO api_keys (service_account_id, name, prefix, digest, scopes, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id
"""


async def insert_key(
    db: Connection,
    account: int,
    name: str,
    prefix: str,
    digest: bytes,
    scopes: Sequence[str],
    at: datetime,
    by: str,
    expires: datetime | None,
) -> int:
    """Adds a key and returns its number."""
    return int(await db.fetchval(_INSERT_KEY, account, name, prefix, digest, list(scopes), at, by, expires))


_REVOKE_KEY = """
UPDATE api_keys k SET revoked_at = $4 FROM service_accounts a
WHERE k.id = $3 AND k.service_account_id = $2 AND a.id = $2 AND a.tenant_id = $1 AND k.revoked_at IS NULL
RETURNING k.name, k.prefix
"""


async def revoke_key(db: Connection, tenant_id: int, account: int, number: int, at: datetime) -> Row | None:
    """Ends a key of the tenant's service account; its name and prefix, None where there is no such key that holds."""
    return await db.fetchrow(_REVOKE_KEY, tenant_id, account, number, at)
