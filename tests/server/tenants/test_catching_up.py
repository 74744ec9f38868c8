"""Work behind what was written: who has his turn, and what a failure does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

import asyncpg
import pytest
import pytest_asyncio

from server.db import Connection, Database
from server.tenants.catching_up import CatchingUp, Step
from server.tenants.lifecycle import get_tenant
from server.tenants.model import Tenant
from tests.conftest import Croft


@asynccontextmanager
async def working(database: Database, step: Step) -> AsyncIterator[CatchingUp]:
    catching_up = CatchingUp(lambda work: work(database), step)
    task = asyncio.create_task(catching_up.run())
    try:
        yield catching_up
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest_asyncio.fixture
async def database(croft: Croft) -> AsyncIterator[Database]:
    async with Database(croft.addresses.serving, size=2) as database:
        yield database


async def tenants_of(croft: Croft, database: Database, number: int) -> list[Tenant]:
    names = [(await croft.tenant()).config_id for _ in range(number)]
    async with database.shared() as db:
        return [await get_tenant(db, name) for name in names]


async def test_tenants_with_much_to_do_have_a_step_each_in_turn(croft: Croft, database: Database) -> None:
    tenants = await tenants_of(croft, database, 2)
    left = {tenant.scope.schema: 3 for tenant in tenants}
    order: list[str] = []
    done = asyncio.Event()

    async def step(db: Connection, at: datetime) -> bool:
        schema = await db.fetchval("SELECT current_schema()")
        order.append(schema)
        left[schema] -= 1
        if not any(left.values()):
            done.set()
        return left[schema] == 0

    async with working(database, step) as catching_up, asyncio.timeout(10):
        for tenant in tenants:
            catching_up.mark(tenant)
        await done.wait()
    one, other = (tenant.scope.schema for tenant in tenants)
    assert order == [one, other] * 3


async def test_step_that_fails_is_undone_and_taken_again_at_the_next_mark(croft: Croft, database: Database) -> None:
    (tenant,) = await tenants_of(croft, database, 1)
    tries: list[int] = []
    tried = asyncio.Event()

    async def step(db: Connection, at: datetime) -> bool:
        tries.append(await db.fetchval("UPDATE duplicates_progress SET seq = seq + 1 RETURNING seq"))
        tried.set()
        if len(tries) == 1:
            raise asyncpg.SerializationError("lost a race")
        return True

    async with working(database, step) as catching_up, asyncio.timeout(10):
        catching_up.mark(tenant)
        await tried.wait()
        tried.clear()
        catching_up.mark(tenant)
        await tried.wait()
    assert tries == [1, 1]


async def test_tenant_whose_schema_is_gone_stops_nobody(croft: Croft, database: Database) -> None:
    (there,) = await tenants_of(croft, database, 1)
    gone = replace(there, id=-1, schema="t_gone_meanwhile")
    served = asyncio.Event()

    async def step(db: Connection, at: datetime) -> bool:
        await db.fetchval("SELECT seq FROM duplicates_progress")
        served.set()
        return True

    async with working(database, step) as catching_up, asyncio.timeout(10):
        catching_up.mark(gone)
        catching_up.mark(there)
        await served.wait()


async def test_step_that_fails_by_a_fault_of_ours_stops_nobody(
    croft: Croft, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = await tenants_of(croft, database, 2)
    served = asyncio.Event()

    async def step(db: Connection, at: datetime) -> bool:
        if await db.fetchval("SELECT current_schema()") == bad.scope.schema:
            raise KeyError("a rule that nobody thought of")
        served.set()
        return True

    async with working(database, step) as catching_up, asyncio.timeout(10):
        catching_up.mark(bad)
        catching_up.mark(good)
        await served.wait()
    assert "a rule that nobody thought of" in caplog.text
