"""Tampering with a log as whoever owns the tables: what verification finds, and what only an anchor kept elsewhere."""

from collections.abc import AsyncIterator
from hashlib import sha256

import asyncpg
import pytest
import pytest_asyncio

from server.audit import Author, record, record_inside
from server.audit.chain import text_of
from server.audit.queries import erase_acts
from server.db import scoped
from server.db.embedded import EmbeddedPostgres
from tests.conftest import new_database
from tests.isolation.neighbours import Neighbours, neighbours
from tests.server.audit.conftest import as_owner, verdict_on

ACTS = 12
REST = "at, actor, session_id, address, action, subject, tenant_id, details, digest, link, erased"
COLUMNS = f"id, {REST}"
ANNA = Author("7", "s1", "::1")

# By what is done to the log: the SQL, and the number of the act at which it shows. "it" is the table, "head" its head.
TAMPERED = {
    "another actor": ("UPDATE it SET actor = '8' WHERE id = 5", 5),
    "another session": ("UPDATE it SET session_id = 's2' WHERE id = 5", 5),
    "another address": ("UPDATE it SET address = '::2' WHERE id = 5", 5),
    "another action": ("UPDATE it SET action = 'things.see' WHERE id = 5", 5),
    "another subject": ("UPDATE it SET subject = 'thing:x' WHERE id = 5", 5),
    "another tenant": ("UPDATE it SET tenant_id = 99 WHERE id = 5", 5),
    "a microsecond later": ("UPDATE it SET at = at + interval '1 microsecond' WHERE id = 5", 5),
    "other details": ("UPDATE it SET details = '{\"n\":0}' WHERE id = 5", 5),
    "the same details, written otherwise": ("UPDATE it SET details = (details::text || ' ')::json WHERE id = 5", 5),
    "other details with their digest": (
        "UPDATE it SET details = '{}', digest = sha256('{}') WHERE id = 5",
        5,
    ),
    "another digest": ("UPDATE it SET digest = '\\x00' WHERE id = 5", 5),
    "another link": ("UPDATE it SET link = sha256('x') WHERE id = 5", 5),
    "text moved from one column to the next": (
        "UPDATE it SET action = subject, subject = action WHERE id = 5",
        5,
    ),
    "details erased in secret": ("UPDATE it SET details = '{}', erased = true WHERE id = 5", 5),
    "the first act deleted": ("DELETE FROM it WHERE id = 1", 1),
    "an act deleted": ("DELETE FROM it WHERE id = 5", 5),
    "an act deleted and the rest re-numbered": (
        "DELETE FROM it WHERE id = 5; UPDATE it SET id = id + 1000 WHERE id > 5; "
        "UPDATE it SET id = id - 1001 WHERE id > 5; UPDATE head SET last = last - 1",
        5,
    ),
    "two acts swapped": (
        "UPDATE it SET id = 1005 WHERE id = 5; UPDATE it SET id = 5 WHERE id = 6; UPDATE it SET id = 6 WHERE id = 1005",
        5,
    ),
    "the tail cut off": ("DELETE FROM it WHERE id > 9", 10),
    "the tail and the head cut off, but not the link": ("DELETE FROM it WHERE id > 9; UPDATE head SET last = 9", 9),
    "everything deleted": ("DELETE FROM it", 1),
    "an act put in behind": (f"INSERT INTO it (id, {REST}) SELECT 13, {REST} FROM it WHERE id = 12", 13),
    "an act put in far behind": (f"INSERT INTO it (id, {REST}) SELECT 99, {REST} FROM it WHERE id = 12", 13),
    "an act put in before the first": (f"INSERT INTO it (id, {REST}) SELECT 0, {REST} FROM it WHERE id = 1", 0),
    "the head's link changed": ("UPDATE head SET link = sha256('x')", 12),
    "the head put on": ("UPDATE head SET last = 20", 13),
    "the head set back": ("UPDATE head SET last = 11", 12),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def logs(cluster: EmbeddedPostgres) -> AsyncIterator[Neighbours]:
    """An operators' log and a tenant's with ACTS acts each."""
    async with neighbours(await new_database(cluster), tenants=1, pool_size=2) as one:
        [tenant] = one.tenants
        async with one.database.shared() as db:
            for number in range(2, ACTS + 1):
                details = {"n": number}
                await record(db, ANNA, "things.make", f"thing:{number}", tenant=tenant, details=details)
        assert [(await verdict_on(one.database, each)).acts for each in (None, tenant)] == [ACTS, ACTS]
        yield one


async def run(logs: Neighbours, sql: str, *, of_tenant: bool) -> None:
    tenant, table = (logs.tenants[0], "acts") if of_tenant else (None, "audit")
    async with as_owner(logs, tenant) as db:
        await db.execute(f"CREATE OR REPLACE VIEW it AS SELECT * FROM {table}")
        await db.execute(f"CREATE OR REPLACE VIEW head AS SELECT * FROM {table}_head")
        await db.execute(sql)
        await db.execute("DROP VIEW it, head")


@pytest.mark.parametrize("of_tenant", [False, True], ids=["operators", "tenant"])
@pytest.mark.parametrize("what", TAMPERED)
async def test_tampering_is_found_with_the_number_of_the_act(logs: Neighbours, what: str, of_tenant: bool) -> None:
    sql, number = TAMPERED[what]
    tenant = logs.tenants[0] if of_tenant else None
    before = await saved(logs, of_tenant)
    await run(logs, sql, of_tenant=of_tenant)
    verdict = await verdict_on(logs.database, tenant)
    await restore(logs, before, of_tenant)
    assert verdict.fault is not None
    assert verdict.broken_at == number, verdict.fault
    assert (await verdict_on(logs.database, tenant)).fault is None


async def saved(logs: Neighbours, of_tenant: bool) -> tuple[list[asyncpg.Record], asyncpg.Record]:
    tenant, table = (logs.tenants[0], "acts") if of_tenant else (None, "audit")
    async with as_owner(logs, tenant) as db:
        rows = await db.fetch(f"SELECT {COLUMNS} FROM {table}")
        head = await db.fetchrow(f"SELECT last, link FROM {table}_head")
        assert head is not None
        return rows, head


async def restore(logs: Neighbours, before: tuple[list[asyncpg.Record], asyncpg.Record], of_tenant: bool) -> None:
    tenant, table = (logs.tenants[0], "acts") if of_tenant else (None, "audit")
    rows, head = before
    places = ", ".join(f"${number}" for number in range(1, 13))
    async with as_owner(logs, tenant) as db:
        await db.execute(f"DELETE FROM {table}")
        await db.executemany(f"INSERT INTO {table} ({COLUMNS}) VALUES ({places})", [tuple(row) for row in rows])
        await db.execute(f"UPDATE {table}_head SET last = $1, link = $2", head["last"], head["link"])


async def test_log_made_anew_from_the_beginning_is_found_by_a_link_kept_elsewhere_alone(logs: Neighbours) -> None:
    """What nothing inside of the database can show: whoever may write everything computes the chain again."""
    [tenant] = logs.tenants
    anchor = (await verdict_on(logs.database, tenant)).link
    before = await saved(logs, True)
    async with as_owner(logs, tenant) as db:
        await db.execute("UPDATE acts SET actor = 'nobody' WHERE id = 5")
        link = b""
        for row in await db.fetch("SELECT *, details::text AS text FROM acts ORDER BY id"):
            link = sha256(link + text_of(row).encode()).digest()
            await db.execute("UPDATE acts SET link = $2 WHERE id = $1", row["id"], link)
        await db.execute("UPDATE acts_head SET link = $1", link)
    verdict = await verdict_on(logs.database, tenant, expect=anchor)
    await restore(logs, before, True)
    assert (verdict.fault, verdict.expected) == (None, None)
    assert (await verdict_on(logs.database, tenant, expect=anchor)).expected == ACTS


async def test_link_of_any_act_is_found_again_once_more_was_recorded(logs: Neighbours) -> None:
    [tenant] = logs.tenants
    before = await verdict_on(logs.database, tenant)
    async with logs.database.inside(tenant.scope) as db:
        await record_inside(db, ANNA, "things.make", "one more")
    after = await verdict_on(logs.database, tenant, expect=before.link)
    assert (after.fault, after.expected) == (None, before.acts)
    assert after.acts == before.acts + 1


async def test_erased_details_are_gone_and_the_chain_holds(cluster: EmbeddedPostgres) -> None:
    async with neighbours(await new_database(cluster), tenants=1, pool_size=2) as logs:
        [tenant] = logs.tenants
        async with logs.database.shared() as db:
            await record(db, ANNA, "person.seen", "person:1", tenant=tenant, details={"name": "Planted"})
            await record(db, ANNA, "person.seen", "person:2", tenant=tenant, details={"name": "Other"})
        for scope in (None, tenant.scope):
            async with logs.database.shared() as db, scoped(db, scope):
                table = "audit" if scope is None else "acts"
                ids = [row["id"] for row in await db.fetch(f"SELECT id FROM {table} WHERE subject = 'person:1'")]
                told = await erase_acts(db, "7", "s1", "::1", "person:1", ids)
                assert told is not None
                # Neither an act that is erased already nor the one that says so is touched again.
                assert await erase_acts(db, "7", "s1", "::1", "person:1", [*ids, told]) is None
        for each in (None, tenant):
            verdict = await verdict_on(logs.database, each)
            assert (verdict.fault, verdict.erased) == (None, 1)
            async with as_owner(logs, each) as db:
                texts = await db.fetch(f"SELECT a::text FROM {'audit' if each is None else 'acts'} a")
            assert not any("Planted" in row[0] for row in texts)
            assert any("Other" in row[0] for row in texts)
