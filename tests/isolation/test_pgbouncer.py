"""A whole server behind PgBouncer in transaction mode."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.conftest import Croft, TenantHandle, start_croft
from tests.isolation.conftest import Bouncer

pytestmark = pytest.mark.pgbouncer

SEED = {"name": "individual", "data": [{"id": "seed-1", "name": "Seeded Person"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bounced(bouncer: Bouncer) -> AsyncIterator[Croft]:
    async with start_croft(await bouncer.new_database(), postgres_prepared_statements=False) as server:
        yield server


def created(name: str) -> dict[str, Any]:
    """An event that creates an individual."""
    return {
        "guid": str(uuid4()),
        "entityGuid": str(uuid4()),
        "type": "create-individual",
        "data": {"name": name, "entityName": "individual"},
        "timestamp": "2025-03-01T08:00:00.000Z",
        "userId": "phone",
        "syncLevel": 0,
    }


async def push(client: httpx.AsyncClient, tenant: TenantHandle, events: list[dict[str, Any]]) -> list[str]:
    answer = await client.post("/api/sync/push", json={"configId": tenant.config_id, "events": events})
    assert answer.status_code == 200, answer.text
    return [fate["status"] for fate in answer.json()["events"]]


async def entities(client: httpx.AsyncClient, tenant: TenantHandle) -> dict[str, str]:
    answer = await client.get("/api/entities", params={"configId": tenant.config_id})
    assert answer.status_code == 200, answer.text
    return {entity["guid"]: entity["name"] for entity in answer.json()}


async def test_tenant_is_provisioned_with_its_seeds(bounced: Croft) -> None:
    tenant = await bounced.tenant({"entityData": [SEED]})
    viewer = await tenant.caller("viewer")
    assert list((await entities(viewer, tenant)).values()) == ["Seeded Person"]
    config = await viewer.get(f"/api/apps/{tenant.config_id}")
    assert config.json()["entityData"] == [SEED]


async def test_what_is_pushed_is_listed_and_pulled_by_another_device(bounced: Croft) -> None:
    tenant = await bounced.tenant()
    collector = await tenant.caller()
    event = created("Amina Yusuf")
    assert await push(collector, tenant, [event]) == await push(collector, tenant, [created("Musa Bello")])
    assert (await entities(collector, tenant))[event["entityGuid"]] == "Amina Yusuf"
    other = await tenant.device()
    await other.sync()
    assert {each["name"] for each in other.entities().values()} == {"Amina Yusuf", "Musa Bello"}


async def test_old_devices_converge(bounced: Croft) -> None:
    tenant = await bounced.tenant()
    one, two = await tenant.device(), await tenant.device(skew_minutes=-10)
    guid = one.create_individual({"name": "Rosa"})
    await one.sync()
    await two.sync()
    two.update_individual(guid, {"name": "Rosa Quispe"})
    for device in (two, one):
        await device.sync()
    assert one.entities()[guid]["name"] == two.entities()[guid]["name"] == "Rosa Quispe"


async def test_tenants_that_work_at_the_same_moment_keep_apart(bounced: Croft) -> None:
    tenants = [await bounced.tenant() for _ in range(5)]
    clients = [await tenant.caller() for tenant in tenants]

    async def work(client: httpx.AsyncClient, tenant: TenantHandle) -> None:
        for number in range(10):
            await push(client, tenant, [created(f"{tenant.config_id} {number}")])
            assert all(name.startswith(tenant.config_id) for name in (await entities(client, tenant)).values())

    async with asyncio.TaskGroup() as group:
        for client, tenant in zip(clients, tenants, strict=True):
            for _ in range(4):
                group.create_task(work(client, tenant))
    for client, tenant in zip(clients, tenants, strict=True):
        assert (await client.get("/api/entities/count", params={"configId": tenant.config_id})).json() == {"count": 40}
