import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.audit import Author, record
from server.db import Database
from tests.conftest import Croft


@pytest_asyncio.fixture(loop_scope="session")
async def database(croft: Croft) -> AsyncIterator[Database]:
    async with Database(croft.addresses.serving, size=2) as database:
        yield database


async def acts(database: Database, subject: str) -> list[tuple[object, ...]]:
    async with database.shared(readonly=True) as db:
        sql = "SELECT actor, session_id, address, action, details::text FROM audit WHERE subject = $1 ORDER BY id"
        return [tuple(row) for row in await db.fetch(sql, subject)]


async def test_act_says_who_did_what_to_whom_from_where(database: Database) -> None:
    details = {"name": "O'Brien ☃", "list": [1, None, {"deep": True}]}
    async with database.shared() as db:
        await record(db, Author("7", "s1", "::1"), "things.make", "thing:1", details=details)
    [act] = await acts(database, "thing:1")
    assert act[:4] == ("7", "s1", "::1", "things.make")
    assert json.loads(str(act[4])) == details


async def test_act_that_is_rolled_back_leaves_no_trace(database: Database) -> None:
    async def fail_after_recording() -> None:
        async with database.shared() as db:
            await record(db, Author("7"), "things.make", "thing:2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_recording()
    assert await acts(database, "thing:2") == []


async def test_act_without_details_has_an_empty_object(database: Database) -> None:
    async with database.shared() as db:
        await record(db, Author("system"), "things.end", "thing:3")
    assert await acts(database, "thing:3") == [("system", "", "", "things.end", "{}")]
