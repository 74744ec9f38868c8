import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft, new_database, start_croft


async def superuser(cluster: EmbeddedPostgres, croft: Croft) -> "asyncpg.Connection[asyncpg.Record]":
    name = croft.addresses.direct.split("/")[3].partition("?")[0]
    return await asyncpg.connect(cluster.superuser_dsn(name))


async def test_anybody_may_ask_whether_it_lives_and_is_ready(croft: Croft) -> None:
    assert (await croft.client().get("/health")).json() == {"status": "ok"}
    ready = await croft.client().get("/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "tenantsBehind": 0})


async def test_pending_shared_migration_makes_it_not_ready(cluster: EmbeddedPostgres, fresh_croft: Croft) -> None:
    db = await superuser(cluster, fresh_croft)
    try:
        last = await db.fetchval(
            "DELETE FROM croft._migrations WHERE id = (SELECT max(id) FROM croft._migrations) RETURNING id"
        )
    finally:
        await db.close()
    answer = await fresh_croft.client().get("/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "health.shared-schema-behind"
    assert answer.json()["errors"] == [{"path": "migrations", "message": last}]
    assert (await fresh_croft.client().get("/health")).status_code == 200


async def test_tenant_that_is_behind_is_counted_and_the_rest_is_ready(
    cluster: EmbeddedPostgres, fresh_croft: Croft
) -> None:
    await fresh_croft.tenant()
    behind = await fresh_croft.tenant()
    db = await superuser(cluster, fresh_croft)
    try:
        await db.execute(
            "UPDATE croft.tenants SET schema_version = '0000.before-all' WHERE config_id = $1", behind.config_id
        )
    finally:
        await db.close()
    answer = await fresh_croft.client().get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "tenantsBehind": 1})


@pytest.fixture
def mortal() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that the test may stop."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "home", durable=False) as postgres:
            yield postgres


async def test_without_its_database_it_lives_but_is_not_ready(mortal: EmbeddedPostgres) -> None:
    async with start_croft(await new_database(mortal)) as croft:
        mortal.stop()
        assert (await croft.client().get("/health")).status_code == 200
        answer = await croft.client().get("/ready")
        assert answer.status_code == 503
        assert answer.json()["code"] == "health.database-away"
        assert answer.headers["retry-after"] == "5"
