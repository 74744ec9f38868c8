"""Keeping phones of a deleted tenant out of the tenant that takes its config id over."""

from server.db import Connection, scoped
from server.tenants import queries
from server.tenants.model import Tenant


async def retire_devices(db: Connection, tenant: Tenant) -> None:
    """Bars every device the tenant ever heard of from other tenants of its config id."""
    await queries.retire_devices(db, tenant.config_id, await _devices(db, tenant))


async def retire_predecessors(db: Connection, config_id: str) -> None:
    """Does so for every deleted tenant of the id: a push that was under way when one was deleted came after that."""
    for tenant in await queries.list_deleted_under(db, config_id):
        await retire_devices(db, tenant)


async def readmit_devices(db: Connection, tenant: Tenant) -> None:
    """Lets the tenant's own devices in again, because it has its id back."""
    await queries.readmit_devices(db, tenant.config_id, await _devices(db, tenant))


async def _devices(db: Connection, tenant: Tenant) -> list[str]:
    async with scoped(db, tenant.scope):
        return await queries.list_devices(db)
