"""The SQL of second factors, on the shared schema."""

from collections.abc import Sequence
from datetime import datetime

from server.db.connection import Connection, Row


async def has_confirmed(db: Connection, user_id: int) -> bool:
    """Whether the account has a second factor that was confirmed."""
    sql = "SELECT EXISTS (SELECT FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL)"
    return bool(await db.fetchval(sql, user_id))


_FIND_FACTOR = """
SELECT f.seed, f.begun_at, f.confirmed_at,
       (SELECT count(*) FROM recovery_codes c WHERE c.user_id = f.user_id) AS recovery_codes
FROM second_factors f WHERE f.user_id = $1
"""


async def find_factor(db: Connection, user_id: int) -> Row | None:
    """seed (sealed), begun_at, confirmed_at, and how many recovery_codes are left."""
    return await db.fetchrow(_FIND_FACTOR, user_id)


_BEGIN = """
INSERT INTO second_factors (user_id, seed, begun_at) SELECT id, $2, $3 FROM users WHERE id = $1 FOR KEY SHARE
ON CONFLICT (user_id) DO UPDATE SET seed = excluded.seed, begun_at = excluded.begun_at
WHERE second_factors.confirmed_at IS NULL
RETURNING true
"""


async def begin(db: Connection, user_id: int, seed: str, at: datetime) -> bool:
    """Keeps a sealed seed that is still to be confirmed, in place of one that never was.

    False where the account has a confirmed one, or is gone.
    """
    return bool(await db.fetchval(_BEGIN, user_id, seed, at))


_CONFIRM = """
UPDATE second_factors SET confirmed_at = $3, last_step = $4
WHERE user_id = $1 AND seed = $2 AND confirmed_at IS NULL
RETURNING true
"""


async def confirm(db: Connection, user_id: int, seed: str, at: datetime, step: int) -> bool:
    """Confirms the sealed seed, a code of whose time step `step` was shown. False where it is no longer the one."""
    return bool(await db.fetchval(_CONFIRM, user_id, seed, at, step))


_TAKE_STEP = """
UPDATE second_factors SET last_step = $2
WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2
RETURNING true
"""


async def take_step(db: Connection, user_id: int, step: int) -> bool:
    """Uses up the time step and all before it. False where it was used up: of two at once, one gets True."""
    return bool(await db.fetchval(_TAKE_STEP, user_id, step))


_TAKE_RECOVERY_CODE = """
DELETE FROM recovery_codes c USING second_factors f
WHERE c.user_id = $1 AND c.digest = $2 AND f.user_id = c.user_id AND f.confirmed_at IS NOT NULL
RETURNING true
"""


async def take_recovery_code(db: Connection, user_id: int, digest: bytes) -> bool:
    """Uses up a recovery code. False where there is none with this digest: of two at once, one gets True."""
    return bool(await db.fetchval(_TAKE_RECOVERY_CODE, user_id, digest))


_INSERT_RECOVERY_CODES = "INSERT INTO recovery_codes (user_id, digest) SELECT $1, unnest($2::bytea[])"


async def replace_recovery_codes(db: Connection, user_id: int, digests: Sequence[bytes]) -> None:
    """Gives the account these recovery codes and no others."""
    await db.execute("DELETE FROM recovery_codes WHERE user_id = $1", user_id)
    await db.execute(_INSERT_RECOVERY_CODES, user_id, list(digests))


async def delete_factor(db: Connection, user_id: int) -> bool:
    """Removes the second factor, confirmed or not, with its recovery codes. False where there is none."""
    return bool(await db.fetchval("DELETE FROM second_factors WHERE user_id = $1 RETURNING true", user_id))


async def mark_session(db: Connection, session_id: str, at: datetime) -> None:
    """Notes that the session's holder showed a second factor."""
    await db.execute("UPDATE sessions SET second_factor_at = $2 WHERE id = $1", session_id, at)


_UNMARK_SESSIONS = "UPDATE sessions SET second_factor_at = NULL WHERE user_id = $1 AND app_password_id IS NULL"


async def unmark_sessions(db: Connection, user_id: int) -> None:
    """Takes it back from all of the account's sessions but those of app passwords."""
    await db.execute(_UNMARK_SESSIONS, user_id)


_END_SESSIONS = """
DELETE FROM sessions WHERE user_id = $1 AND app_password_id IS NULL AND id IS DISTINCT FROM $2::uuid
"""


async def end_sessions(db: Connection, user_id: int, *, but: str | None = None) -> None:
    """Ends the account's sessions, except those of app passwords and the session `but`."""
    await db.execute(_END_SESSIONS, user_id, but)


async def find_password_hash(db: Connection, user_id: int) -> str | None:
    """The hash of the account's password, None where the account is gone."""
    found: str | None = await db.fetchval("SELECT password_hash FROM users WHERE id = $1", user_id)
    return found
