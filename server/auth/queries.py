"""The SQL of authentication, on the shared schema."""

import re
from datetime import datetime
from uuid import UUID

from server.db.connection import Connection, Row
from server.db.scope import SHARED_SCHEMA
from server.tenants.model import TENANT_COLUMNS

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")

_FIND_SESSION = f"""
SELECT u.id AS user_id, u.email, u.role AS user_role, m.role AS member_role,
       {TENANT_COLUMNS}
FROM {SHARED_SCHEMA}.sessions s
JOIN {SHARED_SCHEMA}.users u ON u.id = s.user_id
LEFT JOIN LATERAL (
    SELECT * FROM {SHARED_SCHEMA}.tenants WHERE (config_id = $2 OR id = $3) AND state <> 'deleted'
    ORDER BY config_id = $2 DESC LIMIT 1
) t ON true
LEFT JOIN {SHARED_SCHEMA}.memberships m ON m.user_id = u.id AND m.tenant_id = t.id
WHERE s.id = $1 AND s.expires_at > now()
"""


async def find_session(db: Connection, session_id: UUID, tenant: str | None) -> Row | None:
    """Session, user, tenant and membership in one statement that needs no transaction; None for a session that is over.

    `tenant` is a config id or a tenant's number. Columns of the tenant are null where it is unknown.
    """
    return await db.fetchrow(_FIND_SESSION, session_id, tenant, _number(tenant))


def _number(name: str | None) -> int | None:
    """The number that the name is, as a number is written; None for any other name."""
    return int(name) if name and _NUMBER.fullmatch(name) else None


async def list_roles(db: Connection, user_id: int) -> list[str]:
    """Every role that the account has in some tenant."""
    rows = await db.fetch("SELECT DISTINCT role FROM memberships WHERE user_id = $1", user_id)
    return [row["role"] for row in rows]


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
