"""Making, changing and removing a tenant's own roles, each in an open transaction on the shared schema, on record."""

from dataclasses import asdict, replace
from typing import Any

from server.audit import author_of, record
from server.kit.call import Call
from server.kit.problem import FieldError, ProblemKind
from server.roles import queries
from server.roles.giving import check_within_own_rights
from server.roles.model import MOST_ROLES, CustomRole, NewRole, RoleChange, in_order, is_built_in, subject_of
from server.roles.permissions import Permission

UNKNOWN_ROLE = ProblemKind("roles.unknown", 404, "There is no such role.")
NAME_TAKEN = ProblemKind("roles.name-taken", 409, "Another role has this name.")
BUILT_IN = ProblemKind("roles.built-in", 409, "This role is the same in every organization and cannot be changed.")
IN_USE = ProblemKind("roles.in-use", 409, "Somebody has this role: give them another one first.")
TOO_MANY = ProblemKind("roles.too-many", 409, f"An organization can have at most {MOST_ROLES} roles of its own.")


async def create_role(call: Call, new: NewRole) -> CustomRole:
    """Adds a role to the tenant of the call. Raises `roles.name-taken`, `roles.too-many`, `roles.beyond-own-rights`."""
    db, tenant = call.db, call.tenant
    role = CustomRole(new.name, new.description, frozenset(map(Permission, new.permissions)))
    check_within_own_rights(call.caller, tenant, role.name, role.permissions, field="permissions")
    await queries.lock_roles(db, tenant.id)
    if await queries.has_role_like(db, tenant.id, role.name):
        raise NAME_TAKEN(errors=[FieldError("name", "Another role has this name.")])
    if await queries.count_roles(db, tenant.id) >= MOST_ROLES:
        raise TOO_MANY()
    await queries.insert_role(db, tenant.id, role)
    await record(db, author_of(call), "role.created", subject_of(role.name), tenant=tenant, after=_recorded(role))
    return role


async def change_role(call: Call, name: str, change: RoleChange) -> CustomRole:
    """Changes a role, at once for all who have it.

    Raises `roles.unknown`, `roles.built-in`, and `roles.beyond-own-rights` where the role could before, or can
    afterwards, do what the caller cannot.
    """
    before = await _locked(call, name)
    after = replace(
        before,
        description=before.description if change.description is None else change.description,
        permissions=before.permissions
        if change.permissions is None
        else frozenset(map(Permission, change.permissions)),
    )
    check_within_own_rights(call.caller, call.tenant, name, after.permissions, field="permissions")
    if after != before:
        await queries.update_role(call.db, call.tenant.id, after)
        await record(
            call.db,
            author_of(call),
            "role.changed",
            subject_of(name),
            tenant=call.tenant,
            before=_recorded(before),
            after=_recorded(after),
        )
    return after


async def delete_role(call: Call, name: str) -> None:
    """Removes a role that nobody has. Raises as `change_role` does, and `roles.in-use`."""
    role = await _locked(call, name)
    members = await queries.count_members(call.db, call.tenant.id)
    service_accounts = await queries.count_service_accounts(call.db, call.tenant.id)
    if name in members or name in service_accounts:
        raise IN_USE(
            f"{members.get(name, 0)} members and {service_accounts.get(name, 0)} service accounts have this role: "
            "give them another one first."
        )
    await queries.delete_role(call.db, call.tenant.id, name)
    await record(call.db, author_of(call), "role.deleted", subject_of(name), tenant=call.tenant, before=_recorded(role))


async def _locked(call: Call, name: str) -> CustomRole:
    """The role, which nobody else changes or gives meanwhile, and which can do nothing that the caller cannot."""
    if is_built_in(name):
        raise BUILT_IN()
    await queries.lock_roles(call.db, call.tenant.id)
    role = await queries.lock_role(call.db, call.tenant.id, name)
    if role is None:
        raise UNKNOWN_ROLE()
    check_within_own_rights(call.caller, call.tenant, name, role.permissions)
    return role


def _recorded(role: CustomRole) -> dict[str, Any]:
    return {**asdict(role), "permissions": in_order(role.permissions)}
