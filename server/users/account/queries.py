"""The SQL of one's own account, on the shared schema."""

from server.db.connection import Connection

_END_OTHER_LOGINS = """
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2::uuid AND app_password_id IS NULL
    ORDER BY id FOR UPDATE
)
"""


async def end_other_logins(db: Connection, user_id: int, session_id: str | None) -> None:
    """Ends the account's sessions that were opened with its password, except this one."""
    await db.execute(_END_OTHER_LOGINS, user_id, session_id)


async def set_password(db: Connection, user_id: int, password_hash: str) -> str | None:
    """Gives the account another password; its e-mail address, None where it is gone."""
    sql = "UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING email"
    email: str | None = await db.fetchval(sql, user_id, password_hash)
    return email


async def set_email(db: Connection, user_id: int, email: str) -> None:
    """Gives the account another e-mail address."""
    await db.execute("UPDATE users SET email = $2 WHERE id = $1", user_id, email)


async def find_account(db: Connection, email: str) -> tuple[int, str, str] | None:
    """Number, e-mail address and hash of the account with this address, in any case."""
    row = await db.fetchrow("SELECT id, email, password_hash FROM users WHERE lower(email) = lower($1)", email)
    return (row["id"], row["email"], row["password_hash"]) if row else None
