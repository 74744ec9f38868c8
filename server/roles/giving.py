"""Which roles somebody can give to others: none that can do, or see, what he cannot himself."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from server.db.connection import Connection
from server.kit.call import Caller
from server.kit.problem import FieldError, ProblemKind
from server.roles import queries
from server.roles.decision import rights_here, sight_of, sight_of_role
from server.roles.model import in_order
from server.roles.permissions import ROLES, Permission

BAD_ROLE = ProblemKind("roles.cannot-be-given", 422, "There is no such role in this organization.")
BEYOND_OWN_RIGHTS = ProblemKind(
    "roles.beyond-own-rights", 403, "You cannot give, change or take what goes beyond your own rights."
)


class Organization(Protocol):
    """The tenant that roles are given in."""

    @property
    def id(self) -> int: ...
    @property
    def form_roles(self) -> Mapping[str, Sequence[str]]: ...


async def find_rights(db: Connection, tenant_id: int, role: str) -> frozenset[Permission] | None:
    """What the role holds in the tenant, None where there is no such role.

    One that the tenant made for itself stays as it is until the transaction ends.
    """
    if role in ROLES:
        return ROLES[role]
    own = await queries.find_role(db, tenant_id, role)
    return own.permissions if own else None


async def check_role_can_be_given(
    db: Connection, tenant: Organization, role: str, giver: Caller, *, field: str = "role"
) -> frozenset[Permission]:
    """What the role holds, which the caller `giver` may give to a member, a service account or somebody invited.

    To be called in the transaction that gives it, on the shared schema. Raises `roles.cannot-be-given` (422) where the
    tenant has no such role, and `roles.beyond-own-rights` (403) where it can do or see more than the giver; both name
    `field`.
    """
    rights = await find_rights(db, tenant.id, role)
    if rights is None:
        raise BAD_ROLE(errors=[FieldError(field, "There is no such role in this organization.")])
    check_within_own_rights(giver, tenant, role, rights, field=field)
    return rights


def check_within_own_rights(
    caller: Caller, tenant: Organization, role: str, rights: Collection[Permission], *, field: str = ""
) -> None:
    """Raises `roles.beyond-own-rights` where a role with these rights can do or see more than the caller."""
    more = in_order(frozenset(rights) - rights_here(caller))
    if more:
        message = f"The role can do what you cannot: {', '.join(more)}."
    elif not sight_of(caller, tenant.form_roles).hidden <= sight_of_role(role, tenant.form_roles).hidden:
        message = "The role sees forms that you do not."
    else:
        return
    raise BEYOND_OWN_RIGHTS(message, errors=[FieldError(field, message)] if field else [])
