"""Work that follows what was written in a tenant's schema, outside of anybody's request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg

from server.db import Connection, Database
from server.kit.clock import utc_now
from server.tenants.model import Tenant

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_ROUNDS = 0.01
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Step = Callable[[Connection, datetime], Awaitable[bool]]
"""Does a part of what is left to do, in a transaction in the tenant's schema; whether nothing is left."""

Within = Callable[[Callable[[Database], Coroutine[Any, Any, bool]]], Awaitable[bool]]
"""Where a step is taken: does the work with a database that is there for it."""


class CatchingUp:
    """Takes steps for the tenants that were marked, a step of each in turn. There is one for each work in a process.

    A step finds by itself what is left to do. So a mark that is lost, with its process or by a failure, is made up for
    by the tenant's next one.
    """

    def __init__(self, within: Within, step: Step) -> None:
        self._within = within
        self._step = step
        self._marked: dict[int, Tenant] = {}
        self._any = asyncio.Event()

    def mark(self, tenant: Tenant) -> None:
        """Says that something was committed in the tenant's schema."""
        self._marked[tenant.id] = tenant
        self._any.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            for tenant in list(self._marked.values()):
                del self._marked[tenant.id]
                if not await self._take_step(tenant):
                    self.mark(tenant)
            await asyncio.sleep(_SECONDS_BETWEEN_ROUNDS)

    async def _take_step(self, tenant: Tenant) -> bool:
        try:
            return await self._within(partial(self._step_in, tenant))
        except _FAILURES as error:
            log.warning("The work behind tenant %d waits for its next mark: %s", tenant.id, error)
        except Exception:
            # A fault of ours that one tenant's records bring out must not end the work for all others.
            log.exception("The work behind tenant %d failed", tenant.id)
        return True

    async def _step_in(self, tenant: Tenant, database: Database) -> bool:
        async with database.inside(tenant.scope) as db:
            return await self._step(db, utc_now())
