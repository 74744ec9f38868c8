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

BEYOND_A_GRANT: Final = frozenset(
    {
        Permission.CONFIG_WRITE,
        Permission.MEMBERS_MANAGE,
        Permission.ROLES_MANAGE,
        Permission.SERVICE_ACCOUNTS_MANAGE,
        Permission.SECURITY_MANAGE,
        Permission.PERSONS_ERASE,
    }
)
"""What no grant gives an operator in a guarded tenant: what nothing brings back, and what would keep him a way in."""

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

DESCRIPTIONS: Final[dict[Permission, str]] = {
    Permission.CONFIG_READ: "See the app config and its versions, secrets masked.",
    Permission.CONFIG_WRITE: "Change the app config, except who gets in by it and who sees which form.",
    Permission.MEMBERS_READ: "See who the members are, and which roles there are.",
    Permission.MEMBERS_MANAGE: "Invite members, give them other roles and remove them.",
    Permission.ROLES_MANAGE: "Make roles, change them and remove them.",
    Permission.SERVICE_ACCOUNTS_MANAGE: "Make accounts for programs, and their keys.",
    Permission.SECURITY_MANAGE: "Set offline period, second factor, guard, identity providers, who sees which form.",
    Permission.AUDIT_READ: "Read, verify and export the record of administrative acts and of others' access.",
    Permission.PERSONS_EXPORT: "Export all that is held about a person.",
    Permission.PERSONS_ERASE: "Erase a person everywhere, and say for how long records are kept.",
    Permission.SYNC_PUSH: "Send what a device recorded.",
    Permission.SYNC_PULL: "Fetch records and the log to a device.",
    Permission.EXTERNAL_SYNC: "Exchange data with the outside system.",
    Permission.ENTITIES_READ: "See records and their history.",
    Permission.DUPLICATES_READ: "See likely duplicates.",
    Permission.DUPLICATES_SETTLE: "Settle likely duplicates.",
    Permission.CONFLICTS_READ: "See fields that devices changed differently.",
    Permission.CONFLICTS_SETTLE: "Choose the value that stands.",
    Permission.QUARANTINE_READ: "See what was sent and could not be taken.",
}
"""What each permission of a tenant lets somebody do, for people."""


def rights_of(role: str | None, own: Iterable[str] | None) -> frozenset[Permission]:
    """What a role in a tenant holds. `own` are the permissions of a role that the tenant made, None for a built-in one.

    A built-in role is what it is in every tenant, whatever `own` says. A name that is no permission of a tenant, or no
    longer one, gives no right.
    """
    if role is None:
        return frozenset()
    if role in ROLES:
        return ROLES[role]
    named = frozenset(own or ())
    return frozenset(permission for permission in OF_A_TENANT if permission.value in named)
