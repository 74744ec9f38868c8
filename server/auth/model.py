"""What authentication takes and answers."""

from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Proof:
    """Somebody showed that an account is his: what a session is opened on.

    password_hash: the account's as it was then; a session is opened only while it still is the same.
    second_factor: one was shown, too. app_password_id: it was one of the account's app passwords, for syncing alone.
    tenant_id: an identity provider of this tenant said so, and for no other.
    """

    user_id: int
    password_hash: str
    second_factor: bool = False
    app_password_id: int | None = None
    tenant_id: int | None = None


class Credentials(BaseModel):
    """An account's e-mail address, in any case, and its password."""

    email: str
    password: str


class LoginAnswer(BaseModel):
    """A token for the header `Authorization: Bearer …`, and whose it is."""

    token: str
    userId: int


class Message(BaseModel):
    """Words for a person."""

    message: str
