"""What authentication takes and answers."""

from pydantic import BaseModel


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
