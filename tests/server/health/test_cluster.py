import asyncio
import logging

import asyncpg
import pytest

from server.db import Connection, Database
from server.db.embedded import EmbeddedPostgres
from server.health.cluster import check_cluster
from server.health.queries import cluster_identity, list_scopes
from server.starting import Addresses, install_shared_schema
from server.sync.epoch import follow_cluster
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


async def move(database: Database) -> None:
    """As if the database, with all its tenants, came from another cluster."""
    async with database.shared() as db:
        await db.execute(MOVED)
        scopes = [scope for _, scope in await list_scopes(db)]
    for scope in scopes:
        async with database.inside(scope) as db:
            await db.execute("UPDATE sync_head SET cluster = 'another/1/2'")


async def test_same_database_keeps_its_epochs(fresh_croft: Croft) -> None:
    await fresh_croft.tenant()
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        before = await epochs(fresh_croft, database)
        assert await stored(database) is not None
        assert await check_cluster(database, follow_cluster) == []
        assert await epochs(fresh_croft, database) == before


async def test_another_database_gives_every_tenant_a_new_epoch_once(fresh_croft: Croft) -> None:
    kept = await fresh_croft.tenant()
    deleted = await fresh_croft.tenant()
    assert (await fresh_croft.operator.delete(f"/api/apps/{deleted.config_id}")).status_code == 200
    async with Database(fresh_croft.addresses.serving, size=4) as database:
        before = await epochs(fresh_croft, database)
        await move(database)
        one, other = await asyncio.gather(*(check_cluster(database, follow_cluster) for _ in range(2)))
        assert sorted(one + other) == sorted([kept.config_id, deleted.config_id])
        after = await epochs(fresh_croft, database)
        assert len(before) == 2
        assert all(before[each] != after[each] for each in before)
        async with database.shared() as db:
            assert await stored(database) == await cluster_identity(db)


async def test_two_starts_at_once_begin_one_epoch(fresh_croft: Croft) -> None:
    tenant = await fresh_croft.tenant()
    asked = asyncio.Barrier(2)

    async def follow(db: Connection, present: str, before: str | None) -> bool:
        await asked.wait()
        return await follow_cluster(db, present, before)

    async with Database(fresh_croft.addresses.serving, size=4) as database:
        await move(database)
        outcomes = await asyncio.gather(*(check_cluster(database, follow) for _ in range(2)))
    assert sorted(outcomes) == [[], [tenant.config_id]]


@pytest.mark.parametrize("noted", ["another/1/2", None])
async def test_tenant_without_a_noted_cluster_is_where_the_installation_was(
    fresh_croft: Croft, noted: str | None
) -> None:
    tenant = await fresh_croft.tenant()
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        async with database.shared() as db:
            await db.execute("UPDATE installation SET cluster = $1", noted)
            [(_, scope)] = await list_scopes(db)
        async with database.inside(scope) as db:
            await db.execute("UPDATE sync_head SET cluster = NULL")
        assert await check_cluster(database, follow_cluster) == ([tenant.config_id] if noted else [])
        async with database.inside(scope) as db:
            assert await db.fetchval("SELECT cluster FROM sync_head") == await cluster_identity(db)


async def test_tenant_made_since_the_move_is_left_alone(fresh_croft: Croft) -> None:
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        await move(database)
        await fresh_croft.tenant()
        before = await epochs(fresh_croft, database)
        assert await check_cluster(database, follow_cluster) == []
        assert await epochs(fresh_croft, database) == before


async def test_broken_tenant_is_tried_again_and_the_others_keep_their_epochs(
    fresh_croft: Croft, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await fresh_croft.tenant(), await fresh_croft.tenant()
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        async with database.shared() as db:
            scopes = dict(await list_scopes(db))
        await move(database)

        async def follow(db: Connection, present: str, before: str | None) -> bool:
            if await db.fetchval("SELECT current_schema()") == scopes[broken.config_id].schema:
                await db.execute("SELECT 1 / 0")
            return await follow_cluster(db, present, before)

        assert await check_cluster(database, follow) == [sound.config_id]
        assert broken.config_id in caplog.text
        first = await epochs(fresh_croft, database)
        assert await check_cluster(database, follow) == []
        assert await epochs(fresh_croft, database) == first
        assert await stored(database) == "another/1/2"
        assert await check_cluster(database, follow_cluster) == [broken.config_id]
        async with database.shared() as db:
            assert await stored(database) == await cluster_identity(db)
        last = await epochs(fresh_croft, database)
        sound_schema = scopes[sound.config_id].schema
        assert {each for each in last if last[each] != first[each]} == set(last) - {sound_schema}


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
            assert await check_cluster(database, follow_cluster) == []
        assert await stored(database) is None
    assert "cannot be told" in caplog.text
