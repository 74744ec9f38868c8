"""The SQL of providers' identities, on the shared schema."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from server.auth.queries import TENANT_NAMED, number_of
from server.db.connection import Connection, Row
from server.db.scope import SHARED_SCHEMA
from server.tenants.model import TENANT_COLUMNS

_FIND_STANDING: Final = f"""
SELECT x.subject IS NOT NULL AS is_known, x.last_seen_at, u.id AS user_id, u.email, m.role AS member_role,
       (SELECT jsonb_object_agg(r.name, r.permissions)::text
        FROM {SHARED_SCHEMA}.tenant_roles r WHERE r.tenant_id = t.id) AS own_roles,
       {TENANT_COLUMNS}
FROM (SELECT $1::text AS issuer, $4::text AS subject) shown
{TENANT_NAMED}
LEFT JOIN {SHARED_SCHEMA}.external_identities x
    ON x.tenant_id = t.id AND x.issuer = shown.issuer AND x.subject = shown.subject
LEFT JOIN {SHARED_SCHEMA}.users u ON u.id = x.user_id
LEFT JOIN {SHARED_SCHEMA}.memberships m ON m.user_id = u.id AND m.tenant_id = t.id
"""


async def find_standing(db: Connection, tenant: str, issuer: str, subject: str) -> Row | None:
    """Tenant, identity, account, membership and the tenant's own roles in one statement that needs no transaction.

    None where there is no such tenant. `tenant` is a config id or a tenant's number. is_known: the identity has been
    here; then user_id is null where its account was deleted. own_roles: a JSON object of permissions by name, or null.
    """
    row = await db.fetchrow(_FIND_STANDING, issuer, tenant, number_of(tenant), subject)
    return row if row is not None and row["id"] is not None else None


async def find_auth_configs(db: Connection, tenant_id: int, number: int) -> Any:
    """The authConfigs of a version of the tenant's config as they are stored, secrets sealed; None without any."""
    text = await db.fetchval(
        f"SELECT (document->'authConfigs')::text FROM {SHARED_SCHEMA}.config_versions "
        "WHERE tenant_id = $1 AND number = $2",
        tenant_id,
        number,
    )
    return orjson.loads(text) if text else None


async def insert_identity(db: Connection, tenant_id: int, issuer: str, subject: str, at: datetime) -> bool:
    """Whether the identity was not known before; from now on it is, without an account as yet.

    Whoever else inserts it at the same time waits for the end of the transaction.
    """
    sql = """
        INSERT INTO external_identities (tenant_id, issuer, subject, created_at, last_seen_at)
        VALUES ($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING RETURNING true
    """
    return bool(await db.fetchval(sql, tenant_id, issuer, subject, at))


async def set_account(db: Connection, tenant_id: int, issuer: str, subject: str, user_id: int) -> None:
    """Says whose identity it is."""
    await db.execute(
        "UPDATE external_identities SET user_id = $4 WHERE tenant_id = $1 AND issuer = $2 AND subject = $3",
        tenant_id,
        issuer,
        subject,
        user_id,
    )


async def mark_seen(db: Connection, tenant_id: int, issuer: str, subject: str, at: datetime) -> None:
    """Notes when the identity was last seen."""
    await db.execute(
        "UPDATE external_identities SET last_seen_at = $4 WHERE tenant_id = $1 AND issuer = $2 AND subject = $3",
        tenant_id,
        issuer,
        subject,
        at,
    )


_LOCK_MEMBER: Final = """
SELECT u.id FROM users u JOIN memberships m ON m.user_id = u.id AND m.tenant_id = $1
WHERE lower(u.email) = lower($2) AND u.role <> 'ADMIN'
  AND NOT EXISTS (
      SELECT FROM external_identities x WHERE x.tenant_id = $1 AND x.issuer = $3 AND x.user_id = u.id
  )
FOR UPDATE OF u
"""


async def lock_member(db: Connection, tenant_id: int, email: str, issuer: str) -> int | None:
    """The tenant's member with this e-mail address who is no operator and nobody else to the issuer already.

    He stays all of that until the transaction ends.
    """
    user_id: int | None = await db.fetchval(_LOCK_MEMBER, tenant_id, email, issuer)
    return user_id


async def insert_account(db: Connection, email: str, password_hash: str) -> int:
    """Adds an account and returns its number."""
    sql = "INSERT INTO users (email, password_hash, role) VALUES ($1, $2, 'USER') RETURNING id"
    return int(await db.fetchval(sql, email, password_hash))


async def insert_membership(db: Connection, user_id: int, tenant_id: int, role: str) -> None:
    """Makes the account a member of the tenant."""
    await db.execute("INSERT INTO memberships (user_id, tenant_id, role) VALUES ($1, $2, $3)", user_id, tenant_id, role)


async def find_password_hash(db: Connection, user_id: int) -> str | None:
    """The password hash of the account, None where it is gone."""
    found: str | None = await db.fetchval("SELECT password_hash FROM users WHERE id = $1", user_id)
    return found


async def set_session_role(db: Connection, session_id: UUID, role: str | None) -> None:
    """Says which role the session's holder has in the tenant that it is bound to; None: that of his membership."""
    await db.execute("UPDATE sessions SET tenant_role = $2 WHERE id = $1", session_id, role)


async def use_up_login(db: Connection, digest: bytes, at: datetime, ends: datetime) -> bool:
    """Whether the login was not used before; from now on it was. Forgets those whose time is over."""
    await db.execute("DELETE FROM used_logins WHERE ends_at < $1", at)
    sql = "INSERT INTO used_logins (digest, ends_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
    return bool(await db.fetchval(sql, digest, ends))
