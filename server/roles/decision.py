"""The one place that decides whether a caller may do what a route does."""

from server.kit.call import Caller
from server.kit.problem import ProblemKind
from server.roles.permissions import OPERATOR_ONLY, Permission

FORBIDDEN = ProblemKind("access.forbidden", 403, "You do not have the right to do this.")
OWN_LOGIN_NEEDED = ProblemKind(
    "access.own-login-needed", 403, "Only you may do this: sign in with your own e-mail address and password."
)
SECOND_FACTOR_NEEDED = ProblemKind(
    "access.second-factor-needed", 403, "This organization asks for a second factor: set one up and sign in with it."
)
BREAK_GLASS_NEEDED = ProblemKind(
    "access.break-glass-needed", 403, "This organization guards its data: an operator needs a grant to see it."
)


def refusal(caller: Caller, permission: Permission) -> ProblemKind | None:
    """Why the caller may not do what asks for the permission, in the tenant that the caller was looked up for.

    None where nothing stands against it.
    """
    if permission in (Permission.PUBLIC, Permission.SIGNED_IN):
        return None
    if permission is Permission.OWN_ACCOUNT:
        return None if caller.is_in_person else OWN_LOGIN_NEEDED
    if caller.limited_to is not None and permission not in caller.limited_to:
        return FORBIDDEN
    if caller.lacks_second_factor:
        return SECOND_FACTOR_NEEDED
    if permission in OPERATOR_ONLY:
        return None if caller.is_operator else FORBIDDEN
    if permission in caller.rights:
        return None
    if caller.is_operator:
        return BREAK_GLASS_NEEDED if caller.lacks_grant else None
    return FORBIDDEN


def is_allowed(caller: Caller, permission: Permission) -> bool:
    """Whether nothing stands against it."""
    return refusal(caller, permission) is None


def require(caller: Caller, permission: Permission) -> None:
    """Raises the problem, most often `access.forbidden`, unless the caller may."""
    problem = refusal(caller, permission)
    if problem is not None:
        raise problem()
