"""Looking for pairs beside pushes, pulls and new rules: nobody waits in a circle, and nothing settled comes back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from server.db import Connection, Database, Scope
from server.duplicates.finding import catch_up, catch_up_aside, load_and_find_pairs, rescan
from server.duplicates.gate import blocking
from server.duplicates.queries import lock_progress
from server.kit.clock import utc_now
from server.sync.queries import begin_push, note_pull
from server.sync.seeding import load_events
from server.tenants.lifecycle import get_tenant
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import Json, event, person, push

PAIRS = "/api/potential-duplicates"
ALWAYS = '{"blockSync": true}'


@dataclass
class Room:
    """A tenant and a way into its schema, in several transactions at a time."""

    tenant: TenantHandle
    database: Database
    scope: Scope

    def inside(self) -> Any:
        return self.database.inside(self.scope)

    async def load(self, *events: Json) -> None:
        async with self.inside() as db:
            await load_events(db, events, account="1", at=utc_now())

    async def look(self) -> None:
        async with self.inside() as db:
            assert await catch_up(db, utc_now())

    async def fetchval(self, sql: str) -> Any:
        async with self.inside() as db:
            return await db.fetchval(sql)


@pytest_asyncio.fixture
async def room(croft: Croft) -> AsyncIterator[Room]:
    tenant = await croft.tenant()
    async with Database(croft.addresses.serving, size=8) as database:
        async with database.shared() as db:
            scope = (await get_tenant(db, tenant.config_id)).scope
        yield Room(tenant, database, scope)


def twin(guid: str) -> Json:
    return person("Fatuma Hassan", guid=guid, dateOfBirth="1990-03-17")


def kept(one: str, other: str) -> Json:
    return event(
        "resolve-duplicate",
        one,
        {"duplicates": [{"entityGuid": one, "duplicateGuid": other}], "shouldDelete": False},
    )


async def waiting(room: Room, number: int, *, unless: asyncio.Task[Any] | None = None) -> None:
    """Returns when so many wait for a lock, or the task has come to its end."""
    async with asyncio.timeout(20), room.database.shared() as db:
        while unless is None or not unless.done():
            if await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") >= number:
                return


async def test_pair_that_a_device_settled_just_before_the_rules_changed_stays_settled(room: Room) -> None:
    await room.load(twin("one"), twin("other"))
    await room.look()
    await room.load(kept("one", "other"))
    async with room.inside() as db:
        await rescan(db, utc_now())
    await room.look()
    assert await room.fetchval("SELECT state FROM duplicates") == "kept"


async def test_who_has_nothing_left_to_look_for_waits_for_nobody(room: Room) -> None:
    await room.load(twin("one"), twin("other"))
    await room.look()
    async with room.inside() as db, room.inside() as beside, asyncio.timeout(5):
        await lock_progress(db)
        assert await catch_up(beside, utc_now())
        assert await catch_up_aside(beside, utc_now())


class Watched:
    """A connection that tells before each statement what it is."""

    def __init__(self, db: Connection, watch: Any) -> None:
        self._db, self._watch = db, watch

    def __getattr__(self, name: str) -> Any:
        run = getattr(self._db, name)

        async def watched(query: str, *values: Any) -> Any:
            await self._watch(query)
            return await run(query, *values)

        return watched


async def test_events_of_the_server_come_beside_a_pull_and_a_push_of_one_device(room: Room) -> None:
    await room.load(person("Ann", guid="ann"))
    async with room.inside() as db:
        await db.execute("DELETE FROM settings WHERE name = 'duplicates'")
        await db.execute("INSERT INTO settings (name, value) VALUES ('duplicates', $1::text::jsonb)", ALWAYS)

    async def pull() -> None:
        async with room.inside() as db:
            await blocking(db, utc_now())
            await note_pull(db, "a phone", "1", utc_now(), 1)

    async def push_of_device(has_begun: asyncio.Event) -> None:
        async with room.inside() as db:
            await begin_push(db, [], account="1", device_id="a phone", at=utc_now())
            has_begun.set()
            await waiting(room, 1)
            await load_events(db, [event("update-individual", "ann", {"village": "Kibera"})], account="1", at=utc_now())

    async def work(group: asyncio.TaskGroup) -> None:
        has_begun = asyncio.Event()

        async def watch(query: str) -> None:
            if "duplicates_progress FOR UPDATE" in query and not has_begun.is_set():
                group.create_task(push_of_device(has_begun))
                await has_begun.wait()
                group.create_task(pull())
                await waiting(room, 1)

        async with room.inside() as db:
            connection: Any = Watched(db, watch)
            change = event("update-individual", "ann", {"village": "Mathare"})
            await load_and_find_pairs(connection, [change], account="1", at=utc_now())

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(work(group))
    assert await room.fetchval("SELECT head FROM sync_head") == 3


async def test_two_who_delete_one_record_of_a_pair_each_leave_one(room: Room) -> None:
    await push(room.tenant, twin("one"), twin("other"))

    async def delete(one: str, other: str) -> int:
        answer = await room.tenant.api.post(
            f"{PAIRS}/resolve",
            json={
                "newItem": one,
                "existingItem": other,
                "shouldDeleteNewItem": True,
                "configId": room.tenant.config_id,
            },
        )
        return int(answer.status_code)

    async with room.inside() as db:
        await db.execute("SELECT FROM entities WHERE guid IN ('one', 'other') ORDER BY guid FOR UPDATE")
        first = asyncio.create_task(delete("one", "other"))
        await waiting(room, 1)
        second = asyncio.create_task(delete("other", "one"))
        await waiting(room, 2)
    assert sorted([await first, await second]) == [200, 409]
    assert await room.fetchval("SELECT count(*) FROM entities WHERE state = 'live'") == 1
