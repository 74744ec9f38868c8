"""Migrations reach every tenant that lacks them, and no failure of one is a failure of another."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import pytest
import pytest_asyncio

from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.db.migrations import Migration, tenant_migrations
from server.starting import Addresses
from server.tenants import queries
from server.tenants.migrating import Failure, Progress, migrate_tenants
from tests.conftest import new_installation

MANY = 1_000
_BATCH = 100
_TENANT = """
    CREATE SCHEMA few_{n};
    CREATE TABLE few_{n}._migrations (id text PRIMARY KEY, at timestamptz);
    INSERT INTO few_{n}._migrations (id) VALUES {done};
    CREATE TABLE few_{n}.settings (name text);
"""
_numbers = iter(range(1_000_000))


def with_new_migration() -> list[Migration]:
    """The server's migrations and one more, later than all others so far."""
    number = 9_000 + next(_numbers)
    column = f"note_{number}"
    statements = (f"ALTER TABLE settings ADD COLUMN {column} text", 'GRANT SELECT ON settings TO :"role"')
    return [*tenant_migrations(), Migration(f"{number}.add-note", statements)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """A database with the shared schema and no server."""
    return await new_installation(cluster)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(addresses: Addresses) -> AsyncIterator[Database]:
    """Its pool."""
    async with Database(addresses.direct, size=4) as database:
        yield database


@pytest_asyncio.fixture(loop_scope="session")
async def tenants(own: Database) -> AsyncIterator[list[str]]:
    """Twelve up-to-date tenants of every state, with as little in their schemas as migrations need."""
    names = await make_tenants(own, 12)
    async with own.shared() as db:
        await db.execute("UPDATE tenants SET state = 'suspended' WHERE config_id = $1", names[1])
        await db.execute("UPDATE tenants SET state = 'deleted', deleted_at = now() WHERE config_id = $1", names[2])
    yield names
    async with own.shared() as db:
        await db.execute("DELETE FROM tenants")


async def make_tenants(database: Database, count: int) -> list[str]:
    """Tenants made of a row, a role and a schema with two tables: the same for a migration as whole ones."""
    first = next(_numbers) * 10_000
    for start in range(first, first + count, _BATCH):
        async with database.shared() as db:
            numbers = range(start, min(start + _BATCH, first + count))
            await db.execute("".join(f"CREATE ROLE few_{n} NOLOGIN;" for n in numbers))
            await db.execute(
                """
                INSERT INTO tenants (config_id, artifact_id, name, schema_name, role_name, schema_version)
                SELECT 'few-' || n, 'few-' || n, 'few', 'few_' || n, 'few_' || n, $2 FROM unnest($1::int[]) AS n
                """,
                list(numbers),
                tenant_migrations()[-1].id,
            )
            done = ", ".join(f"('{each.id}')" for each in tenant_migrations())
            await db.execute(f"SET LOCAL ROLE {await queries.owner_role(db)}")
            await db.execute("".join(_TENANT.format(n=n, done=done) for n in numbers))
    return [f"few-{n}" for n in range(first, first + count)]


async def columns(database: Database, migration: Migration) -> set[str]:
    """The config ids of the tenants whose tables the migration changed."""
    async with database.shared() as db:
        rows = await db.fetch(
            "SELECT t.config_id FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN tenants t ON t.schema_name = c.relnamespace::regnamespace::text "
            "WHERE c.relname = 'settings' AND a.attname = $1",
            f"note_{migration.id.partition('.')[0]}",
        )
    return {row["config_id"] for row in rows}


async def versions(database: Database) -> dict[str, str]:
    """The schema version of each tenant."""
    async with database.shared() as db:
        return {row["config_id"]: row["schema_version"] for row in await db.fetch("SELECT * FROM tenants")}


async def test_new_migration_reaches_every_tenant_with_progress(
    own: Database, addresses: Addresses, tenants: list[str]
) -> None:
    migrations = with_new_migration()
    steps: list[Progress] = []
    report = await migrate_tenants(addresses.direct, progress=steps.append, migrations=migrations)
    assert sorted(report.migrated) == sorted(tenants)
    assert report.failures == ()
    assert await columns(own, migrations[-1]) == set(tenants)
    assert set((await versions(own)).values()) == {migrations[-1].id}
    assert [(step.done, step.total) for step in steps] == [(n, 12) for n in range(1, 13)]
    assert {step.config_id for step in steps} == set(tenants)


async def test_second_run_touches_nobody(addresses: Addresses, tenants: list[str]) -> None:
    migrations = with_new_migration()
    await migrate_tenants(addresses.direct, migrations=migrations)
    steps: list[Progress] = []
    report = await migrate_tenants(addresses.direct, progress=steps.append, migrations=migrations)
    assert (report.migrated, report.failures, steps) == ((), (), [])


async def test_tenant_that_fails_is_named_keeps_its_tables_and_stops_nobody(
    own: Database, addresses: Addresses, tenants: list[str]
) -> None:
    added, broken = with_new_migration()[-1], with_new_migration()[-1]
    async with own.shared() as db:
        await db.execute(f"SET LOCAL ROLE {await queries.owner_role(db)}")
        await db.execute(f"ALTER TABLE {tenants[4].replace('-', '_')}.settings ADD COLUMN in_the_way text")
    broken = Migration(broken.id, ("ALTER TABLE settings ADD COLUMN in_the_way text",))
    migrations = [*tenant_migrations(), added, broken]

    report = await migrate_tenants(addresses.direct, migrations=migrations)

    assert [failure.config_id for failure in report.failures] == [tenants[4]]
    assert "in_the_way" in report.failures[0].error
    assert set(report.migrated) == set(tenants) - {tenants[4]}
    assert await columns(own, added) == set(tenants) - {tenants[4]}, "a tenant is migrated as a whole or not at all"
    assert (await versions(own))[tenants[4]] == tenant_migrations()[-1].id


async def test_tenant_in_use_is_given_up_after_the_lock_timeout_and_reached_by_the_next_run(
    own: Database, addresses: Addresses, tenants: list[str]
) -> None:
    migrations = with_new_migration()
    async with own.shared() as db:
        await db.execute(f"SET LOCAL ROLE {await queries.owner_role(db)}")
        await db.execute(f"LOCK TABLE {tenants[0].replace('-', '_')}.settings IN ACCESS SHARE MODE")
        report = await migrate_tenants(addresses.direct, lock_timeout=0.05, migrations=migrations)
    assert [failure.config_id for failure in report.failures] == [tenants[0]]
    again = await migrate_tenants(addresses.direct, migrations=migrations)
    assert (again.migrated, again.failures) == ((tenants[0],), ())


async def test_two_runs_at_once_migrate_each_tenant_once(
    own: Database, addresses: Addresses, tenants: list[str]
) -> None:
    migrations = with_new_migration()
    reports = await asyncio.gather(*(migrate_tenants(addresses.direct, migrations=migrations) for _ in range(2)))
    assert [report.failures for report in reports] == [(), ()]
    assert await columns(own, migrations[-1]) == set(tenants)


async def test_database_that_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await migrate_tenants("postgresql://croft@/croft?host=/nonexistent")


@pytest.mark.slow
async def test_a_thousand_tenants(own: Database, addresses: Addresses) -> None:
    names = await make_tenants(own, MANY)
    try:
        began = perf_counter()
        report = await migrate_tenants(addresses.direct)
        nothing_to_do = perf_counter() - began
        assert (report.migrated, report.failures) == ((), ())
        assert nothing_to_do < 3

        migrations = with_new_migration()
        steps: list[Progress] = []
        report = await migrate_tenants(addresses.direct, progress=steps.append, migrations=migrations)
        assert len(report.migrated) == MANY
        assert report.failures == tuple[Failure, ...]()
        assert steps[-1].done == MANY
        assert await columns(own, migrations[-1]) == set(names)
    finally:
        async with own.shared() as db:
            await db.execute("DELETE FROM tenants")
