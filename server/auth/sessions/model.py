"""Sessions as they are stored, opened, and shown."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from server.auth.tokens import MOST_CHARACTERS, Use

Kind = Literal["token", "refresh", "browser"]
Scope = Literal["full", "sync"]

USE_OF_KIND: Final[dict[str, Use]] = {"token": Use.TOKEN, "refresh": Use.ACCESS, "browser": Use.BROWSER}
"""What the tokens are for that requests with a session of each kind show."""

MOST_TOLD_CHARACTERS: Final = 200
"""How much is kept of what a client says about itself."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last: an access token, a session without renewal (where no tenant says less), a session at most.

    The offline period is in days, as tenants have it.
    """

    access: timedelta = timedelta(minutes=10)
    offline_days: int = 30
    most: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Opened:
    """What somebody who signed in, or renewed his session, is given.

    token: for the header or the cookie; it lasts until `expires_at`. refresh_token: of a session of the kind 'refresh',
    which lasts until `session_expires_at` unless it is renewed before.
    """

    session_id: UUID
    user_id: int
    token: str = field(repr=False)
    expires_at: datetime
    session_expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    """What is known of whoever signs in: the address, and what it says of itself."""

    address: str = ""
    device_id: str = ""
    device_name: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be opened. `tenant_id`: the only tenant that it reaches."""

    id: UUID
    user_id: int
    kind: Kind
    scope: Scope
    at: datetime
    expires_at: datetime
    token_id: UUID
    second_factor: bool
    client: Client
    app_password_id: int | None = None
    tenant_id: int | None = None


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session with refresh tokens, as it is when one of them is shown. `previous_token_id` None: there was none."""

    id: UUID
    user_id: int
    created_at: datetime
    renewed_at: datetime
    expires_at: datetime
    generation: int
    token_id: UUID
    previous_token_id: UUID | None
    delivered: bool
    app_password_id: int | None
    tenant_id: int | None


class SignIn(BaseModel):
    """An account's e-mail address, in any case, and its password; a code where the account has a second factor."""

    email: str
    password: str
    code: str | None = Field(None, description="A code of the second factor, or a recovery code.")
    deviceName: str = Field("", description="What the device is called in the list of sessions.")


class Renewal(BaseModel):
    """The newest refresh token that the client has."""

    refreshToken: str = Field(max_length=MOST_CHARACTERS)


class SignedIn(BaseModel):
    """A token for the header `Authorization: Bearer …` that lasts `expiresIn` seconds, and the one to renew it with."""

    accessToken: str
    expiresIn: int
    refreshToken: str
    refreshExpiresAt: datetime
    userId: int


class SessionAnswer(BaseModel):
    """One session of an account. `lastSeenAt` may be a minute or two behind."""

    id: str
    kind: Kind
    scope: Scope
    createdAt: datetime
    renewedAt: datetime
    lastSeenAt: datetime
    expiresAt: datetime
    address: str
    deviceId: str
    deviceName: str
    userAgent: str
    isCurrent: bool = Field(description="Whether it is the one that the request was made with.")


class WhichSessions(BaseModel):
    """Whether only the other sessions are meant, or this one, too."""

    others: bool = False


class Ended(BaseModel):
    """How many sessions were ended."""

    ended: int
