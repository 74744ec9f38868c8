"""How many entities each tenant has, noted in the shared schema so that lists can be sorted by it.

The exact number stands in the tenant's own schema, but a list cannot look into every one. So whoever wrote there marks
the tenant, and within a second its number is read and noted, outside of anybody's request.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import asyncpg

from server.db import Connection, Database, scoped
from server.db.migrations import tenant_migrations
from server.tenants import queries
from server.tenants.model import Tenant

log = logging.getLogger(__name__)

_SECONDS_BETWEEN = 1.0
_LAST_SECONDS = 5.0
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class EntityCounts:
    """Notes the numbers of the tenants that were marked. There is one in a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._marked: dict[int, Tenant] = {}
        self._flushing = asyncio.Lock()

    def mark(self, tenant: Tenant) -> None:
        """Says that something was committed in the tenant's schema."""
        self._marked[tenant.id] = tenant

    async def flush(self) -> None:
        """Notes the numbers of all that were marked before. A tenant that fails is logged and stays marked."""
        async with self._flushing:
            for tenant in list(self._marked.values()):
                del self._marked[tenant.id]
                try:
                    await self._note(tenant)
                except BaseException as error:
                    self._marked.setdefault(tenant.id, tenant)
                    if not isinstance(error, _FAILURES):
                        raise
                    log.warning("The number of entities of tenant %d could not be noted: %s", tenant.id, error)

    async def run(self) -> None:
        """Flushes every second until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(_SECONDS_BETWEEN)
                await self.flush()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self.flush()

    async def _note(self, tenant: Tenant) -> None:
        """Counts under the lock of the tenant's row: of two processes, who notes a number later has read it later."""
        async with self._database.shared() as db:
            if not await queries.lock_entities_count(db, tenant.id):
                return
            async with scoped(db, tenant.scope):
                count = await queries.count_entities(db)
            await queries.set_entities_count(db, tenant.id, count)


async def with_counts(db: Connection, tenants: Sequence[Tenant]) -> list[Tenant]:
    """The tenants with what their own schemas say of their entities.

    A tenant whose schema is behind is passed over: its tables may just be locked by its migration.
    """
    return [await _with_count(db, tenant) for tenant in tenants]


async def _with_count(db: Connection, tenant: Tenant) -> Tenant:
    if tenant.schema_version != tenant_migrations()[-1].id:
        return tenant
    async with scoped(db, tenant.scope):
        return replace(tenant, entities_count=await queries.count_entities(db))
