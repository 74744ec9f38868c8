"""Every permission there is, and which built-in role holds which."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route asks of its caller. The first three ask for no right in a tenant or over the installation.

    OWN_ACCOUNT is what only the person herself may do, having signed in: no app password, API key or identity
    provider of a tenant speaks for her there.
    """

    PUBLIC = "public"
    SIGNED_IN = "signed-in"
    OWN_ACCOUNT = "own-account"

    TENANTS_MANAGE = "tenants.manage"
    USERS_MANAGE = "users.manage"
    INSTALLATION_AUDIT = "installation.audit"

    CONFIG_READ = "config.read"
    CONFIG_WRITE = "config.write"
    MEMBERS_READ = "members.read"
    MEMBERS_MANAGE = "members.manage"
    ROLES_MANAGE = "roles.manage"
    SERVICE_ACCOUNTS_MANAGE = "service-accounts.manage"
    SECURITY_MANAGE = "security.manage"
    AUDIT_READ = "audit.read"
    PERSONS_EXPORT = "persons.export"
    PERSONS_ERASE = "persons.erase"

    SYNC_PUSH = "sync.push"
    SYNC_PULL = "sync.pull"
    EXTERNAL_SYNC = "external-sync.run"
    ENTITIES_READ = "entities.read"
    DUPLICATES_READ = "duplicates.read"
    DUPLICATES_SETTLE = "duplicates.settle"
    CONFLICTS_READ = "conflicts.read"
    CONFLICTS_SETTLE = "conflicts.settle"
    QUARANTINE_READ = "quarantine.read"


OPERATOR_ONLY: Final = frozenset({Permission.TENANTS_MANAGE, Permission.USERS_MANAGE, Permission.INSTALLATION_AUDIT})
"""Rights over the installation; no role in a tenant holds them."""

OF_NO_TENANT: Final = OPERATOR_ONLY | {Permission.PUBLIC, Permission.SIGNED_IN, Permission.OWN_ACCOUNT}

OF_A_TENANT: Final = frozenset(Permission) - OF_NO_TENANT
"""What a role in a tenant can hold."""

OF_A_PHONE: Final = frozenset({Permission.CONFIG_READ, Permission.SYNC_PUSH, Permission.SYNC_PULL})
"""What a session that was opened with an app password can do at most."""

_VIEWER = frozenset(
    {Permission.CONFIG_READ, Permission.ENTITIES_READ, Permission.DUPLICATES_READ, Permission.CONFLICTS_READ}
)
_COLLECTOR = _VIEWER | {Permission.SYNC_PUSH, Permission.SYNC_PULL}
_REVIEWER = _VIEWER | {
    Permission.SYNC_PULL,
    Permission.DUPLICATES_SETTLE,
    Permission.CONFLICTS_SETTLE,
    Permission.QUARANTINE_READ,
}

ADMINISTRATOR: Final = "admin"

ROLES: Final[dict[str, frozenset[Permission]]] = {
    ADMINISTRATOR: OF_A_TENANT,
    "reviewer": _REVIEWER,
    "collector": _COLLECTOR,
    "viewer": _VIEWER,
}
"""The roles that there are in every tenant. Those that a tenant makes for itself have other names."""


def rights_of(role: str | None, own: Iterable[str] | None) -> frozenset[Permission]:
    """What a role in a tenant holds. `own` are the permissions of a role that the tenant made, None for a built-in one.

    A name that is no permission of a tenant, or no longer one, gives no right.
    """
    if role is None:
        return frozenset()
    if own is None:
        return ROLES.get(role, frozenset())
    return frozenset(permission for permission in OF_A_TENANT if permission.value in set(own))
