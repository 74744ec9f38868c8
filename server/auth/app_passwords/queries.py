"""The SQL of app passwords, on the shared schema."""

from datetime import datetime

from server.db.connection import Connection, Row

_FIND = """
SELECT a.id, a.user_id, a.second_factor, u.password_hash
FROM app_passwords a JOIN users u ON u.id = a.user_id
WHERE a.digest = $2 AND lower(u.email) = lower($1) AND (a.expires_at IS NULL OR a.expires_at > $3)
"""


async def find_by_digest(db: Connection, email: str, digest: bytes, at: datetime) -> Row | None:
    """id, user_id, second_factor and the account's password_hash of an app password of this account that holds."""
    return await db.fetchrow(_FIND, email, digest, at)


async def count_of(db: Connection, user_id: int) -> int:
    """How many app passwords the account has, those that are over included."""
    return int(await db.fetchval("SELECT count(*) FROM app_passwords WHERE user_id = $1", user_id))


_INSERT = """
INSERT INTO app_passwords (user_id, name, digest, second_factor, created_at, expires_at)
SELECT $1, $2, $3, s.second_factor_at IS NOT NULL, $5, $6 FROM sessions s WHERE s.id = $4
RETURNING id
"""


async def insert(
    db: Connection, user_id: int, name: str, digest: bytes, session_id: str, at: datetime, expires: datetime | None
) -> int | None:
    """Adds one, made in the session, and returns its number; None where the session is over."""
    found: int | None = await db.fetchval(_INSERT, user_id, name, digest, session_id, at, expires)
    return found


_LIST = """
SELECT a.id, a.name, a.created_at, a.expires_at,
       greatest(
           a.last_used_at, (SELECT max(s.last_seen_at) FROM sessions s WHERE s.app_password_id = a.id)
       ) AS last_used_at
FROM app_passwords a WHERE a.user_id = $1 ORDER BY a.id
"""


async def list_of(db: Connection, user_id: int) -> list[Row]:
    """id, name, created_at, expires_at and last_used_at of the account's app passwords, the oldest first."""
    return await db.fetch(_LIST, user_id)


_DELETE = "DELETE FROM app_passwords WHERE id = $1 AND user_id = $2 RETURNING name"


async def delete(db: Connection, number: int, user_id: int) -> str | None:
    """Removes one of the account, which ends the sessions that it opened; its name, None where there is none."""
    name: str | None = await db.fetchval(_DELETE, number, user_id)
    return name


async def delete_all(db: Connection, user_id: int) -> int:
    """Removes all of the account, which ends the sessions that they opened. How many there were."""
    rows = await db.fetch("DELETE FROM app_passwords WHERE user_id = $1 RETURNING id", user_id)
    return len(rows)


async def lock_app_password(db: Connection, number: int) -> bool:
    """Whether it is there; if so, it is not revoked before the transaction ends."""
    return bool(await db.fetchval("SELECT true FROM app_passwords WHERE id = $1 FOR KEY SHARE", number))


async def note_use(db: Connection, number: int, at: datetime) -> None:
    """Notes that somebody signed in with it."""
    await db.execute("UPDATE app_passwords SET last_used_at = $2 WHERE id = $1", number, at)
