"""The SQL of mailed tokens, on the shared schema."""

from datetime import datetime

from server.db.connection import Connection, Row

_UPSERT = """
INSERT INTO mailed_tokens (user_id, purpose, digest, email, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, purpose)
    DO UPDATE SET digest = excluded.digest, email = excluded.email, expires_at = excluded.expires_at
"""


async def upsert_token(
    db: Connection, user_id: int, purpose: str, digest: bytes, email: str, expires: datetime
) -> None:
    """Stores the account's token for the purpose, in place of the one before."""
    await db.execute(_UPSERT, user_id, purpose, digest, email, expires)


async def find_token(db: Connection, purpose: str, digest: bytes, at: datetime) -> Row | None:
    """user_id and email of a token that is not over."""
    sql = "SELECT user_id, email FROM mailed_tokens WHERE digest = $1 AND purpose = $2 AND expires_at > $3"
    return await db.fetchrow(sql, digest, purpose, at)


async def delete_token(db: Connection, purpose: str, digest: bytes, at: datetime) -> Row | None:
    """Removes a token that is not over; its user_id and email."""
    sql = "DELETE FROM mailed_tokens WHERE digest = $1 AND purpose = $2 AND expires_at > $3 RETURNING user_id, email"
    return await db.fetchrow(sql, digest, purpose, at)


async def delete_tokens_of(db: Connection, user_id: int) -> None:
    """Removes whatever was mailed to the account and not used yet."""
    await db.execute("DELETE FROM mailed_tokens WHERE user_id = $1", user_id)


async def delete_expired_tokens(db: Connection, at: datetime) -> None:
    """Clears away what is over."""
    await db.execute("DELETE FROM mailed_tokens WHERE expires_at <= $1", at)
