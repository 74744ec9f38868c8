"""Logs of acts in databases of their own, without a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest_asyncio

from server.audit.chain import Verdict, verify
from server.db import Connection, Database
from server.db.embedded import EmbeddedPostgres
from server.tenants.model import Tenant
from tests.conftest import new_database
from tests.isolation.neighbours import Neighbours, neighbours


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(cluster: EmbeddedPostgres) -> AsyncIterator[Neighbours]:
    """Two tenants."""
    async with neighbours(await new_database(cluster), tenants=2, pool_size=8) as two:
        yield two


@asynccontextmanager
async def as_owner(pair: Neighbours, tenant: Tenant | None) -> AsyncIterator[Connection]:
    """A transaction as whoever owns the tables, in the tenant's schema or the shared one."""
    db = await asyncpg.connect(pair.addresses.direct)
    try:
        owner = await db.fetchval("SELECT owner_role FROM croft.installation")
        schema = "croft" if tenant is None else tenant.schema
        async with db.transaction():
            await db.execute(f'SET LOCAL search_path = "{schema}"; SET LOCAL ROLE "{owner}"')
            yield db
    finally:
        await db.close()


async def verdict_on(database: Database, tenant: Tenant | None = None, *, expect: bytes | None = None) -> Verdict:
    """What verification says of the operators' log, or a tenant's."""
    if tenant is None:
        return await verify(partial(database.shared, readonly=True), "operators", expect=expect)
    return await verify(partial(database.inside, tenant.scope, readonly=True), "tenant", expect=expect)
