"""What every transaction of the pool is given."""

import asyncio

import pytest

from server.db import Database, Scope
from server.db.pool import Limits, NoConnectionFree
from tests.conftest import Croft


@pytest.mark.parametrize(
    ("setting", "value"),
    [("plan_cache_mode", "force_custom_plan"), ("lock_timeout", "10s"), ("statement_timeout", "30s")],
)
async def test_transaction_has_its_limits_and_plans_for_the_tables_it_meets(
    croft: Croft, setting: str, value: str
) -> None:
    async with Database(croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            assert await db.fetchval("SELECT current_setting($1)", setting) == value
            assert await db.fetchval("SELECT current_setting('search_path')") == "croft, pg_temp"
        async with database.pool.acquire() as bare:
            assert await bare.fetchval("SELECT current_setting($1)", setting) != value


async def scopes(croft: Croft, number: int) -> list[Scope]:
    """The scopes of so many new tenants."""
    names = [(await croft.tenant()).config_id for _ in range(number)]
    async with Database(croft.addresses.serving, size=1) as database, database.shared() as db:
        rows = await db.fetch("SELECT schema_name, role_name FROM tenants WHERE config_id = ANY($1)", names)
    return [Scope(row["schema_name"], row["role_name"]) for row in rows]


async def test_connection_is_replaced_when_it_has_served_its_number_of_tenants(croft: Croft) -> None:
    tenants = await scopes(croft, 5)
    async with Database(croft.addresses.serving, size=1, tenants_per_connection=2) as database:

        async def backend(scope: Scope) -> int:
            async with database.inside(scope) as db:
                assert await db.fetchval("SELECT current_user") == scope.role
                return int(await db.fetchval("SELECT pg_backend_pid()"))

        backends = [await backend(scope) for scope in tenants]
        assert [backends.index(each) for each in backends] == [0, 0, 2, 2, 4]
        assert {await backend(tenants[4]) for _ in range(10)} == {backends[4]}
        assert database.pool.get_size() == 1


async def test_connection_that_serves_nobody_in_particular_is_kept(croft: Croft) -> None:
    async with Database(croft.addresses.serving, size=1, tenants_per_connection=1) as database:
        backends = set()
        for _ in range(5):
            async with database.shared() as db:
                backends.add(await db.fetchval("SELECT pg_backend_pid()"))
    assert len(backends) == 1


async def test_work_of_the_last_transaction_on_a_connection_is_kept(croft: Croft) -> None:
    (tenant,) = await scopes(croft, 1)
    async with Database(croft.addresses.serving, size=1, tenants_per_connection=1) as database:
        async with database.inside(tenant) as db:
            before = await db.fetchval("UPDATE sync_head SET head = head + 1 RETURNING head")
        async with database.inside(tenant) as db:
            assert await db.fetchval("SELECT head FROM sync_head") == before


async def test_connection_that_does_not_come_free_in_time_is_not_waited_for_longer(croft: Croft) -> None:
    async with Database(croft.addresses.serving, size=1, limits=Limits(wait_seconds=0.05)) as database:
        async with database.shared():
            with pytest.raises(NoConnectionFree):
                async with database.shared():
                    pytest.fail("there was none")
            assert database.waiting == 0
        async with asyncio.timeout(10), database.shared() as db:
            assert await db.fetchval("SELECT 1") == 1
