"""Opening and renewing sessions, and the tokens that go with them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from server.auth.app_passwords.queries import lock_app_password
from server.auth.model import Proof
from server.auth.queries import lock_credentials
from server.auth.second_factor import is_set_up
from server.auth.sessions import queries
from server.auth.sessions.model import USE_OF_KIND, Client, Kind, Lifetimes, NewSession, Opened, StoredSession
from server.auth.tokens import Claims, Tokens, Use
from server.db import Connection

MOST_SESSIONS: Final = 1000
"""How many sessions an account can have that it signed in to; those that were not seen for longest make room."""

MOST_OF_APP_PASSWORD: Final = 20
"""The same for each app password, which is one device's: whoever finds that device signs nobody else out."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens and renews sessions and issues their tokens."""

    tokens: Tokens
    lifetimes: Lifetimes = field(default_factory=Lifetimes)

    async def open(
        self,
        db: Connection,
        proof: Proof,
        *,
        kind: Kind,
        at: datetime,
        address: str = "",
        device_id: str = "",
        device_name: str = "",
        user_agent: str = "",
    ) -> Opened | None:
        """Opens a session; None if what was proved holds no longer: the account has another password or a second factor
        by now, the app password is revoked, or the account is gone.

        It lasts for the shortest offline period of the account's tenants. Clears away the account's sessions that are
        over. To be called in a transaction on the shared schema.
        """
        if not await lock_credentials(db, proof.user_id, proof.password_hash):
            return None
        if proof.app_password_id is not None and not await lock_app_password(db, proof.app_password_id):
            return None
        if _is_password_alone(proof) and await is_set_up(db, proof.user_id):
            return None
        expires = await self._end_of(
            db, proof.user_id, at, opened=at, tenant_id=proof.tenant_id, app_password_id=proof.app_password_id
        )
        new = NewSession(
            id=uuid4(),
            user_id=proof.user_id,
            kind=kind,
            scope="full" if proof.app_password_id is None else "sync",
            at=at,
            expires_at=expires,
            token_id=uuid4(),
            second_factor=proof.second_factor,
            client=Client(address, device_id, device_name, user_agent),
            app_password_id=proof.app_password_id,
            tenant_id=proof.tenant_id,
        )
        most = MOST_SESSIONS if proof.app_password_id is None else MOST_OF_APP_PASSWORD
        await queries.delete_useless_sessions(db, proof.user_id, proof.app_password_id, at, kept=most - 1)
        await queries.insert_session(db, new)
        return self._opened(new.id, proof.user_id, kind, 1, new.token_id, at, expires)

    async def renew(
        self, db: Connection, session: StoredSession, *, previous: UUID, at: datetime, address: str
    ) -> Opened:
        """Begins the next generation of a locked session. `previous`: the refresh token that was shown for it."""
        expires = await self._end_of(
            db,
            session.user_id,
            at,
            opened=session.created_at,
            tenant_id=session.tenant_id,
            app_password_id=session.app_password_id,
        )
        token_id = uuid4()
        await queries.renew_session(db, session.id, token_id, previous, at=at, expires_at=expires, address=address)
        return self._opened(session.id, session.user_id, "refresh", session.generation + 1, token_id, at, expires)

    async def offline_period(self, db: Connection, session: StoredSession) -> timedelta:
        """For how long the session may go unrenewed, as its account's tenants have it now."""
        days, _ = await queries.find_terms(
            db, session.user_id, self.lifetimes.offline_days, tenant_id=session.tenant_id, app_password_id=None
        )
        return timedelta(days=days)

    async def _end_of(
        self,
        db: Connection,
        user_id: int,
        at: datetime,
        *,
        opened: datetime,
        tenant_id: int | None,
        app_password_id: int | None,
    ) -> datetime:
        days, app_password_ends = await queries.find_terms(
            db, user_id, self.lifetimes.offline_days, tenant_id=tenant_id, app_password_id=app_password_id
        )
        ends = [at + timedelta(days=days), opened + self.lifetimes.most]
        return min(ends if app_password_ends is None else [*ends, app_password_ends])

    def _opened(
        self, session_id: UUID, user_id: int, kind: Kind, generation: int, token_id: UUID, at: datetime, ends: datetime
    ) -> Opened:
        expires = min(at + self.lifetimes.access, ends) if kind == "refresh" else ends
        claims = Claims(USE_OF_KIND[kind], session_id, generation)
        renewing = Claims(Use.REFRESH, session_id, generation, token_id)
        return Opened(
            session_id=session_id,
            user_id=user_id,
            token=self.tokens.issue(claims, user_id, at=at, expires=expires),
            expires_at=expires,
            session_expires_at=ends,
            refresh_token=self.tokens.issue(renewing, user_id, at=at, expires=ends) if kind == "refresh" else None,
        )


def _is_password_alone(proof: Proof) -> bool:
    """Whether nothing but the account's own password was shown."""
    return not proof.second_factor and proof.app_password_id is None and proof.tenant_id is None
