"""A log in a schema of its own on a real PostgreSQL, emptied for each use."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.db import Connection, Database, Scope, scoped
from server.db.connection import Row
from server.db.embedded import EmbeddedPostgres
from server.db.errors import TRY_AGAIN, problem_of
from server.db.installation import create_role, install
from server.db.migrations import apply_migrations, tenant_migrations
from server.sync.event import Event
from server.sync.fold import Entity
from server.sync.push import Pushed, Source, push
from server.sync.queries import list_all_entities
from server.sync.records import entity_from
from server.tenants import queries as tenants
from tests.conftest import new_database

BASE = 1_000
KEY = b"the key of this log"
AT = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
SOURCE = Source("ann@example.org", "a phone", AT)


@dataclass
class Log:
    """One log. `inside` gives a transaction in its schema."""

    database: Database
    scope: Scope
    owner: str

    def inside(self) -> AbstractAsyncContextManager[Connection]:
        return self.database.inside(self.scope)

    async def empty(self) -> None:
        """Takes it back to where it was when it was made."""
        async with self.database.inside(Scope(self.scope.schema, self.owner)) as db:
            for table in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", self.scope.schema):
                if table["tablename"] not in ("_migrations", "sync_head", "duplicates_progress", "acts_head"):
                    await db.execute(f'DELETE FROM "{table["tablename"]}"')
            await db.execute("UPDATE sync_head SET epoch = 'one', base = $1, head = 0, link = '', previous = ''", BASE)

    async def push(self, events: Sequence[Event], source: Source = SOURCE) -> Pushed:
        async with self.inside() as db:
            return await push(db, events, source)

    async def push_stubbornly(self, events: Sequence[Event], source: Source = SOURCE) -> Pushed:
        """Pushes as phones do: again, when the answer is that it may be tried again."""
        for _ in range(20):
            try:
                return await self.push(events, source)
            except asyncpg.PostgresError as error:
                problem = problem_of(error)
                if problem is None or problem.code != TRY_AGAIN.code:
                    raise
        raise AssertionError("was told to try again twenty times")

    async def push_at_once(self, batches: Sequence[Sequence[Event]], writers: int = 4) -> None:
        """Pushes the batches over several connections at the same time, each taking the next one left."""
        left = list(reversed(batches))

        async def write() -> None:
            while left:
                await self.push_stubbornly(left.pop())

        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(write())

    async def entities(self) -> dict[str, Entity]:
        async with self.inside() as db:
            return {row["guid"]: entity_from(row) for row in await list_all_entities(db)}

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        async with self.inside() as db:
            return await db.fetch(sql, *values)

    async def fetchval(self, sql: str, *values: object) -> Any:
        async with self.inside() as db:
            return await db.fetchval(sql, *values)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_log(cluster: EmbeddedPostgres) -> AsyncIterator[Log]:
    """The one log of this test process: empty it before use."""
    addresses = await new_database(cluster)
    db = await asyncpg.connect(addresses.direct)
    try:
        async with db.transaction():
            await install(db, serving="croft")
            role = await create_role(db, "t_log", grant_to="croft")
            owner = await tenants.owner_role(db)
            async with scoped(db, Scope("t_log", owner)):
                await tenants.create_schema(db, "t_log", owner, role)
                await apply_migrations(db, tenant_migrations(), {"role": role})
                await tenants.insert_head(db, "one", BASE, KEY)
    finally:
        await db.close()
    async with Database(addresses.serving, size=6) as database:
        yield Log(database, Scope("t_log", role), owner)


@pytest.fixture
async def log(shared_log: Log) -> Log:
    """An empty log."""
    await shared_log.empty()
    return shared_log
