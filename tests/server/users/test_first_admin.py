import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from server.auth.passwords import check_password
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.starting import Addresses
from server.users.first_admin import ensure_admin
from tests.conftest import PASSWORD, new_installation


@pytest_asyncio.fixture(loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """A database with the shared schema and nobody in it."""
    return await new_installation(cluster)


@pytest_asyncio.fixture(loop_scope="session")
async def database(addresses: Addresses) -> AsyncIterator[Database]:
    async with Database(addresses.serving, size=4) as database:
        yield database


async def accounts(addresses: Addresses) -> list[asyncpg.Record]:
    db = await asyncpg.connect(addresses.direct)
    try:
        return await db.fetch("SELECT email, role, password_hash FROM croft.users ORDER BY id")
    finally:
        await db.close()


async def test_first_admin_is_made_once_and_can_sign_in(database: Database, addresses: Addresses) -> None:
    assert await ensure_admin(database, " Boss@croft.test ", PASSWORD, cost=4)
    assert not await ensure_admin(database, "other@croft.test", PASSWORD, cost=4)
    [boss] = await accounts(addresses)
    assert (boss["email"], boss["role"]) == ("Boss@croft.test", "ADMIN")
    assert await check_password(PASSWORD, boss["password_hash"], cost=4)


async def test_several_processes_starting_at_once_make_one_admin(addresses: Addresses) -> None:
    async def start(number: int) -> bool:
        async with Database(addresses.serving, size=1) as database:
            return await ensure_admin(database, f"boss{number}@croft.test", PASSWORD, cost=4)

    assert sorted(await asyncio.gather(*(start(number) for number in range(6)))) == [False] * 5 + [True]
    assert len(await accounts(addresses)) == 1


async def test_account_of_that_address_becomes_admin_where_there_is_none(
    database: Database, addresses: Addresses
) -> None:
    async with database.shared() as db:
        await db.execute("INSERT INTO users (email, password_hash, role) VALUES ('BOSS@croft.test', 'x', 'USER')")
    assert await ensure_admin(database, "boss@croft.test", PASSWORD, cost=4)
    [boss] = await accounts(addresses)
    assert boss["role"] == "ADMIN"
    assert await check_password(PASSWORD, boss["password_hash"], cost=4)


async def test_first_admin_stands_on_the_record_as_the_servers_own_act(database: Database) -> None:
    await ensure_admin(database, "boss@croft.test", PASSWORD, cost=4)
    async with database.shared(readonly=True) as db:
        [act] = await db.fetch("SELECT actor, action, subject, details::text FROM audit")
        user_id = await db.fetchval("SELECT id FROM users")
    assert (act["actor"], act["action"], act["subject"]) == ("system", "users.create", f"user:{user_id}")
    assert PASSWORD not in act["details"]
