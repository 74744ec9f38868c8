"""Who would take back what is on the record."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from server.audit import Author
from server.db import Connection, Database
from server.db.embedded import EmbeddedPostgres
from server.tenants import lifecycle
from tests.conftest import Croft, new_database
from tests.isolation.neighbours import database_name, neighbours

OF_THE_LOGIN = (
    "INSERT INTO croft.audit SELECT * FROM croft.audit LIMIT 1",
    "UPDATE croft.audit SET actor = 'nobody'",
    "UPDATE croft.audit SET details = '{}', erased = true",
    "DELETE FROM croft.audit",
    "TRUNCATE croft.audit",
    "DROP TABLE croft.audit",
    "ALTER TABLE croft.audit DROP COLUMN link",
    "ALTER TABLE croft.audit RENAME TO aside",
    "UPDATE croft.audit_head SET last = 0, link = ''",
    "DELETE FROM croft.audit_head",
    "CREATE RULE quiet AS ON INSERT TO croft.audit DO INSTEAD NOTHING",
    "CREATE TRIGGER quiet BEFORE INSERT ON croft.audit EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER FUNCTION croft.append_act RENAME TO aside",
    "DROP FUNCTION croft.append_act",
    "ALTER FUNCTION croft.append_act SECURITY INVOKER",
    "CREATE TABLE croft.mine (id int)",
    "ALTER SCHEMA croft RENAME TO aside",
    "UPDATE croft.installation SET owner_role = 'croft'",
    "DELETE FROM croft._migrations",
)


@pytest.mark.parametrize("statement", OF_THE_LOGIN)
async def test_serving_login_rewrites_the_operators_log(croft: Croft, statement: str) -> None:
    async with Database(croft.addresses.serving, size=1) as database:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.shared() as db:
                await db.execute(statement)
    assert (await croft.operator.get("/api/installation/audit/verify")).json()["intact"]


async def test_caller_of_a_function_that_runs_as_the_owner_brings_names_of_his_own(croft: Croft) -> None:
    """Each finds its tables in its own schema, whatever the caller's search_path says, and is not everybody's."""
    await croft.tenant()
    async with Database(croft.addresses.serving, size=1) as database, database.shared() as db:
        owner = await db.fetchval("SELECT owner_role FROM installation")
        functions = await db.fetch(
            "SELECT n.nspname, p.proname, pg_get_userbyid(p.proowner) AS owner, p.proconfig, "
            "       has_function_privilege('public', p.oid, 'EXECUTE') AS everybodys "
            "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            "WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        )
    assert {row["nspname"] for row in functions} >= {"croft"}
    assert len(functions) >= 4
    for row in functions:
        name = f"{row['nspname']}.{row['proname']}"
        assert row["owner"] == owner, name
        assert [each.replace('"', "") for each in row["proconfig"]] == [f"search_path={row['nspname']}, pg_temp"], name
        assert not row["everybodys"], name


async def test_sql_of_a_tenant_leaves_something_behind_that_keeps_it_from_being_purged(
    cluster: EmbeddedPostgres,
) -> None:
    async with neighbours(await new_database(cluster), tenants=1, pool_size=2) as one:
        [tenant] = one.tenants
        superuser = await asyncpg.connect(cluster.superuser_dsn(database_name(one.addresses)))
        await superuser.execute("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC")
        await superuser.close()
        async with one.database.inside(tenant.scope) as db:
            await db.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
            await db.execute("SELECT lo_create(0)")
        async with one.database.shared() as db:
            await lifecycle.delete(db, tenant.id, Author("test"))
            await lifecycle.purge(db, tenant.id, timedelta(), Author("test"))
        async with one.database.shared() as db:
            assert await left_of(db, tenant.role) == (0, 0)
            [act] = await db.fetch("SELECT tenant_id, details::text FROM audit WHERE action = 'tenant.purged'")
            assert act["tenant_id"] == tenant.id


async def left_of(db: Connection, role: str) -> tuple[Any, Any]:
    return (
        await db.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role),
        await db.fetchval("SELECT count(*) FROM pg_largeobject_metadata"),
    )


async def test_administrator_of_a_tenant_reads_the_operators_log(croft: Croft) -> None:
    admin = await (await croft.tenant()).caller("admin")
    for path in ("/api/installation/audit", "/api/installation/audit/verify", "/api/installation/audit/export"):
        answer = await admin.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "access.forbidden")
