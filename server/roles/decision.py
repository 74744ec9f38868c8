"""The one place that decides whether a caller may do what a route does."""

from server.kit.call import Caller
from server.kit.problem import ProblemKind
from server.roles.permissions import OPERATOR_ONLY, ROLES, Permission

FORBIDDEN = ProblemKind("access.forbidden", 403, "You do not have the right to do this.")


def is_allowed(caller: Caller, permission: Permission) -> bool:
    """Whether the caller holds the permission, in the tenant that `caller.role` belongs to."""
    if permission in (Permission.PUBLIC, Permission.SIGNED_IN) or caller.is_operator:
        return True
    if permission in OPERATOR_ONLY or caller.role is None:
        return False
    return permission in ROLES[caller.role]


def require(caller: Caller, permission: Permission) -> None:
    """Raises the problem `access.forbidden` unless the caller holds the permission."""
    if not is_allowed(caller, permission):
        raise FORBIDDEN()
