"""What the endpoints of one's own account take."""

from pydantic import BaseModel, Field

from server.auth.mailed_tokens.tokens import MOST_CHARACTERS
from server.users.model import Email


class PasswordChange(BaseModel):
    """The password so far, and the one from now on."""

    currentPassword: str
    newPassword: str


class ResetRequest(BaseModel):
    """The e-mail address of an account whose password was forgotten."""

    email: str = Field(max_length=320)


class ResetConfirmation(BaseModel):
    """The token of a mail, and the password from now on."""

    token: str = Field(max_length=MOST_CHARACTERS)
    newPassword: str


class EmailChange(BaseModel):
    """The address from now on, once a mail that is sent there was answered, and the account's password."""

    newEmail: Email
    password: str


class EmailConfirmation(BaseModel):
    """The token of a mail to the new address."""

    token: str = Field(max_length=MOST_CHARACTERS)
