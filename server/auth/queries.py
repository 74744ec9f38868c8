"""The SQL of authentication, on the shared schema."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.auth.throttling.queries import PLACE_DAYS
from server.db.connection import Connection, Row
from server.db.scope import SHARED_SCHEMA
from server.roles.permissions import Permission, rights_of
from server.tenants.model import TENANT_COLUMNS

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")

TENANT_NAMED = f"""
LEFT JOIN LATERAL (
    SELECT * FROM {SHARED_SCHEMA}.tenants WHERE (config_id = $2 OR id = $3) AND state <> 'deleted'
    ORDER BY config_id = $2 DESC LIMIT 1
) t ON true
"""

_STANDING = f"""
LEFT JOIN {SHARED_SCHEMA}.memberships m
    ON m.user_id = u.id AND m.tenant_id = t.id AND (s.tenant_id IS NULL OR s.tenant_id = t.id)
LEFT JOIN {SHARED_SCHEMA}.tenant_roles r
    ON r.tenant_id = m.tenant_id AND r.name = coalesce(s.tenant_role, m.role)
"""

_STANDING_COLUMNS = f"""
       s.id AS session_id, s.kind AS session_kind, s.scope AS session_scope, s.generation, s.delivered,
       s.second_factor_at, s.tenant_id AS bound_to,
       u.id AS user_id, u.email, u.role AS user_role, r.permissions AS own_permissions,
       CASE WHEN m.role IS NOT NULL THEN nullif(coalesce(s.tenant_role, m.role), '') END AS member_role,
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
{TENANT_NAMED}
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
    return await db.fetchrow(_FIND_SESSION, session_id, tenant, number_of(tenant))


async def list_standings(db: Connection, session_ids: Sequence[UUID], tenant_ids: Sequence[int]) -> list[Row]:
    """The same for each pair of a session and a tenant's number; no row for what is over or deleted."""
    return await db.fetch(_LIST_STANDINGS, list(session_ids), list(tenant_ids))


def number_of(name: str | None) -> int | None:
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


_FIND_LOGIN = """
SELECT u.id, u.email, u.password_hash, p.seen_at > $3::timestamptz - make_interval(days => $4) AS is_known_place
FROM users u LEFT JOIN known_places p ON p.user_id = u.id AND p.network = $2
WHERE lower(u.email) = lower($1)
"""


async def find_login(db: Connection, email: str, network: str, at: datetime) -> Row | None:
    """id, email and password_hash of the account with this e-mail address, in any case.

    is_known_place is true where it has signed in from the network in the last PLACE_DAYS, else false or null.
    """
    return await db.fetchrow(_FIND_LOGIN, email, network, at, PLACE_DAYS)


async def replace_hash(db: Connection, user_id: int, old: str, new: str) -> bool:
    """Stores another hash of the same password, unless the account has another password or is gone by now."""
    sql = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING true"
    return bool(await db.fetchval(sql, user_id, old, new))


async def lock_credentials(db: Connection, user_id: int, password_hash: str) -> bool:
    """Whether the account still has this password; if so, it can neither lose it nor go before the transaction ends.

    Without the lock, a session could be opened with the old password just after a change has ended all sessions.
    """
    sql = "SELECT true FROM users WHERE id = $1 AND password_hash = $2 FOR SHARE"
    return bool(await db.fetchval(sql, user_id, password_hash))


async def lock_account(db: Connection, user_id: int) -> None:
    """Waits for logins to the account that are under way; no other one is accepted before the transaction ends."""
    await db.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)


async def delete_session(db: Connection, session_id: str) -> None:
    """Ends one session."""
    await db.execute("DELETE FROM sessions WHERE id = $1", session_id)


# In the order of their ids, as whoever locks several of them does.
_DELETE_SESSIONS = """
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2::uuid ORDER BY id FOR UPDATE
)
"""

_MARK_DELIVERED = "UPDATE sessions SET delivered = true WHERE id = $1 AND generation = $2 AND NOT delivered"


async def delete_sessions(db: Connection, user_id: int, *, but: str | None = None) -> None:
    """Ends every session of an account, except the session `but`."""
    await db.execute(_DELETE_SESSIONS, user_id, but)


async def mark_delivered(db: Connection, session_id: UUID, generation: int) -> None:
    """Notes that the answer with this generation's tokens arrived, unless another generation holds by now."""
    await db.execute(_MARK_DELIVERED, session_id, generation)
