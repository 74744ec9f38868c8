"""Which tenants an account is a member of, and the checking of what somebody wants them to be."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.db import Connection
from server.kit.problem import FieldError, ProblemKind
from server.users import queries
from server.users.model import MembershipAnswer, MembershipChange

BAD_MEMBERSHIPS = ProblemKind("users.bad-memberships", 422, "Some memberships cannot be given.")


@dataclass(frozen=True, slots=True)
class _Tenants:
    """The tenants that were named: config ids by number, numbers by config id."""

    config_ids: dict[int, str]
    numbers: dict[str, int]


async def memberships_of(db: Connection, user_ids: Sequence[int]) -> dict[int, list[MembershipAnswer]]:
    """The memberships of each of these accounts, by its number."""
    found: dict[int, list[MembershipAnswer]] = {user_id: [] for user_id in user_ids}
    for row in await queries.list_memberships(db, user_ids):
        answer = MembershipAnswer(configId=row["config_id"], tenantId=row["tenant_id"], role=row["role"])
        found[row["user_id"]].append(answer)
    return found


async def checked_memberships(db: Connection, wanted: Sequence[MembershipChange]) -> list[MembershipAnswer]:
    """What is wanted, with both names of each tenant; none of these can be deleted until the transaction ends.

    Raises `users.bad-memberships` (422) that names every place with a tenant that is unknown or deleted, not named at
    all, named as two different ones, or named before.
    """
    tenants = await _find_tenants(db, wanted)
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
            config_id = tenants.config_ids[number]
            checked[number] = MembershipAnswer(configId=config_id, tenantId=number, role=each.role)
    if errors:
        raise BAD_MEMBERSHIPS(f"{errors[0].path}: {errors[0].message}", errors=errors)
    return sorted(checked.values(), key=lambda each: each.configId)


async def _find_tenants(db: Connection, wanted: Sequence[MembershipChange]) -> _Tenants:
    config_ids = [each.configId for each in wanted if each.configId is not None]
    numbers = [each.tenantId for each in wanted if each.tenantId is not None]
    rows = await queries.lock_tenants(db, config_ids, numbers) if wanted else []
    return _Tenants(
        {row["id"]: row["config_id"] for row in rows},
        {row["config_id"]: row["id"] for row in rows},
    )


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
