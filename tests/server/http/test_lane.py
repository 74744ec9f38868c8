"""Large requests are worked on beside the others."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from server.db import Database
from server.http.lane import Lane
from server.http.load import LARGE_BODY
from tests.conftest import Croft, TenantHandle, new_database, start_croft

PATIENCE = 20


@pytest_asyncio.fixture(loop_scope="session")
async def lane(croft: Croft) -> AsyncIterator[Lane]:
    async with Lane(Database(croft.addresses.serving, size=1)) as lane:
        yield lane


async def test_work_is_done_in_another_thread_with_a_connection_of_its_own(lane: Lane) -> None:
    async def work(database: Database) -> tuple[int, int]:
        async with database.shared() as db:
            return threading.get_ident(), int(await db.fetchval("SELECT 7"))

    thread, answer = await lane.run(work)
    assert (thread != threading.get_ident(), answer) == (True, 7)


async def test_failure_in_the_lane_is_the_callers(lane: Lane) -> None:
    async def fail(_: Database) -> None:
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        await lane.run(fail)


async def test_work_that_never_waits_leaves_others_their_turns(lane: Lane) -> None:
    async def compute(_: Database) -> None:
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass

    working = asyncio.ensure_future(lane.run(compute))
    turns = 0
    while not working.done():
        await asyncio.sleep(0.001)
        turns += 1
    await working
    assert turns > 20


async def test_work_that_is_given_up_is_rolled_back(lane: Lane) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    lock = uuid4().hex

    async def work(database: Database) -> None:
        async with database.shared() as db:
            await db.fetchval("SELECT pg_advisory_xact_lock(hashtext($1))", lock)
            loop.call_soon_threadsafe(begun.set)
            await asyncio.Event().wait()

    async def is_free(database: Database) -> bool:
        async with database.shared() as db:
            return bool(await db.fetchval("SELECT pg_try_advisory_xact_lock(hashtext($1))", lock))

    working = asyncio.ensure_future(lane.run(work))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    # The lane has one connection: it is free again only when the transaction has ended.
    assert await asyncio.wait_for(lane.run(is_free), PATIENCE)


async def test_lane_that_cannot_open_its_database_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with pytest.raises(OSError, match=r".*"):
        await Lane(Database("postgresql://nobody@127.0.0.1:1/nowhere")).__aenter__()
    assert threading.active_count() <= before + 1  # one of the pool for what blocks may have come


def events(number: int, size: int = 300) -> list[dict[str, Any]]:
    return [
        {
            "guid": str(uuid4()),
            "entityGuid": str(uuid4()),
            "type": "create-individual",
            "data": {"name": "Amina", "entityName": "individual", "note": "x" * size},
            "timestamp": "2026-01-31T08:15:00.000Z",
            "userId": "7",
            "syncLevel": 0,
        }
        for _ in range(number)
    ]


async def push(tenant: TenantHandle, pushed: list[dict[str, Any]], path: str = "/api/v2/sync/push") -> Any:
    return await tenant.api.post(
        f"{path}?configId={tenant.config_id}", content=json.dumps({"events": pushed}), headers={"X-Device-Id": "phone"}
    )


@pytest.mark.parametrize("path", ["/api/sync/push", "/api/v2/sync/push"])
async def test_large_push_is_answered_and_counted_as_a_small_one(croft: Croft, path: str) -> None:
    tenant = await croft.tenant()
    small, large = events(3), events(400)
    assert len(json.dumps(small)) < LARGE_BODY < len(json.dumps(large))
    for pushed in (small, large):
        answer = await push(tenant, pushed, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        told = answer.json()["events"]
        assert [(each["guid"], each["status"]) for each in told] == [(each["guid"], "accepted") for each in pushed]
        again = await push(tenant, pushed, path)
        assert {each["status"] for each in again.json()["events"]} == {"known"}
    count = await tenant.api.get(f"/api/entities/count?configId={tenant.config_id}")
    assert count.json() == {"count": 403}


async def test_large_push_into_another_tenant_is_as_forbidden_as_a_small_one(croft: Croft) -> None:
    home, other = await croft.tenant(), await croft.tenant()
    collector = await home.caller("collector")
    for number in (1, 400):
        answer = await collector.post(
            f"/api/v2/sync/push?configId={other.config_id}",
            json={"events": events(number)},
            headers={"X-Device-Id": "phone"},
        )
        assert answer.status_code == 403


async def test_large_push_that_takes_too_long_is_given_up_and_may_be_sent_again(cluster: Any) -> None:
    async with start_croft(await new_database(cluster), request_timeout_seconds=1) as croft:
        tenant = await croft.tenant()
        pushed = events(400)
        db = await asyncpg.connect(croft.addresses.direct)
        try:
            async with db.transaction():
                row = await db.fetchrow("SELECT schema_name, role_name FROM croft.tenants")
                assert row is not None
                await db.execute(f'SET LOCAL ROLE "{row["role_name"]}"')
                await db.fetch(f'SELECT head FROM "{row["schema_name"]}".sync_head FOR UPDATE')
                answer = await push(tenant, pushed)
                assert (answer.status_code, answer.json()["code"]) == (503, "request.timeout")
        finally:
            await db.close()
        answer = await push(tenant, pushed)
        assert {each["status"] for each in answer.json()["events"]} == {"accepted"}
