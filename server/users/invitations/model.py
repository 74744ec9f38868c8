"""An invitation as it is stored, and as it comes and goes over the wire."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from server.auth.mailed_tokens.tokens import MOST_CHARACTERS
from server.users.model import Email, MemberRole


@dataclass(frozen=True, slots=True)
class Invitation:
    """Somebody who was asked to become a member of a tenant. `invited_by`: as `Caller.account` has it.

    inviter_id: where it was a member who asked, the number of his account.
    """

    id: int
    tenant_id: int
    email: str
    role: str
    invited_by: str
    inviter_id: int | None
    invited_at: datetime
    expires_at: datetime


class NewInvitation(BaseModel):
    """Whom to invite, and to what role. Who was invited before gets a new mail, and only that one is good."""

    email: Email
    role: MemberRole
    configId: str | None = None


class InvitationAnswer(BaseModel):
    """An invitation that was not accepted so far."""

    id: int
    email: str
    role: str
    invitedBy: str
    invitedAt: datetime
    expiresAt: datetime


class Acceptance(BaseModel):
    """The token of a mail and a password: of the account with the invited address, or for a new one.

    code: of the second factor, where the account has one.
    """

    token: str = Field(max_length=MOST_CHARACTERS)
    password: str
    code: str | None = None


class OwnAcceptance(BaseModel):
    """The token of a mail to the address of the caller's account."""

    token: str = Field(max_length=MOST_CHARACTERS)
