"""An app password as a login finds it, and as it comes and goes over the wire."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from server.auth.issuing import End, Name


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One that holds, of the account `user_id`, whose own password has the hash `password_hash`.

    second_factor: whoever made it had shown one.
    """

    id: int
    user_id: int
    password_hash: str
    second_factor: bool


class NewAppPassword(BaseModel):
    """What to call an app password, a device's name for instance, and when it ends; null for never."""

    name: Name
    expiresAt: End = None


class AppPasswordAnswer(BaseModel):
    """One app password, without the password."""

    id: int
    name: str
    createdAt: datetime
    expiresAt: datetime | None
    lastUsedAt: datetime | None


class AppPasswordMade(AppPasswordAnswer):
    """A new app password. The password is shown here and never again."""

    password: str
