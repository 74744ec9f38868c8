"""The SQL of authentication, on the shared schema."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.db.connection import Connection, Row
from server.db.scope import SHARED_SCHEMA
from server.roles.permissions import Permission, rights_of
from server.tenants.model import TENANT_COLUMNS

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")

_TENANT_NAMED = f"""
LEFT JOIN LATERAL (
    SELECT * FROM {SHARED_SCHEMA}.tenants WHERE (config_id = $2 OR id = $3) AND state <> 'deleted'
    ORDER BY config_id = $2 DESC LIMIT 1
) t ON true
"""

_STANDING = f"""
LEFT JOIN {SHARED_SCHEMA}.memberships m
    ON m.user_id = u.id AND m.tenant_id = t.id AND (s.tenant_id IS NULL OR s.tenant_id = t.id)
LEFT JOIN {SHARED_SCHEMA}.tenant_roles r ON r.tenant_id = m.tenant_id AND r.name = m.role
"""

_STANDING_COLUMNS = f"""
       s.id AS session_id, s.kind AS session_kind, s.scope AS session_scope, s.generation, s.delivered,
       s.second_factor_at, s.tenant_id AS bound_to,
       u.id AS user_id, u.email, u.role AS user_role, m.role AS member_role, r.permissions AS own_permissions,
       s.renewed_at + make_interval(days => t.offline_days) < now() AS is_stale,
       EXISTS (
           SELECT FROM {SHARED_SCHEMA}.break_glass g
           WHERE g.user_id = u.id AND g.tenant_id = t.id AND g.ended_at IS NULL AND g.expires_at > now()
       ) AS has_grant,
       {TENANT_COLUMNS}
"""

_FIND_SESSION = f"""
SELECT {_STANDING_COLUMNS}
FROM {SHARED_SCHEMA}.sessions s
JOIN {SHARED_SCHEMA}.users u ON u.id = s.user_id
{_TENANT_NAMED}
{_STANDING}
WHERE s.id = $1 AND s.expires_at > now()
"""

_LIST_STANDINGS = f"""
SELECT {_STANDING_COLUMNS}
FROM unnest($1::uuid[], $2::bigint[]) AS asked (session_id, tenant_id)
JOIN {SHARED_SCHEMA}.sessions s ON s.id = asked.session_id AND s.expires_at > now()
JOIN {SHARED_SCHEMA}.users u ON u.id = s.user_id
JOIN {SHARED_SCHEMA}.tenants t ON t.id = asked.tenant_id AND t.state <> 'deleted'
{_STANDING}
"""


async def find_session(db: Connection, session_id: UUID, tenant: str | None) -> Row | None:
    """Session, user, tenant, membership and role in one statement that needs no transaction.

    None for a session that is over. `tenant` is a config id or a tenant's number. Columns of the tenant are null where
    it is unknown. is_stale: the tenant's offline period is over for this session.
    """
    return await db.fetchrow(_FIND_SESSION, session_id, tenant, _number(tenant))


async def list_standings(db: Connection, session_ids: Sequence[UUID], tenant_ids: Sequence[int]) -> list[Row]:
    """The same for each pair of a session and a tenant's number; no row for what is over or deleted."""
    return await db.fetch(_LIST_STANDINGS, list(session_ids), list(tenant_ids))


_FIND_API_KEY = f"""
SELECT k.digest, k.scopes, a.id AS service_account_id, a.tenant_id AS home, a.role, r.permissions AS own_permissions,
       {TENANT_COLUMNS}
FROM {SHARED_SCHEMA}.api_keys k
JOIN {SHARED_SCHEMA}.service_accounts a ON a.id = k.service_account_id
JOIN {SHARED_SCHEMA}.tenants h ON h.id = a.tenant_id AND h.state <> 'deleted'
LEFT JOIN {SHARED_SCHEMA}.tenant_roles r ON r.tenant_id = a.tenant_id AND r.name = a.role
LEFT JOIN LATERAL (
    SELECT * FROM {SHARED_SCHEMA}.tenants
    WHERE (config_id = $2 OR id = $3 OR ($2 IS NULL AND id = a.tenant_id)) AND state <> 'deleted'
    ORDER BY config_id = $2 DESC LIMIT 1
) t ON true
WHERE k.prefix = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
"""


async def find_api_key(db: Connection, prefix: str, tenant: str | None) -> Row | None:
    """A key that holds, its account, the account's role, and the tenant named (the account's own where none is)."""
    return await db.fetchrow(_FIND_API_KEY, prefix, tenant, _number(tenant))


def _number(name: str | None) -> int | None:
    """The number that the name is, as a number is written; None for any other name."""
    return int(name) if name and _NUMBER.fullmatch(name) else None


_LIST_ROLES = f"""
SELECT DISTINCT m.role, r.permissions
FROM {SHARED_SCHEMA}.memberships m
LEFT JOIN {SHARED_SCHEMA}.tenant_roles r ON r.tenant_id = m.tenant_id AND r.name = m.role
WHERE m.user_id = $1
"""


async def list_rights(db: Connection, user_id: int) -> list[frozenset[Permission]]:
    """What the account may do in some tenant, once for each kind of role that it has."""
    return [rights_of(row["role"], row["permissions"]) for row in await db.fetch(_LIST_ROLES, user_id)]


async def find_credentials(db: Connection, email: str) -> Row | None:
    """id and password_hash of the account with this e-mail address, in any case."""
    return await db.fetchrow("SELECT id, password_hash FROM users WHERE lower(email) = lower($1)", email)


async def lock_credentials(db: Connection, user_id: int, password_hash: str) -> bool:
    """Whether the account still has this password; if so, it can neither lose it nor go before the transaction ends.

    Without the lock, a session could be opened with the old password just after a change has ended all sessions.
    """
    sql = "SELECT true FROM users WHERE id = $1 AND password_hash = $2 FOR SHARE"
    return bool(await db.fetchval(sql, user_id, password_hash))


async def insert_session(
    db: Connection, session_id: UUID, user_id: int, at: datetime, expires: datetime, address: str
) -> None:
    """Opens a session."""
    await db.execute(
        "INSERT INTO sessions (id, user_id, created_at, expires_at, address) VALUES ($1, $2, $3, $4, $5)",
        session_id,
        user_id,
        at,
        expires,
        address,
    )


async def delete_session(db: Connection, session_id: str) -> None:
    """Ends one session."""
    await db.execute("DELETE FROM sessions WHERE id = $1", session_id)


async def delete_sessions(db: Connection, user_id: int, *, but: str | None = None) -> None:
    """Ends every session of an account, except the session `but`."""
    await db.execute("DELETE FROM sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2::uuid", user_id, but)


async def delete_expired_sessions(db: Connection, user_id: int, at: datetime) -> None:
    """Clears away what is over of an account's sessions."""
    await db.execute("DELETE FROM sessions WHERE user_id = $1 AND expires_at <= $2", user_id, at)
