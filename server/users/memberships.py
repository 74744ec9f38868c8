"""Which tenants an account is a member of, and the checking of what somebody wants them to be."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from server.audit import Author, record
from server.db import Connection
from server.kit.problem import FieldError, ProblemKind
from server.roles.permissions import ROLES
from server.roles.queries import list_role_names
from server.tenants.model import Tenant
from server.users import queries
from server.users.model import MembershipAnswer, MembershipChange, subject_of

BAD_MEMBERSHIPS = ProblemKind("users.bad-memberships", 422, "Some memberships cannot be given.")
GUARDED = ProblemKind(
    "users.guarded",
    409,
    "This is a member of an organization that guards its data: only she can change how she signs in.",
)


@dataclass(frozen=True, slots=True)
class _Tenants:
    """The tenants that were named: config ids by number, numbers by config id, their own roles, which are guarded."""

    config_ids: dict[int, str]
    numbers: dict[str, int]
    roles: Set[tuple[int, str]]
    guarded: Set[int]


async def memberships_of(db: Connection, user_ids: Sequence[int]) -> dict[int, list[MembershipAnswer]]:
    """The memberships of each of these accounts, by its number."""
    found: dict[int, list[MembershipAnswer]] = {user_id: [] for user_id in user_ids}
    for row in await queries.list_memberships(db, user_ids):
        answer = MembershipAnswer(configId=row["config_id"], tenantId=row["tenant_id"], role=row["role"])
        found[row["user_id"]].append(answer)
    return found


async def checked_memberships(
    db: Connection, wanted: Sequence[MembershipChange], held: Sequence[MembershipAnswer] = ()
) -> list[MembershipAnswer]:
    """What is wanted, with both names of each tenant; none of these can be deleted until the transaction ends.

    `held` are the account's memberships so far. Raises `users.bad-memberships` (422) that names every place with a
    tenant that is unknown or deleted, not named at all, named as two different ones, or named before; with a role that
    the tenant does not have; and with one that is not held so far in a tenant that guards its data.
    """
    tenants = await _find_tenants(db, wanted)
    before = {each.tenantId: each.role for each in held}
    errors: list[FieldError] = []
    checked: dict[int, MembershipAnswer] = {}
    for index, each in enumerate(wanted):
        field = "configId" if each.configId is not None or each.tenantId is None else "tenantId"
        number = _number_of(each, tenants)
        if isinstance(number, str):
            errors.append(FieldError(f"memberships[{index}].{field}", number))
        elif number in checked:
            errors.append(FieldError(f"memberships[{index}].{field}", "This tenant is named before in the list."))
        else:
            if before.get(number) != each.role and (mistake := _mistake_in_role(each.role, number, tenants)):
                errors.append(FieldError(f"memberships[{index}].role", mistake))
            config_id = tenants.config_ids[number]
            checked[number] = MembershipAnswer(configId=config_id, tenantId=number, role=each.role)
    if errors:
        raise BAD_MEMBERSHIPS(f"{errors[0].path}: {errors[0].message}", errors=errors)
    return sorted(checked.values(), key=lambda each: each.configId)


async def check_is_not_guarded(db: Connection, user_id: int) -> None:
    """Raises `users.guarded` (409) for a member of a tenant that guards its data.

    Nobody but the account's owner may change what it is signed in with, or where mail about that goes to: an operator
    could work there in her name.
    """
    if await queries.is_member_of_guarded_tenant(db, user_id):
        raise GUARDED()


async def record_memberships(
    db: Connection,
    author: Author,
    user_id: int,
    before: Sequence[MembershipAnswer],
    after: Sequence[MembershipAnswer],
) -> None:
    """Puts what changed on the record of each tenant that it is about."""
    held, given = ({each.tenantId: each.role for each in side} for side in (before, after))
    changed = [number for number in held.keys() | given.keys() if held.get(number) != given.get(number)]
    for tenant in await queries.list_tenants(db, changed) if changed else []:
        await record_role(db, author, tenant, user_id, before=held.get(tenant.id), after=given.get(tenant.id))


async def record_role(
    db: Connection, author: Author, tenant: Tenant, user_id: int, *, before: str | None, after: str | None
) -> None:
    """Puts on record that a member was added, got another role or was removed; None is no role."""
    action = "member.added" if before is None else "member.removed" if after is None else "member.changed"
    await record(
        db,
        author,
        action,
        subject_of(user_id),
        tenant=tenant,
        before=None if before is None else {"role": before},
        after=None if after is None else {"role": after},
    )


async def _find_tenants(db: Connection, wanted: Sequence[MembershipChange]) -> _Tenants:
    config_ids = [each.configId for each in wanted if each.configId is not None]
    numbers = [each.tenantId for each in wanted if each.tenantId is not None]
    rows = await queries.lock_tenants(db, config_ids, numbers) if wanted else []
    roles = await list_role_names(db, [row["id"] for row in rows]) if rows else []
    return _Tenants(
        {row["id"]: row["config_id"] for row in rows},
        {row["config_id"]: row["id"] for row in rows},
        {(row["tenant_id"], row["name"]) for row in roles},
        {row["id"] for row in rows if row["guarded"]},
    )


def _mistake_in_role(role: str, tenant: int, tenants: _Tenants) -> str:
    """Why an operator cannot give the role there, '' where he can."""
    if role not in ROLES and (tenant, role) not in tenants.roles:
        return "There is no such role in this tenant."
    if tenant in tenants.guarded:
        return "This tenant guards its data: its own administrators say who is a member, and as what."
    return ""


def _number_of(wanted: MembershipChange, tenants: _Tenants) -> int | str:
    """The number of the tenant that is meant, or what is wrong with its name."""
    if wanted.configId is None and wanted.tenantId is None:
        return "Name the tenant by configId or tenantId."
    number = wanted.tenantId if wanted.configId is None else tenants.numbers.get(wanted.configId)
    if number not in tenants.config_ids:
        return "There is no such tenant."
    if wanted.tenantId is not None and wanted.tenantId != number:
        return "configId and tenantId name two different tenants."
    return number
