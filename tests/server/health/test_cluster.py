import asyncio
import logging

import asyncpg
import pytest

from server.db import Connection, Database
from server.db.embedded import EmbeddedPostgres
from server.health.cluster import check_cluster
from server.health.queries import cluster_identity
from server.starting import Addresses, install_shared_schema
from server.sync.epoch import begin_epoch
from tests.conftest import Croft, new_database

MOVED = "UPDATE installation SET cluster = 'another/1/2'"


async def epochs(croft: Croft, database: Database) -> dict[str, str]:
    async with database.shared() as db:
        schemas = [row["schema_name"] for row in await db.fetch("SELECT schema_name FROM tenants")]
    async with database.shared() as db:
        await db.execute("SET LOCAL ROLE NONE")
        owner = await db.fetchval("SELECT owner_role FROM installation")
        await db.execute(f'SET LOCAL ROLE "{owner}"')
        return {each: await db.fetchval(f'SELECT epoch FROM "{each}".sync_head') for each in schemas}


async def stored(database: Database) -> str | None:
    async with database.shared() as db:
        value: str | None = await db.fetchval("SELECT cluster FROM installation")
        return value


async def test_same_database_keeps_its_epochs(fresh_croft: Croft) -> None:
    await fresh_croft.tenant()
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        before = await epochs(fresh_croft, database)
        assert await stored(database) is not None
        assert await check_cluster(database, begin_epoch) is False
        assert await epochs(fresh_croft, database) == before


async def test_another_database_gives_every_tenant_a_new_epoch_once(fresh_croft: Croft) -> None:
    await fresh_croft.tenant()
    deleted = await fresh_croft.tenant()
    assert (await fresh_croft.operator.delete(f"/api/apps/{deleted.config_id}")).status_code == 200
    async with Database(fresh_croft.addresses.serving, size=4) as database:
        before = await epochs(fresh_croft, database)
        async with database.shared() as db:
            await db.execute(MOVED)
        outcomes = await asyncio.gather(check_cluster(database, begin_epoch), check_cluster(database, begin_epoch))
        assert sorted(outcomes) == [False, True]
        after = await epochs(fresh_croft, database)
        assert len(before) == 2
        assert all(before[each] != after[each] for each in before)
        async with database.shared() as db:
            assert await stored(database) == await cluster_identity(db)


async def test_tenant_whose_epoch_fails_does_not_stop_the_others_and_is_tried_again(fresh_croft: Croft) -> None:
    first, second = await fresh_croft.tenant(), await fresh_croft.tenant()
    begun: list[str] = []

    async def begin(db: Connection) -> None:
        schema = await db.fetchval("SELECT current_schema()")
        if not begun and "broken" not in begun:
            begun.append("broken")
            await db.execute("SELECT 1 / 0")
        begun.append(schema)
        await begin_epoch(db)

    assert first.config_id != second.config_id
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        async with database.shared() as db:
            await db.execute(MOVED)
        assert await check_cluster(database, begin) is True
        assert len(begun) == 2
        assert await stored(database) == "another/1/2"
        assert await check_cluster(database, begin) is True
        assert len(begun) == 4
        assert await stored(database) != "another/1/2"


async def test_login_that_may_not_ask_for_the_cluster_is_served_all_the_same(
    cluster: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    addresses: Addresses = await new_database(cluster)
    name = addresses.direct.split("/")[3].partition("?")[0]
    db = await asyncpg.connect(cluster.superuser_dsn(name))
    try:
        await db.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    finally:
        await db.close()
    await install_shared_schema(addresses)
    async with Database(addresses.serving, size=2) as database:
        with caplog.at_level(logging.WARNING):
            assert await check_cluster(database, begin_epoch) is False
        assert await stored(database) is None
    assert "cannot be told" in caplog.text
