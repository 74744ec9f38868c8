"""Keeping out of a tenant what phones still hold for others that had its config id before.

Such a phone goes on under the id, also when somebody signs in anew on it. What it recorded for the tenant it knew must
not enter this one, so this one's log is told which entities are the others' and when it began itself.
"""

from server.db import Connection, Scope, scoped
from server.kit.clock import to_ms
from server.tenants import queries
from server.tenants.model import Tenant
from server.tenants.owning import owner_role

_BATCH = 10_000


async def note_former_id(db: Connection, tenant: Tenant) -> None:
    """Remembers that the tenant had its config id, for as long as there is an installation."""
    await queries.insert_former_config_id(db, tenant.config_id, tenant.id)


async def tell_of_predecessors(db: Connection, tenant: Tenant) -> None:
    """Tells the tenant's log of every other tenant that had its config id; nothing where there was none.

    Of those that are purged, no entity is known any more: the time when this log began has to do.
    """
    others = [each for each in await queries.list_former_holders(db, tenant.config_id) if each != tenant.id]
    if not others:
        return
    owner = await owner_role(db)
    log = Scope(tenant.schema, owner)
    for other in others:
        await queries.lock_schema(db, other)
        if schema := await queries.find_schema(db, other):
            await _copy_guids(db, Scope(schema, owner), log)
    async with scoped(db, log):
        await queries.put_settings(db, {"not-before": to_ms(tenant.created_at)})


async def _copy_guids(db: Connection, source: Scope, log: Scope) -> None:
    """In batches, and never both schemas in one statement: they need not be on one machine."""
    last = ""
    while True:
        async with scoped(db, source):
            guids = await queries.list_known_guids_after(db, last, _BATCH)
        if not guids:
            return
        last = guids[-1]
        async with scoped(db, log):
            await queries.insert_foreign_guids(db, guids)
