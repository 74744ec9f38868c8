"""A role that a tenant made for itself, and roles as they come and go over the wire."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from server.roles.permissions import OF_A_TENANT, ROLES, Permission

MOST_ROLES: Final = 100
"""How many roles a tenant can make for itself."""

_LONGEST_NAME: Final = 64
_LONGEST_DESCRIPTION: Final = 500
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_BUILT_IN: Final = frozenset(name.casefold() for name in ROLES)
_OF_A_TENANT: Final = frozenset(permission.value for permission in OF_A_TENANT)


@dataclass(frozen=True, slots=True)
class CustomRole:
    """A role that exists in one tenant alone."""

    name: str
    description: str
    permissions: frozenset[Permission]


def subject_of(name: str) -> str:
    """How the record of acts names a role."""
    return f"role:{name}"


def in_order(permissions: Collection[Permission]) -> list[Permission]:
    """The permissions in the order in which the program lists them, each once."""
    return [permission for permission in Permission if permission in permissions]


def is_built_in(name: str) -> bool:
    """Whether the name, in any case, is that of a role that there is in every tenant."""
    return name.casefold() in _BUILT_IN


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise PydanticCustomError(
            "role_name",
            "A role's name is 1 to 64 letters, digits, '-' and '_', and begins with a letter or digit.",
        )
    if is_built_in(name):
        raise PydanticCustomError("role_name", "A role of this name is there already, in every organization.")
    return name


def _checked_permission(name: str) -> str:
    if name not in _OF_A_TENANT:
        raise PydanticCustomError("permission", "There is no such permission.")
    return name


_Name = Annotated[
    str,
    AfterValidator(_checked_name),
    Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$", "maxLength": _LONGEST_NAME}),
]
_Permission = Annotated[
    str, AfterValidator(_checked_permission), Field(json_schema_extra={"enum": sorted(_OF_A_TENANT)})
]
_Permissions = Annotated[list[_Permission], Field(min_length=1, max_length=len(Permission))]
_Description = Annotated[str, Field(max_length=_LONGEST_DESCRIPTION)]


class PermissionAnswer(BaseModel):
    """A permission that a role can hold, and what it lets somebody do."""

    name: str
    description: str


class NewRole(BaseModel):
    """A role to make. Names that differ in case alone are the same."""

    name: _Name
    description: _Description = ""
    permissions: _Permissions


class RoleChange(BaseModel):
    """What to change of a role: what is absent or null stays."""

    description: _Description | None = None
    permissions: _Permissions | None = None


class RoleAnswer(BaseModel):
    """A role, and how many members and service accounts have it."""

    name: str
    description: str
    permissions: list[str]
    builtIn: bool
    members: int
    serviceAccounts: int
