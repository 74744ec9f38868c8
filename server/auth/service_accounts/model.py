"""Service accounts and keys as they come and go over the wire."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from server.auth.issuing import End, Name
from server.auth.service_accounts.keys import OF_A_KEY
from server.roles.permissions import Permission
from server.tenants.wire import ListMeta, PageQuery

MOST_ACCOUNTS: Final = 200
"""How many service accounts a tenant can have."""

MOST_KEYS: Final = 50
"""How many keys of one service account can hold at a time."""

_GIVEN: Final = {permission.value: permission for permission in OF_A_KEY}


def _checked_scope(name: str) -> Permission:
    permission = _GIVEN.get(name)
    if permission is None:
        raise PydanticCustomError("scope", "There is no such permission, or no key can be given it.")
    return permission


def _checked_description(text: str) -> str:
    if not text.replace("\n", "").isprintable():
        raise PydanticCustomError("description", "A description holds only characters that can be printed.")
    return text


_Scope = Annotated[str, AfterValidator(_checked_scope), Field(json_schema_extra={"enum": sorted(_GIVEN)})]
_Description = Annotated[str, Field(max_length=500), AfterValidator(_checked_description)]
_Role = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class ServiceAccountsQuery(PageQuery):
    """Which page of the service accounts."""

    search: str = Field(
        "", max_length=200, pattern=r"^[^\x00]*$", description="A part of the name or description, in any case."
    )
    sortBy: Literal["name", "role", "createdAt"] = "name"


class KeysQuery(PageQuery):
    """Which page of the keys."""

    search: str = Field(
        "", max_length=200, pattern=r"^[^\x00]*$", description="A part of the name, in any case, or of the prefix."
    )
    sortBy: Literal["name", "createdAt", "lastUsedAt"] = "createdAt"
    sortOrder: Literal["asc", "desc"] = "desc"


class NewServiceAccount(BaseModel):
    """A service account to make. No name is there twice in a tenant, in whatever case."""

    name: Name
    description: _Description = ""
    role: _Role


class ServiceAccountChange(BaseModel):
    """What to change of a service account: what is absent or null stays."""

    name: Name | None = None
    description: _Description | None = None
    role: _Role | None = None


class ServiceAccountAnswer(BaseModel):
    """A service account. keys: how many of them hold. createdBy: the number of the account that made it."""

    id: int
    name: str
    description: str
    role: str
    createdAt: datetime
    createdBy: str
    keys: int
    lastUsedAt: datetime | None


class ServiceAccountList(BaseModel):
    """A page of service accounts."""

    data: list[ServiceAccountAnswer]
    meta: ListMeta


class NewApiKey(BaseModel):
    """A key to make: what it can do of what its account's role holds, and when it ends; null for never."""

    name: Name
    scopes: list[_Scope] = Field(min_length=1, max_length=len(Permission))
    expiresAt: End = None


class ApiKeyAnswer(BaseModel):
    """A key, without its secret. prefix: the part of it that may be shown."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    createdAt: datetime
    createdBy: str
    expiresAt: datetime | None
    lastUsedAt: datetime | None
    revokedAt: datetime | None


class ApiKeyMade(ApiKeyAnswer):
    """A new key. `key` is shown here and never again; it goes into the header `Authorization: Bearer …`."""

    key: str


class ApiKeyList(BaseModel):
    """A page of keys, those that are over or revoked included."""

    data: list[ApiKeyAnswer]
    meta: ListMeta


def account_answer(row: Any) -> ServiceAccountAnswer:
    """The answer from a row of `list_accounts`."""
    return ServiceAccountAnswer(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        role=row["role"],
        createdAt=row["created_at"],
        createdBy=row["created_by"],
        keys=row["keys"],
        lastUsedAt=row["last_used_at"],
    )


def key_answer(row: Any) -> ApiKeyAnswer:
    """The answer from a row of `list_keys`."""
    return ApiKeyAnswer(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=row["scopes"],
        createdAt=row["created_at"],
        createdBy=row["created_by"],
        expiresAt=row["expires_at"],
        lastUsedAt=row["last_used_at"],
        revokedAt=row["revoked_at"],
    )
