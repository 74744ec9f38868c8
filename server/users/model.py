"""An account as the shared schema knows it, and as it comes and goes over the wire."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

ADMIN: Final = "ADMIN"

UserRole = Literal["ADMIN", "USER"]
MemberRole = Annotated[str, Field(min_length=1, max_length=64)]
"""The name of a role in a tenant: a built-in one, or one that the tenant made. Whether there is one is looked up."""

LARGEST_ID: Final = 2**53
EMAIL_PATTERN: Final = r"^[^@\s/]+@[^@\s/]+$"
_MOST_EMAIL_CHARACTERS: Final = 320
DEFAULT_PAGE_SIZE: Final = 12
MOST_PAGE_SIZE: Final = 100


def subject_of(user_id: int) -> str:
    """How the record of acts names an account as the one that something was done to."""
    return f"user:{user_id}"


@dataclass(frozen=True, slots=True)
class User:
    """One account. `role` is ADMIN, an operator of the installation, or USER, who has only his memberships."""

    id: int
    email: str
    role: str


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who has a role in one tenant, since when, and whether he is an operator of the installation, too."""

    user_id: int
    email: str
    role: str
    since: datetime
    is_operator: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: `limit` rows from `offset` on, all of them where it is None."""

    limit: int | None = None
    offset: int = 0


def page_of(total: int, number: int | None, size: int | None) -> Page:
    """The page to show of `total` rows; everything where neither number nor size is given.

    A number below 1 is the first page, one past the end the last; a size is kept between 1 and MOST_PAGE_SIZE.
    """
    if number is None and size is None:
        return Page()
    limit = min(max(DEFAULT_PAGE_SIZE if size is None else size, 1), MOST_PAGE_SIZE)
    last = max(-(-total // limit), 1)
    return Page(limit, (min(max(number or 1, 1), last) - 1) * limit)


def _checked_email(text: str) -> str:
    email = text.strip()
    name, at, host = email.partition("@")
    is_plain = email.isprintable() and not any(c.isspace() or c == "/" for c in email)
    if not (name and at and host and is_plain) or "@" in host or len(email) > _MOST_EMAIL_CHARACTERS:
        raise PydanticCustomError("email", "This is not an e-mail address.")
    return email


Email = Annotated[
    str,
    AfterValidator(_checked_email),
    Field(json_schema_extra={"pattern": EMAIL_PATTERN, "maxLength": _MOST_EMAIL_CHARACTERS}),
]
"""An e-mail address without the spaces around it."""


class MembershipChange(BaseModel):
    """A role in one tenant, which is named by configId, by tenantId, or by both."""

    configId: str | None = None
    tenantId: int | None = Field(None, ge=1, le=LARGEST_ID)
    role: MemberRole


class NewUser(BaseModel):
    """An account to create. Whatever else the body holds, an `id` above all, is ignored."""

    email: Email
    password: str
    role: UserRole
    memberships: list[MembershipChange] = Field(default_factory=list, max_length=10_000)


class UserChange(BaseModel):
    """What to change of an account: what is absent or null stays, and so does the password where it is empty."""

    email: Email | None = None
    password: str | None = None
    role: UserRole | None = None
    memberships: list[MembershipChange] | None = Field(None, max_length=10_000)


class UsersQuery(BaseModel):
    """Which accounts to list: all of them unless a page or a page size is given."""

    model_config = ConfigDict(extra="ignore")

    page: int | None = Field(None, ge=-LARGEST_ID, le=LARGEST_ID)
    pageSize: int | None = Field(None, ge=-LARGEST_ID, le=LARGEST_ID)
    search: str = Field("", max_length=320, pattern="^[^\\x00]*$", description="A part of the e-mail address.")
    sort: Literal["id", "-id", "email", "-email", "role", "-role"] = "id"


class MembershipAnswer(BaseModel):
    """A role in one tenant."""

    configId: str
    tenantId: int
    role: MemberRole


class UserAnswer(BaseModel):
    """One account with its memberships, in the order of their config ids."""

    id: int
    email: str
    role: UserRole
    memberships: list[MembershipAnswer]


class UserCreated(BaseModel):
    """The answer to a new account."""

    message: str
    id: int


class MembersQuery(BaseModel):
    """Which page of the members. A number below 1 is the first page, one past the end the last."""

    model_config = ConfigDict(extra="ignore")

    page: int = Field(1, ge=-LARGEST_ID, le=LARGEST_ID)
    pageSize: int = Field(DEFAULT_PAGE_SIZE, ge=-LARGEST_ID, le=LARGEST_ID)
    search: str = Field("", max_length=320, pattern="^[^\\x00]*$", description="A part of the e-mail address.")
    sort: Literal["email", "-email", "role", "-role", "since", "-since"] = "email"


class MemberAnswer(BaseModel):
    """A member. `operator`: is an operator of the installation, too."""

    userId: int
    email: str
    role: str
    since: datetime
    operator: bool


class MembersMeta(BaseModel):
    """How many members there are on all pages, and which page of how many this is."""

    total: int
    page: int
    pageSize: int
    totalPages: int


class MemberList(BaseModel):
    """A page of members."""

    data: list[MemberAnswer]
    meta: MembersMeta


class RoleOfMember(BaseModel):
    """The role to give."""

    role: MemberRole
