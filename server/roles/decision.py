"""The one place that decides whether a caller may do what a route does."""

from collections.abc import Mapping, Sequence

from server.kit.call import Caller
from server.kit.problem import ProblemKind
from server.kit.sight import EVERYTHING, Sight
from server.roles.permissions import ADMINISTRATOR, BEYOND_A_GRANT, OF_A_TENANT, OPERATOR_ONLY, Permission

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
GUARDED = ProblemKind("access.guarded", 403, "This organization guards its data: only its own people may do this.")


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
        return None if _has_operators_power(caller) else FORBIDDEN
    if permission in caller.rights:
        return None
    return _refusal_of_operator(caller, permission)


def _refusal_of_operator(caller: Caller, permission: Permission) -> ProblemKind | None:
    """Why who has no right of his own in the tenant may not do it as an operator either."""
    if not _has_operators_power(caller):
        return FORBIDDEN
    if (caller.lacks_grant or caller.has_grant) and permission in BEYOND_A_GRANT:
        return GUARDED
    return BREAK_GLASS_NEEDED if caller.lacks_grant else None


def _has_operators_power(caller: Caller) -> bool:
    """A credential that was made for something smaller does not carry it."""
    return caller.is_operator and caller.limited_to is None


def rights_here(caller: Caller) -> frozenset[Permission]:
    """All that the caller may do in the tenant that he was looked up for: the most that he can give to somebody."""
    return frozenset(permission for permission in OF_A_TENANT if is_allowed(caller, permission))


def acts_as_operator(caller: Caller, permission: Permission) -> bool:
    """Whether what he does in a tenant is none of his rights there, but an operator's. Such acts are put on record."""
    return caller.is_operator and permission in OF_A_TENANT and permission not in caller.rights


def sight_of(caller: Caller, form_roles: Mapping[str, Sequence[str]]) -> Sight:
    """What is hidden from the caller: what is from his role, and nothing from an operator who has none."""
    return EVERYTHING if caller.is_outsider else sight_of_role(caller.role, form_roles)


def sight_of_role(role: str | None, form_roles: Mapping[str, Sequence[str]]) -> Sight:
    """What is hidden from a role: the forms that it is not among the roles of, written in any case.

    Administrators see everything.
    """
    if role == ADMINISTRATOR:
        return EVERYTHING
    own = (role or "").casefold()
    return Sight(
        frozenset(form for form, roles in form_roles.items() if own not in {name.casefold() for name in roles})
    )


def is_allowed(caller: Caller, permission: Permission) -> bool:
    """Whether nothing stands against it."""
    return refusal(caller, permission) is None


def require(caller: Caller, permission: Permission) -> None:
    """Raises the problem, most often `access.forbidden`, unless the caller may."""
    problem = refusal(caller, permission)
    if problem is not None:
        raise problem()
