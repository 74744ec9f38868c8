"""One tenant cannot take all connections of the pool."""

import asyncio

import pytest

from server.db import Database, Scope
from server.db.shares import NoShareFree, Shares
from tests.conftest import Croft


async def test_share_is_bounded_by_name_and_forgotten_when_nobody_uses_it() -> None:
    shares, inside, peak = Shares(2), 0, 0
    full, go_on = asyncio.Event(), asyncio.Event()

    async def hold(name: str) -> None:
        nonlocal inside, peak
        async with shares.one_of(name):
            inside += 1
            peak = max(peak, inside)
            if inside == 2:
                full.set()
            await go_on.wait()
            inside -= 1

    holders = [asyncio.create_task(hold("north")) for _ in range(5)]
    await full.wait()
    async with shares.one_of("south"):
        pass
    go_on.set()
    await asyncio.gather(*holders)
    assert peak == 2
    assert shares._doors == {}


async def test_cancelled_waiter_leaves_nothing_behind() -> None:
    shares = Shares(1)
    async with shares.one_of("north"):
        waiting = asyncio.create_task(shares.one_of("north").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert shares._doors == {}


async def test_share_that_does_not_come_in_time_is_not_waited_for_longer() -> None:
    shares = Shares(1)
    async with shares.one_of("north"):
        with pytest.raises(NoShareFree):
            async with shares.one_of("north", wait_seconds=0.01):
                pytest.fail("there was none")
        async with shares.one_of("south", wait_seconds=0.01):
            pass
    async with shares.one_of("north", wait_seconds=0.01):
        pass
    assert shares._doors == {}


async def test_timeout_within_the_block_is_not_taken_for_one_of_the_share() -> None:
    with pytest.raises(TimeoutError):
        async with Shares(1).one_of("north", wait_seconds=0.01):
            raise TimeoutError


async def test_tenant_whose_requests_all_wait_leaves_connections_to_others(croft: Croft) -> None:
    busy, quiet = [await croft.tenant() for _ in range(2)]
    async with Database(croft.addresses.serving, size=4) as database:
        scopes = []
        for tenant in (busy, quiet):
            async with database.shared() as db:
                row = await db.fetchrow(
                    "SELECT schema_name, role_name FROM tenants WHERE config_id = $1", tenant.config_id
                )
                assert row is not None
                scopes.append(row)
        first, second = (Scope(row["schema_name"], row["role_name"]) for row in scopes)
        done = asyncio.Event()

        async def occupy() -> None:
            async with database.inside(first):
                await done.wait()

        occupiers = [asyncio.create_task(occupy()) for _ in range(20)]
        async with asyncio.timeout(10), database.inside(second) as db:
            assert await db.fetchval("SELECT count(*) FROM events") == 0
        done.set()
        await asyncio.gather(*occupiers)
