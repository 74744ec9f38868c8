"""A tenant's security settings and the grants of operators, as stored and as they come and go over the wire."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

_Days = Annotated[int, Field(ge=1, le=366)]


class Security(BaseModel):
    """What a tenant asks for.

    offlineDays: how long its phones may be away before a login is asked for; null is what the installation says.
    secondFactorRequired: whoever works in it has to have shown one. guarded: operators need a grant to see its data.
    """

    offlineDays: _Days | None
    secondFactorRequired: bool
    guarded: bool


class SecurityChange(BaseModel):
    """What to change: what is absent stays, and so does a null, except that of offlineDays."""

    offlineDays: _Days | None = None
    secondFactorRequired: bool | None = None
    guarded: bool | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """For how long an operator may see the data of a guarded tenant, and why. `ended_at`: ended before its time.

    user_id and email are None once the operator's account is deleted.
    """

    id: int
    user_id: int | None
    email: str | None
    reason: str
    granted_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class NewGrant(BaseModel):
    """Why an operator has to see the data of a guarded tenant, and for how many minutes."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=500)]
    minutes: Annotated[int, Field(ge=5, le=480)]


class GrantAnswer(BaseModel):
    """A grant: whose, why, from when until when, and when it was ended if that was before its time.

    Whose is null once the operator's account is deleted.
    """

    id: int
    userId: int | None
    email: str | None
    reason: str
    grantedAt: datetime
    expiresAt: datetime
    endedAt: datetime | None


def grant_answer(grant: Grant) -> GrantAnswer:
    """The grant on the wire."""
    return GrantAnswer(
        id=grant.id,
        userId=grant.user_id,
        email=grant.email,
        reason=grant.reason,
        grantedAt=grant.granted_at,
        expiresAt=grant.expires_at,
        endedAt=grant.ended_at,
    )
