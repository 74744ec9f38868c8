"""Second factors as they come and go over the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

_Password = Annotated[str, Field(max_length=1000, description="The account's own password.")]
_Code = Annotated[str, Field(max_length=100, description="A code of the moment, or a recovery code.")]


class Beginning(BaseModel):
    """Who begins shows the password once more."""

    password: _Password


class SecondFactorBegun(BaseModel):
    """What the app that shows codes is told: the seed to type, or an address to open or to scan as the QR code.

    seed: in base32. qrCode: an SVG image as a `data:` address. Nothing is asked for until a first code was shown.
    """

    seed: str
    uri: str
    qrCode: str


class FirstCode(BaseModel):
    """The first code that the app shows."""

    code: Annotated[str, Field(max_length=100)]


class RecoveryCodes(BaseModel):
    """Codes for when the app is lost, each good for once. They are shown here and never again."""

    recoveryCodes: list[str]


class Proving(BaseModel):
    """Who changes or ends a second factor shows the password, and the factor itself."""

    password: _Password
    code: _Code


class SecondFactorState(BaseModel):
    """off, begun but not confirmed, or on. `isReadable`: whether the server still has the key to check its codes with;
    else only recovery codes hold.
    """

    state: Literal["off", "begun", "on"]
    since: datetime | None
    recoveryCodesLeft: int
    isReadable: bool
