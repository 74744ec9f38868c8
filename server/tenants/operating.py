"""Tenants: what operators do with them. Purging is left to a command, because nothing brings back what it destroys."""

from server.audit import author_of
from server.db import Database
from server.kit.call import Answer, Call
from server.tenants import lifecycle
from server.tenants.counting import EntityCounts, with_counts
from server.tenants.listing import page_of_tenants, prepare_order
from server.tenants.model import ACTIVE, DELETED, SUSPENDED
from server.tenants.uploading import apply_config
from server.tenants.versioning import LoadEvents
from server.tenants.wire import TenantAnswer, TenantList, tenant_answer
from server.vault import Keyring


async def create_tenant(call: Call, *, load: LoadEvents, keyring: Keyring) -> Answer:
    """A tenant whose config has no forms yet. The id must be free."""
    document = call.body.model_dump(exclude_none=True)
    applied = await apply_config(call.db, document, author_of(call), load, keyring, must_be_new=True)
    return Answer(tenant_answer(applied.tenant), status=201)


async def list_tenants(call: Call, *, database: Database, counts: EntityCounts) -> TenantList:
    """A page of the tenants in the wanted state."""
    states = {None: (ACTIVE, SUSPENDED), "all": (ACTIVE, SUSPENDED, DELETED)}.get(call.query.state, (call.query.state,))
    await prepare_order(counts, call.query.sortBy)
    async with database.shared(readonly=True) as db:
        page = await page_of_tenants(db, counts, call.query, call.query.sortBy, states)
    return TenantList(data=[tenant_answer(tenant) for tenant in page.tenants], meta=page.meta)


async def get_tenant(call: Call) -> TenantAnswer:
    """One tenant, by config id or number; by its number also when its id was taken over."""
    [tenant] = await with_counts(call.db, [await lifecycle.get_tenant(call.db, call.path["id"])])
    return tenant_answer(tenant)


async def suspend_tenant(call: Call) -> TenantAnswer:
    """Keeps everybody but operators out of the tenant."""
    return tenant_answer(await lifecycle.suspend(call.db, call.path["id"], author_of(call)))


async def resume_tenant(call: Call) -> TenantAnswer:
    """Lets its people in again."""
    return tenant_answer(await lifecycle.resume(call.db, call.path["id"], author_of(call)))


async def delete_tenant(call: Call) -> TenantAnswer:
    """Hides the tenant; its data is kept for the retention time."""
    tenant = await lifecycle.get_tenant(call.db, call.path["id"])
    return tenant_answer(await lifecycle.delete(call.db, tenant.id, author_of(call)))


async def restore_tenant(call: Call, *, load: LoadEvents, keyring: Keyring) -> TenantAnswer:
    """Brings a deleted tenant back, under its own id or another."""
    tenant = await lifecycle.restore(call.db, call.path["id"], call.body.newId, author_of(call), load, keyring)
    return tenant_answer(tenant)
