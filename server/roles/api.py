"""The endpoints of permissions and of a tenant's roles."""

from server.kit.call import Answer, Call
from server.roles import custom, queries
from server.roles.model import CustomRole, PermissionAnswer, RoleAnswer, in_order, is_built_in
from server.roles.permissions import DESCRIPTIONS, OF_A_TENANT, ROLES


async def list_permissions(_: Call) -> list[PermissionAnswer]:
    """Every permission that a role can hold."""
    return [PermissionAnswer(name=each, description=DESCRIPTIONS[each]) for each in in_order(OF_A_TENANT)]


async def list_roles(call: Call) -> list[RoleAnswer]:
    """The built-in roles, and after them the tenant's own by name."""
    built_in = [CustomRole(name, "", permissions) for name, permissions in ROLES.items()]
    return await _answers(call, [*built_in, *await queries.list_roles(call.db, call.tenant.id)])


async def create_role(call: Call) -> Answer:
    """A new role of the tenant's own."""
    [answer] = await _answers(call, [await custom.create_role(call, call.body)])
    return Answer(answer, status=201)


async def change_role(call: Call) -> RoleAnswer:
    """Changes one of the tenant's own roles."""
    [answer] = await _answers(call, [await custom.change_role(call, call.path["name"], call.body)])
    return answer


async def delete_role(call: Call) -> Answer:
    """Removes one of the tenant's own roles, which nobody may have."""
    await custom.delete_role(call, call.path["name"])
    return Answer(b"", status=204)


async def _answers(call: Call, roles: list[CustomRole]) -> list[RoleAnswer]:
    members = await queries.count_members(call.db, call.tenant.id)
    service_accounts = await queries.count_service_accounts(call.db, call.tenant.id)
    return [
        RoleAnswer(
            name=role.name,
            description=role.description,
            permissions=[*in_order(role.permissions)],
            builtIn=is_built_in(role.name),
            members=members.get(role.name, 0),
            serviceAccounts=service_accounts.get(role.name, 0),
        )
        for role in roles
    ]
