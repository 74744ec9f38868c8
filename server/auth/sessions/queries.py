"""The SQL of sessions, on the shared schema."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.auth.sessions.model import NewSession, StoredSession
from server.db.connection import Connection, Row

_FIND_TERMS = """
SELECT coalesce(min(coalesce(t.offline_days, $2)), $2) AS offline_days,
       (SELECT expires_at FROM app_passwords WHERE id = $4) AS app_password_expires_at
FROM memberships m JOIN tenants t ON t.id = m.tenant_id AND t.state <> 'deleted'
WHERE m.user_id = $1 AND ($3::bigint IS NULL OR t.id = $3)
"""


async def find_terms(
    db: Connection, user_id: int, offline_days: int, *, tenant_id: int | None, app_password_id: int | None
) -> tuple[int, datetime | None]:
    """The shortest offline period, in days, of the account's tenants; `offline_days` counts where one says nothing.

    And when the app password is over, if there is one with an end. `tenant_id`: the only tenant that counts.
    """
    row = await db.fetchrow(_FIND_TERMS, user_id, offline_days, tenant_id, app_password_id)
    assert row is not None
    return row["offline_days"], row["app_password_expires_at"]


_INSERT_SESSION = """
INSERT INTO sessions (
    id, user_id, kind, scope, created_at, renewed_at, last_seen_at, expires_at, token_id, second_factor_at,
    address, device_id, device_name, user_agent, app_password_id, tenant_id
)
VALUES ($1, $2, $3, $4, $5, $5, $5, $6, $7, CASE WHEN $8 THEN $5::timestamptz END, $9, $10, $11, $12, $13, $14)
"""


async def insert_session(db: Connection, new: NewSession) -> None:
    """Opens a session."""
    await db.execute(
        _INSERT_SESSION,
        new.id,
        new.user_id,
        new.kind,
        new.scope,
        new.at,
        new.expires_at,
        new.token_id,
        new.second_factor,
        new.client.address,
        new.client.device_id,
        new.client.device_name,
        new.client.user_agent,
        new.app_password_id,
        new.tenant_id,
    )


_DELETE_USELESS = """
DELETE FROM sessions WHERE id IN (
    SELECT s.id FROM sessions s
    WHERE s.user_id = $1 AND (s.expires_at <= $2 OR s.id IN (
        SELECT o.id FROM sessions o WHERE o.user_id = $1 AND o.app_password_id IS NOT DISTINCT FROM $4::bigint
        ORDER BY o.last_seen_at DESC, o.id OFFSET $3
    ))
    ORDER BY s.id FOR UPDATE SKIP LOCKED
)
"""


async def delete_useless_sessions(
    db: Connection, user_id: int, app_password_id: int | None, at: datetime, *, kept: int
) -> None:
    """Clears away what is over of an account's sessions, and all but the `kept` that were seen last of some of them.

    Those are the sessions that this app password opened; None stands for all that none has opened.
    """
    await db.execute(_DELETE_USELESS, user_id, at, kept, app_password_id)


EXPIRED_DAYS: Final = 30
"""For so long a session that is over is kept: a device that is back is told that it was away for too long."""

_DELETE_LONG_EXPIRED = """
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


async def delete_long_expired_sessions(db: Connection, at: datetime, most: int) -> None:
    """Clears away what was over EXPIRED_DAYS ago, so many at the most, of accounts that nobody signs in to as well."""
    await db.execute(_DELETE_LONG_EXPIRED, at - timedelta(days=EXPIRED_DAYS), most)


_LOCK_SESSION = """
SELECT id, user_id, created_at, renewed_at, expires_at, generation, token_id, previous_token_id, delivered,
       app_password_id, tenant_id
FROM sessions WHERE id = $1 AND kind = 'refresh' FOR UPDATE
"""


async def lock_session(db: Connection, session_id: UUID) -> StoredSession | None:
    """A session with refresh tokens; nobody else renews or ends it before the transaction is over."""
    row = await db.fetchrow(_LOCK_SESSION, session_id)
    return None if row is None else StoredSession(**dict(row))


_RENEW = """
UPDATE sessions
SET generation = generation + 1, token_id = $2, previous_token_id = $3, delivered = false,
    renewed_at = $4, last_seen_at = $4, expires_at = $5, address = $6
WHERE id = $1
"""


async def renew_session(
    db: Connection,
    session_id: UUID,
    token_id: UUID,
    previous_token_id: UUID,
    *,
    at: datetime,
    expires_at: datetime,
    address: str,
) -> None:
    """Begins the next generation of a session, with the refresh token that holds from now on and the one before it."""
    await db.execute(_RENEW, session_id, token_id, previous_token_id, at, expires_at, address)


_MARK_SEEN = """
UPDATE sessions s SET last_seen_at = held.at
FROM (
    SELECT o.id, seen.at FROM unnest($1::uuid[], $2::timestamptz[]) AS seen (id, at)
    JOIN sessions o ON o.id = seen.id AND o.last_seen_at < seen.at
    ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
) held
WHERE s.id = held.id
"""


async def mark_seen(db: Connection, session_ids: Sequence[UUID], moments: Sequence[datetime]) -> None:
    """Notes when each session was last seen. One that is locked is being renewed or ended: that notes more."""
    await db.execute(_MARK_SEEN, list(session_ids), list(moments))


_LIST_SESSIONS = """
SELECT id, kind, scope, created_at, renewed_at, last_seen_at, expires_at, address, device_id, device_name, user_agent
FROM sessions
WHERE user_id = $1 AND expires_at > $2 AND ($3::bigint IS NULL OR tenant_id IS NULL OR tenant_id = $3)
ORDER BY last_seen_at DESC, id
"""


async def list_sessions(db: Connection, user_id: int, at: datetime, *, tenant_id: int | None = None) -> list[Row]:
    """The account's sessions, the last seen first; with `tenant_id` those that reach that tenant."""
    return await db.fetch(_LIST_SESSIONS, user_id, at, tenant_id)


# In the order of their ids, as whoever locks several of them does.
_END_SESSIONS = """
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions
    WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND id IS DISTINCT FROM $3::uuid
      AND ($4::bigint IS NULL OR tenant_id IS NULL OR tenant_id = $4)
    ORDER BY id FOR UPDATE
)
RETURNING id
"""


async def end_sessions(
    db: Connection, user_id: int, *, only: UUID | None = None, but: str | None = None, tenant_id: int | None = None
) -> list[UUID]:
    """Ends the account's sessions: the one `only` or all, except `but`, with `tenant_id` those that reach that tenant.

    Answers which ones there were.
    """
    rows = await db.fetch(_END_SESSIONS, user_id, only, but, tenant_id)
    return [row["id"] for row in rows]


_BELONGS_TO_TENANT_ALONE = """
SELECT u.role <> 'ADMIN' AND NOT EXISTS (
    SELECT FROM memberships o JOIN tenants t ON t.id = o.tenant_id AND t.state <> 'deleted'
    WHERE o.user_id = u.id AND o.tenant_id <> m.tenant_id
)
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.user_id = $1 AND m.tenant_id = $2
"""


async def belongs_to_tenant_alone(db: Connection, user_id: int, tenant_id: int) -> bool | None:
    """Whether the member is no operator, and no member of another tenant; None for who is no member at all."""
    found: bool | None = await db.fetchval(_BELONGS_TO_TENANT_ALONE, user_id, tenant_id)
    return found
