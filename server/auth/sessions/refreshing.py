"""Exchanging a refresh token for the next one.

A refresh token is good once. Whoever shows one that was exchanged before is a thief, or somebody whose token a thief
has used: the session ends for both, and the rightful one signs in again.

One exception is for phones that lose answers. While nothing of the present generation was ever shown, neither its
refresh token nor an access token, its predecessor is good, too: it gets a new successor, in place of the one that seems
to have been lost. If that one was not lost but is in other hands, it ends the session as soon as it is shown. That an
access token of the present generation was shown is noted before its request goes on (`delivered`). Should that note be
lost with the database, the predecessor stays good until the next refresh, and whoever of two shows his token second is
found out then.

Two refreshes with one token at once follow each other, and only the answer of the second is good.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.audit import Author, record
from server.auth.authentication import AWAY_TOO_LONG, NOT_SIGNED_IN
from server.auth.queries import delete_session
from server.auth.sessions import queries
from server.auth.sessions.model import Opened, StoredSession
from server.auth.sessions.opening import Sessions
from server.auth.tokens import Use
from server.db import Connection, Database
from server.kit.problem import Problem, ProblemKind

REFRESH_REUSED = ProblemKind(
    "auth.refresh-reused", 401, "This refresh token was used before, so its session has been ended: sign in again."
)

_REFRESH: Final = frozenset({Use.REFRESH})


@dataclass(frozen=True, slots=True)
class Refreshing:
    """Exchanges refresh tokens."""

    database: Database
    sessions: Sessions

    async def refresh(self, token: str, *, at: datetime, address: str) -> Opened:
        """The next access and refresh token for a refresh token that is good.

        Raises `auth.refresh-reused`, `auth.away-too-long` where the offline period is over, and `auth.required` for
        anything else. A session that a token was used twice of is ended then, and that is on record.
        """
        claims = self.sessions.tokens.read(token, _REFRESH)
        if claims is None or claims.token_id is None:
            raise NOT_SIGNED_IN()
        async with self.database.shared() as db:
            outcome = await self._exchange(db, claims.session_id, claims.token_id, at, address)
        # Only now, since raising in the transaction would take back the end of the session.
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def _exchange(
        self, db: Connection, session_id: UUID, token_id: UUID, at: datetime, address: str
    ) -> Opened | Problem:
        session = await queries.lock_session(db, session_id)
        if session is None:
            return NOT_SIGNED_IN()
        if not is_good(session, token_id):
            await _end_reused(db, session, address)
            return REFRESH_REUSED()
        if at >= session.renewed_at + await self.sessions.offline_period(db, session):
            return AWAY_TOO_LONG()
        if at >= session.expires_at:
            return NOT_SIGNED_IN()
        return await self.sessions.renew(db, session, previous=token_id, at=at, address=address)


def is_good(session: StoredSession, token_id: UUID) -> bool:
    """Whether the refresh token is the present one, or the one before while the present one may have been lost."""
    if token_id == session.token_id:
        return True
    return token_id == session.previous_token_id and not session.delivered


async def _end_reused(db: Connection, session: StoredSession, address: str) -> None:
    await delete_session(db, str(session.id))
    author = Author(str(session.user_id), str(session.id), address)
    await record(db, author, "session.reused", f"user:{session.user_id}", details={"sessions": [str(session.id)]})
