"""Making mailed tokens and finding out whether one is good. Only their digests are stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from server.auth.mailed_tokens import queries
from server.db import Connection
from server.kit.problem import ProblemKind

LINK_NOT_VALID = ProblemKind(
    "auth.link-not-valid", 400, "This link is used up, replaced or too old: ask for a new one."
)

_TOKEN_BYTES: Final = 32
MOST_CHARACTERS: Final = 100
"""What somebody may send as a token: more than one has."""


class Purpose(StrEnum):
    """What a token is for."""

    PASSWORD_RESET = "password-reset"  # noqa: S105
    EMAIL_CHANGE = "email-change"


LIFETIMES: Final = {Purpose.PASSWORD_RESET: timedelta(minutes=30), Purpose.EMAIL_CHANGE: timedelta(hours=24)}
"""A reset takes an account over, so it is short; a new mailbox may be one that has to be set up first."""


@dataclass(frozen=True, slots=True)
class MailedToken:
    """Whose account a good token is for, and the address that it was mailed to."""

    user_id: int
    email: str


def make_token() -> str:
    """A new token, fit for a link: 256 bits."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of_token(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


async def issue(db: Connection, user_id: int, purpose: Purpose, email: str, at: datetime) -> str:
    """A token for the account, to be mailed to `email`. The one that was issued before for it holds no longer."""
    token = make_token()
    await queries.upsert_token(db, user_id, purpose, digest_of_token(token), email, at + LIFETIMES[purpose])
    return token


async def get_token(db: Connection, purpose: Purpose, token: str, at: datetime) -> MailedToken:
    """What a token is for, without using it up. Raises `auth.link-not-valid`."""
    row = await queries.find_token(db, purpose, digest_of_token(token), at)
    if row is None:
        raise LINK_NOT_VALID()
    return MailedToken(row["user_id"], row["email"])


async def take_token(db: Connection, purpose: Purpose, token: str, at: datetime) -> MailedToken:
    """The same, and uses it up with the transaction: of several who bring it, one gets it."""
    row = await queries.delete_token(db, purpose, digest_of_token(token), at)
    if row is None:
        raise LINK_NOT_VALID()
    return MailedToken(row["user_id"], row["email"])
