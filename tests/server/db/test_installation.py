"""Who owns what: installing, bringing over an installation whose login owned its tables, and logins that only serve."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from server.audit import Author, record
from server.audit.chain import verify
from server.db import Connection, Database
from server.db.embedded import EmbeddedPostgres
from server.db.installation import InstallerNeeded, weaknesses
from server.db.migrations import apply_migrations, shared_migrations
from server.duplicates.finding import load_and_find_pairs
from server.starting import Addresses, install_shared_schema
from server.tenants import lifecycle
from server.tenants.migrating import migrate_tenants
from server.tenants.uploading import apply_config
from tests.conftest import (
    ADMIN_EMAIL,
    KEYRING,
    new_database,
    new_installation,
    small_config,
    start_croft,
    upload_of,
)
from tests.isolation.neighbours import database_name

GUIDE = Path(__file__).resolve().parents[3] / "deploy" / "runbooks" / "managed-postgresql.md"
OWNED = (
    "SELECT c.relname FROM pg_class c WHERE c.relowner = session_user::regrole UNION ALL "
    "SELECT p.proname FROM pg_proc p WHERE p.proowner = session_user::regrole UNION ALL "
    "SELECT n.nspname FROM pg_namespace n WHERE n.nspowner = session_user::regrole"
)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    db = await asyncpg.connect(dsn)
    try:
        yield db
    finally:
        await db.close()


async def provisioned(database: Database, config_id: str) -> None:
    async with database.shared() as db:
        await apply_config(db, small_config(config_id), Author("test"), load_and_find_pairs, KEYRING)


# Ownership


async def test_login_that_installs_owns_nothing(cluster: EmbeddedPostgres) -> None:
    addresses = await new_installation(cluster)
    async with Database(addresses.serving, size=1) as database:
        await provisioned(database, "owned")
    async with connected(addresses.serving) as db:
        assert await db.fetch(OWNED) == []
        owner = await db.fetchval("SELECT owner_role FROM croft.installation")
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'croft' OR schemaname LIKE 't\\_%'"
        assert [row["tableowner"] for row in await db.fetch(owners)] == [owner]
        assert await weaknesses(db) == []


async def test_installing_again_changes_nothing(cluster: EmbeddedPostgres) -> None:
    addresses = await new_installation(cluster)
    rights = "SELECT relname, relowner, relacl::text, xmin::text FROM pg_class ORDER BY oid"
    async with connected(addresses.serving) as db:
        before = await db.fetch(rights)
        assert await install_shared_schema(addresses) == []
        assert await db.fetch(rights) == before


async def test_installation_of_before_is_handed_to_its_owner_with_its_acts_in_a_chain(
    cluster: EmbeddedPostgres,
) -> None:
    """As it was when the login owned the shared schema: tables, rights and acts."""
    addresses = await new_database(cluster)
    earlier = [each for each in shared_migrations() if each.id < "0010"]
    async with connected(addresses.direct) as db, db.transaction():
        await db.execute(
            "CREATE ROLE owner_of_before NOLOGIN; GRANT owner_of_before TO croft WITH INHERIT FALSE, SET TRUE; "
            "CREATE SCHEMA croft; SET LOCAL search_path = croft; GRANT USAGE ON SCHEMA croft TO croft"
        )
        await apply_migrations(db, earlier, {"serving": "croft"})
        await db.execute("GRANT SELECT ON _migrations TO croft")
        await db.execute("INSERT INTO installation (owner_role) VALUES ('owner_of_before')")
        for number in range(1, 8):
            await db.execute(
                "INSERT INTO audit (actor, action, subject, details) VALUES ('1', 'x.did', $1, $2::jsonb)",
                f"thing \u2603 {number}",
                f'{{"tenant": {number}, "text": "a \\"b\\" \\u00e9 / \\\\"}}',
            )
        await db.execute("DELETE FROM audit WHERE id = 3")
        await db.execute("INSERT INTO audit (actor, action, subject) VALUES ('1', 'x.did', 'without details')")
    assert (await install_shared_schema(addresses))[0] == "0010.chain-audit"
    async with connected(addresses.direct) as db:
        assert await db.fetch(OWNED) == []
        acts = await db.fetch("SELECT id, tenant_id FROM croft.audit ORDER BY id")
        assert [tuple(row) for row in acts] == list(zip(range(1, 8), [1, 2, 4, 5, 6, 7, None], strict=True))
    async with Database(addresses.serving, size=1) as database:
        await provisioned(database, "after")
        verdict = await verify(partial(database.shared, readonly=True), "operators")
        assert (verdict.fault, verdict.acts) == (None, 8)


async def test_what_is_weak_about_a_login_is_told(cluster: EmbeddedPostgres) -> None:
    addresses = await new_installation(cluster)
    name = database_name(addresses)
    async with connected(cluster.superuser_dsn(name)) as db:
        await db.execute(f'GRANT TEMP ON DATABASE "{name}" TO PUBLIC; CREATE TABLE croft.mine (id int)')
        told = await weaknesses(db)
    assert len(told) == 3
    assert "is a superuser" in told[0]
    assert "owns tables" in told[1]
    assert "temporary tables" in told[2]


# What the guide for a managed PostgreSQL says


def sql_of(heading: str) -> str:
    """The SQL under a heading of the guide, to the letter."""
    section = GUIDE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    [sql] = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    return str(sql)


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A cluster that is administered by the login `provider`, who is no superuser, and knows no Croft."""
    with EmbeddedPostgres(tmp_path, durable=False) as postgres:
        yield postgres
    postgres.destroy()


async def follow(managed: EmbeddedPostgres, heading: str) -> None:
    async with connected(managed.superuser_dsn()) as db:
        await db.execute("DROP DATABASE croft")
        await db.execute("DROP ROLE croft")
        await db.execute("CREATE ROLE provider LOGIN CREATEROLE CREATEDB NOSUPERUSER")
        await db.execute("GRANT CONNECT ON DATABASE postgres TO provider")
    await run_as_provider(managed, sql_of(heading))


async def run_as_provider(managed: EmbeddedPostgres, sql: str) -> None:
    async with connected(managed.dsn("postgres", "provider")) as db:
        for statement in filter(str.strip, sql.split(";")):
            await db.execute(statement)


async def test_guide_with_two_logins_installs_provisions_migrates_and_serves(managed: EmbeddedPostgres) -> None:
    await follow(managed, "Two logins")
    serving, admin = managed.dsn("croft", "croft"), managed.dsn("croft", "croft_admin")
    assert await install_shared_schema(Addresses(serving, admin))
    async with Database(admin, size=2) as commands:
        await provisioned(commands, "north")
        async with commands.shared() as db:
            await db.execute("UPDATE tenants SET schema_version = ''")
        assert (await migrate_tenants(admin)).migrated == ("north",)
    async with start_croft(Addresses(serving, serving)) as croft:
        answer = await croft.operator.post("/api/apps", files={"config": upload_of(small_config("north"))})
        assert answer.status_code == 200, answer.text
        member = {"configId": "north", "role": "collector"}
        person = {"email": "c@croft.test", "password": "Correct-Horse-7", "role": "USER", "memberships": [member]}
        assert (await croft.operator.post("/api/users", json=person)).status_code == 201
        collector = await croft.signed_in("c@croft.test")
        pushed = await collector.post("/api/sync/push?configId=north", json={"events": []})
        assert pushed.status_code == 200, pushed.text
        refused = await croft.operator.post("/api/tenants", json={"id": "south", "name": "South"})
        assert (refused.status_code, refused.json()["code"]) == (403, "tenants.owner-needed")
        for path in ("/api/audit/verify?configId=north", "/api/installation/audit/verify"):
            assert (await croft.operator.get(path)).json()["intact"] is True
    await expect_no_way_to_the_tables(serving)
    async with Database(admin, size=1) as commands, commands.shared() as db:
        tenant = await lifecycle.delete(db, (await lifecycle.get_tenant(db, "north")).id, Author("test"))
        await lifecycle.restore(db, "north", None, Author("test"), load_and_find_pairs, KEYRING)
        assert tenant.state == "deleted"


async def expect_no_way_to_the_tables(serving: str) -> None:
    """The login that serves, whatever SQL it runs: it owns nothing, becomes no owner, and changes no record."""
    async with connected(serving) as db:
        assert await db.fetch(OWNED) == []
        assert await weaknesses(db) == []
        owner = await db.fetchval("SELECT owner_role FROM croft.installation")
        tenant = await db.fetchrow("SELECT schema_name, role_name FROM croft.tenants")
        assert tenant is not None
        schema, role = tenant
        for statement in (
            f"SET ROLE {owner}",
            "SET ROLE croft_admin",
            "CREATE ROLE mine",
            "CREATE SCHEMA mine",
            "CREATE TEMP TABLE mine (id int)",
            f"GRANT {owner} TO croft",
            "INSERT INTO croft.audit SELECT * FROM croft.audit",
            "UPDATE croft.audit SET actor = 'nobody'",
            "DELETE FROM croft.audit",
            "UPDATE croft.audit_head SET last = 0",
            "UPDATE croft.installation SET owner_role = 'croft'",
            f"SET ROLE {role}; UPDATE {schema}.acts SET actor = 'nobody'",
            f"SET ROLE {role}; DELETE FROM {schema}.acts",
            f"SET ROLE {role}; UPDATE {schema}.acts_head SET last = 0",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.execute(statement)
            await db.execute("RESET ROLE")


async def test_guide_with_one_login_does_it_all_and_goes_on_with_two(managed: EmbeddedPostgres) -> None:
    await follow(managed, "One login")
    alone = Addresses(managed.dsn("croft", "croft"), managed.dsn("croft", "croft"))
    async with start_croft(alone) as croft:
        assert (await croft.operator.post("/api/tenants", json={"id": "north", "name": "North"})).status_code == 201
    await run_as_provider(managed, sql_of("From one login to two"))
    serving = managed.dsn("croft", "croft_serving")
    assert await install_shared_schema(Addresses(serving, alone.direct)) == []
    async with start_croft(Addresses(serving, serving)) as croft:
        listed = await croft.operator.get("/api/entities?configId=north")
        assert listed.status_code == 200, listed.text
        assert (await croft.operator.get("/api/users/me")).json()["email"] == ADMIN_EMAIL
        refused = await croft.operator.post("/api/tenants", json={"id": "south", "name": "South"})
        assert refused.json()["code"] == "tenants.owner-needed"
    async with Database(alone.direct, size=1) as commands:
        await provisioned(commands, "south")
    async with Database(serving, size=1) as database, database.shared() as db:
        tenant = await lifecycle.get_tenant(db, "south")
        await record(db, Author("test"), "things.do", "thing", tenant=tenant)


async def test_login_that_only_serves_cannot_run_what_is_left_to_run(managed: EmbeddedPostgres) -> None:
    await follow(managed, "Two logins")
    serving, admin = managed.dsn("croft", "croft"), managed.dsn("croft", "croft_admin")
    await install_shared_schema(Addresses(serving, admin))
    assert await install_shared_schema(Addresses(serving, serving)) == []
    async with connected(managed.superuser_dsn("croft")) as db:
        await db.execute("DELETE FROM croft._migrations WHERE id = '0010.chain-audit'")
    with pytest.raises(InstallerNeeded, match="croft migrate"):
        await install_shared_schema(Addresses(serving, serving))


async def test_superuser_can_run_what_the_guide_leaves_to_him(cluster: EmbeddedPostgres) -> None:
    addresses = await new_database(cluster)
    async with connected(cluster.superuser_dsn(database_name(addresses))) as db:
        await db.execute("GRANT EXECUTE ON FUNCTION lo_create(oid), pg_advisory_lock(bigint) TO PUBLIC")
        await db.execute(sql_of("What only a superuser can take away"))
        for function in ("lo_create(oid)", "lo_put(oid, bigint, bytea)", "pg_advisory_lock(bigint)"):
            assert await db.fetchval("SELECT has_function_privilege('public', $1, 'EXECUTE')", function) is False
