"""The endpoints of a tenant's security settings, and of operators' grants."""

from server.audit import author_of
from server.kit.call import Answer, Call
from server.kit.numbers import whole_number
from server.roles.decision import GUARDED, acts_as_operator
from server.roles.permissions import Permission
from server.tenants.guarding import queries
from server.tenants.guarding.breaking_glass import MOST_LISTED, UNKNOWN_GRANT, end_grant, open_grant
from server.tenants.guarding.model import GrantAnswer, Security, grant_answer
from server.tenants.guarding.security import change_security, security_of
from server.tenants.lifecycle import get_tenant
from server.tenants.model import Tenant
from server.tenants.versioning import lock_living

_LARGEST_ID = 2**53


async def show_security(call: Call) -> Security:
    """What the tenant asks for."""
    return security_of(call.tenant)


async def put_security(call: Call) -> Security:
    """Changes what the tenant asks for. No operator takes a guard away that was put up in the meantime."""
    tenant = await lock_living(call.db, call.tenant.id)
    if tenant.is_guarded and acts_as_operator(call.caller, Permission.SECURITY_MANAGE):
        raise GUARDED()
    return await change_security(call.db, tenant, call.body, author_of(call))


async def break_glass(call: Call) -> Answer:
    """Lets the caller, an operator, see the data of a guarded tenant for a while."""
    tenant = await _named(call)
    grant = await open_grant(call.db, tenant, call.caller.account_id, call.body, author_of(call))
    return Answer(grant_answer(grant), status=201)


async def list_grants_of_tenant(call: Call) -> list[GrantAnswer]:
    """The latest grants for the tenant in the address, for operators."""
    tenant = await get_tenant(call.db, call.path["id"])
    return await _grants(call, tenant)


async def end_grant_of_tenant(call: Call) -> Answer:
    """Ends a grant for the tenant in the address before its time, by an operator."""
    return await _end(call, await _named(call))


async def list_grants(call: Call) -> list[GrantAnswer]:
    """The latest grants for the tenant of the call, for its own people."""
    return await _grants(call, call.tenant)


async def end_grant_here(call: Call) -> Answer:
    """Ends a grant for the tenant of the call before its time, by its own people."""
    return await _end(call, call.tenant)


async def _named(call: Call) -> Tenant:
    """The living tenant in the address, its row locked. Raises `tenants.unknown`."""
    return await lock_living(call.db, (await get_tenant(call.db, call.path["id"])).id)


async def _grants(call: Call, tenant: Tenant) -> list[GrantAnswer]:
    return [grant_answer(grant) for grant in await queries.list_grants(call.db, tenant.id, MOST_LISTED)]


async def _end(call: Call, tenant: Tenant) -> Answer:
    number = whole_number(call.path["grant"], _LARGEST_ID)
    if number is None:
        raise UNKNOWN_GRANT()
    await end_grant(call.db, tenant, number, author_of(call))
    return Answer(b"", status=204)
