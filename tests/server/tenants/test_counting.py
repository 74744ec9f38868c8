"""The numbers of entities by which lists are sorted."""

import asyncio
import logging
from dataclasses import replace

import asyncpg
import pytest

from server.db import Database
from server.tenants import counting, queries
from server.tenants.counting import EntityCounts
from server.tenants.model import Tenant
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import event, person, push


async def tenant_of(database: Database, handle: TenantHandle) -> Tenant:
    async with database.shared() as db:
        tenant = await queries.find_tenant(db, handle.config_id)
        assert tenant is not None
        return tenant


async def noted(database: Database, handle: TenantHandle) -> int:
    """The number in the shared schema."""
    return (await tenant_of(database, handle)).entities_count


async def order(croft: Croft, *tenants: TenantHandle) -> list[str]:
    """The config ids of the tenants in the order of their numbers of entities, the most first."""
    query = "sortBy=entitiesCount&sortOrder=desc&search=by-count&pageSize=100"
    found = (await croft.operator.get(f"/api/apps?{query}")).json()["data"]
    ids = {tenant.config_id for tenant in tenants}
    return [app["id"] for app in found if app["id"] in ids]


async def test_list_is_sorted_by_what_was_just_pushed(croft: Croft) -> None:
    one, other = await croft.tenant({"version": "by-count"}), await croft.tenant({"version": "by-count"})
    for first, second in ((one, other), (other, one), (one, other)):
        await push(first, *(person(f"Amina {number}") for number in range(3)))
        assert await order(croft, one, other) == [first.config_id, second.config_id]
    await push(one, *[event("delete-entity", guid, {"reason": "x"}) for guid in await guids_of(one)])
    assert await order(croft, one, other) == [other.config_id, one.config_id]


async def guids_of(tenant: TenantHandle) -> list[str]:
    answer = await tenant.api.get("/api/entities", params={"configId": tenant.config_id})
    return [each["guid"] for each in answer.json()]


class Watched(EntityCounts):
    """Says when it has flushed."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.flushed = asyncio.Event()

    async def flush(self) -> None:
        await super().flush()
        self.flushed.set()


async def test_number_is_noted_in_the_background(
    croft: Croft, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_SECONDS_BETWEEN", 0)
    tenant = await croft.tenant()
    await stale(database, tenant)
    counts = Watched(database)
    counts.mark(await tenant_of(database, tenant))
    running = asyncio.create_task(counts.run())
    async with asyncio.timeout(10):
        await counts.flushed.wait()
    assert await noted(database, tenant) == 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_end_of_the_process_notes_what_is_marked(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    counts = EntityCounts(database)
    running = asyncio.create_task(counts.run())
    await asyncio.sleep(0)
    await stale(database, tenant)
    counts.mark(await tenant_of(database, tenant))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await noted(database, tenant) == 0


async def stale(database: Database, handle: TenantHandle) -> None:
    """Makes the noted number a wrong one."""
    async with database.shared() as db:
        await queries.set_entities_count(db, (await tenant_of(database, handle)).id, 77)


async def test_tenant_that_fails_stays_marked_and_stops_no_other(
    croft: Croft, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await croft.tenant(), await croft.tenant()
    for each in (one, other):
        await stale(database, each)
    counts = EntityCounts(database)
    found = await tenant_of(database, one)
    counts.mark(replace(found, role="no_such_role"))
    counts.mark(await tenant_of(database, other))
    with caplog.at_level(logging.WARNING):
        await counts.flush()
    assert (await noted(database, one), await noted(database, other)) == (77, 0)
    assert f"tenant {found.id} could not be noted" in caplog.text
    counts.mark(found)
    await counts.flush()
    assert await noted(database, one) == 0


async def test_tenant_that_somebody_is_changing_is_not_waited_for(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    await stale(database, tenant)
    counts = EntityCounts(database)
    found = await tenant_of(database, tenant)
    counts.mark(found)
    async with database.shared() as db:
        await queries.lock_tenant(db, found.id)
        async with asyncio.timeout(5):
            await counts.flush()
    await counts.flush()
    assert await noted(database, tenant) == 0


async def test_tenant_that_is_purged_is_forgotten(database: Database, croft: Croft) -> None:
    tenant = await tenant_of(database, await croft.tenant())
    counts = EntityCounts(database)
    counts.mark(replace(tenant, id=2**40))
    await counts.flush()


async def test_page_notices_a_number_that_nobody_noted(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    await stale(database, tenant)
    listed = await croft.operator.get("/api/apps", params={"search": tenant.config_id})
    assert [each["entitiesCount"] for each in listed.json()["data"]] == [0]
    await croft.operator.get("/api/apps", params={"sortBy": "entitiesCount"})
    assert await noted(database, tenant) == 0


async def test_database_that_is_away_ends_no_flush(croft: Croft, database: Database) -> None:
    tenant = await tenant_of(database, await croft.tenant())
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", size=1)
    counts = EntityCounts(away)
    counts.mark(tenant)
    with pytest.raises(RuntimeError):
        await counts.flush()  # a pool that is not open is a fault of the program
    away._pool = await asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/nothing", min_size=0, max_size=1)
    await counts.flush()


async def test_lists_do_not_wait_for_connections_that_they_hold_themselves(croft: Croft) -> None:
    answers = await asyncio.gather(
        *(croft.operator.get("/api/apps", params={"sortBy": "entitiesCount"}) for _ in range(30))
    )
    assert {answer.status_code for answer in answers} == {200}


async def test_one_tenant_is_told_with_its_exact_number(croft: Croft) -> None:
    tenant = await croft.tenant()
    await push(tenant, person("Amina"))
    shown = await croft.operator.get(f"/api/tenants/{tenant.config_id}")
    assert shown.json()["entitiesCount"] == 1
