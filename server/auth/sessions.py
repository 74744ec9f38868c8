"""Sessions: each login opens one, and what is gone from the table holds no longer, whatever its token says."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from server.auth import queries
from server.auth.tokens import Tokens
from server.db import Connection


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens sessions that last for `lifetime` and issues their tokens."""

    tokens: Tokens
    lifetime: timedelta

    async def open(self, db: Connection, user_id: int, password_hash: str, *, at: datetime, address: str) -> str | None:
        """Opens a session and returns its token; None if the account is gone or has another password by now.

        Clears away the account's sessions that are over.
        """
        if not await queries.lock_credentials(db, user_id, password_hash):
            return None
        session_id = uuid4()
        expires = at + self.lifetime
        await queries.delete_expired_sessions(db, user_id, at)
        await queries.insert_session(db, session_id, user_id, at, expires, address)
        return self.tokens.issue(str(session_id), user_id, at=at, expires=expires)
