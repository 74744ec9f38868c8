"""Every permission there is, and which role holds which."""

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route asks of its caller. The first two ask for no right."""

    PUBLIC = "public"
    SIGNED_IN = "signed-in"

    TENANTS_MANAGE = "tenants.manage"
    USERS_MANAGE = "users.manage"

    CONFIG_READ = "config.read"
    CONFIG_WRITE = "config.write"
    SYNC_PUSH = "sync.push"
    SYNC_PULL = "sync.pull"
    EXTERNAL_SYNC = "external-sync.run"
    ENTITIES_READ = "entities.read"
    DUPLICATES_READ = "duplicates.read"
    DUPLICATES_SETTLE = "duplicates.settle"
    CONFLICTS_READ = "conflicts.read"
    CONFLICTS_SETTLE = "conflicts.settle"
    QUARANTINE_READ = "quarantine.read"


OPERATOR_ONLY: Final = frozenset({Permission.TENANTS_MANAGE, Permission.USERS_MANAGE})
"""Rights over the installation; no role in a tenant holds them."""

_VIEWER = frozenset(
    {Permission.CONFIG_READ, Permission.ENTITIES_READ, Permission.DUPLICATES_READ, Permission.CONFLICTS_READ}
)
_COLLECTOR = frozenset(
    {
        Permission.CONFIG_READ,
        Permission.SYNC_PUSH,
        Permission.SYNC_PULL,
        Permission.ENTITIES_READ,
        Permission.DUPLICATES_READ,
        Permission.CONFLICTS_READ,
    }
)
_REVIEWER = _VIEWER | {
    Permission.SYNC_PULL,
    Permission.DUPLICATES_SETTLE,
    Permission.CONFLICTS_SETTLE,
    Permission.QUARANTINE_READ,
}
_ADMIN = _REVIEWER | _COLLECTOR | {Permission.CONFIG_WRITE, Permission.EXTERNAL_SYNC, Permission.QUARANTINE_READ}

ROLES: Final[dict[str, frozenset[Permission]]] = {
    "admin": _ADMIN,
    "reviewer": _REVIEWER,
    "collector": _COLLECTOR,
    "viewer": _VIEWER,
}
"""The roles a member of a tenant can have in it."""
