"""The server's side, looked at behind its back: what stands in its tables, and what an operator may do to them."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg
import orjson

from server.db import Database
from server.db.connection import Row
from server.sync.epoch import begin_epoch
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from
from tests.conftest import Croft

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the log."""

    seq: int
    content: Data
    applied: Data | None
    effective_ms: int
    received_at: datetime
    outcome: tuple[str, str]


@dataclass
class ServerSide:
    """One tenant's log."""

    database: Database
    tenant: Tenant
    superuser_dsn: str
    opened: AsyncExitStack
    has_backup: bool = False

    @classmethod
    async def of(cls, croft: Croft, config_id: str, superuser_dsn: str) -> Self:
        opened = AsyncExitStack()
        database = await opened.enter_async_context(Database(croft.addresses.serving, size=1))
        async with database.shared() as db:
            row = await db.fetchrow(f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE config_id = $1", config_id)
        assert row is not None
        return cls(database, tenant_from(row), superuser_dsn, opened)

    async def close(self) -> None:
        await self.opened.aclose()

    async def entities(self) -> tuple[str, dict[str, Data]]:
        """The epoch and every entity as the protocol tells it, by guid."""
        async with self.database.inside(self.tenant.scope) as db:
            epoch = await db.fetchval("SELECT epoch FROM sync_head")
            rows = await db.fetch("SELECT * FROM entities")
        return epoch, {row["guid"]: _entity(row) for row in rows}

    async def was_ever_deleted(self, guid: str) -> bool:
        async with self.database.inside(self.tenant.scope) as db:
            return bool(await db.fetchval("SELECT deaths > 0 FROM entities WHERE guid = $1", guid))

    async def events(self) -> list[StoredEvent]:
        async with self.database.inside(self.tenant.scope) as db:
            rows = await db.fetch("SELECT * FROM events ORDER BY seq")
        return [_event(row) for row in rows]

    async def head(self) -> int:
        async with self.database.inside(self.tenant.scope) as db:
            return int(await db.fetchval("SELECT head FROM sync_head"))

    async def quarantine(self) -> list[tuple[str, str]]:
        """guid and code of each."""
        async with self.database.inside(self.tenant.scope) as db:
            rows = await db.fetch("SELECT guid, code FROM quarantine")
        return [(row["guid"], row["code"]) for row in rows]

    async def links(self) -> set[tuple[str, int, int, str]]:
        """epoch, first, last and hash of every push."""
        async with self.database.inside(self.tenant.scope) as db:
            rows = await db.fetch("SELECT epoch, first_seq, last_seq, link FROM pushes")
        return {(row["epoch"], row["first_seq"], row["last_seq"], row["link"].hex()) for row in rows}

    async def prove(self) -> None:
        """The chain is whole, and everything stands as a replay of the log says."""
        verdict = await verify_chain(lambda: self.database.inside(self.tenant.scope, readonly=True))
        assert verdict.fault is None, verdict.fault
        async with self.database.inside(self.tenant.scope) as db:
            found = await replay(db)
        assert found.is_right, found

    async def begin_epoch(self) -> None:
        async with self.database.inside(self.tenant.scope) as db:
            await begin_epoch(db)

    async def back_up(self) -> None:
        """Keeps all that stands in the tenant's tables now."""
        schema = self.tenant.scope.schema
        db = await asyncpg.connect(self.superuser_dsn)
        try:
            async with db.transaction():
                await db.execute(f'DROP SCHEMA IF EXISTS "backup_{schema}" CASCADE')
                await db.execute(f'CREATE SCHEMA "backup_{schema}"')
                for table in await _tables(db, schema):
                    await db.execute(f'CREATE TABLE "backup_{schema}"."{table}" AS TABLE "{schema}"."{table}"')
        finally:
            await db.close()
        self.has_backup = True

    async def restore(self) -> None:
        """Everything as it was kept last, in a new epoch."""
        schema = self.tenant.scope.schema
        db = await asyncpg.connect(self.superuser_dsn)
        try:
            async with db.transaction():
                await db.execute("SET LOCAL session_replication_role = replica")
                for table in await _tables(db, schema):
                    await db.execute(f'DELETE FROM "{schema}"."{table}"')
                    await db.execute(
                        f'INSERT INTO "{schema}"."{table}" OVERRIDING SYSTEM VALUE'
                        f' SELECT * FROM "backup_{schema}"."{table}"'
                    )
        finally:
            await db.close()
        await self.begin_epoch()


async def _tables(db: "asyncpg.Connection[Any]", schema: str) -> list[str]:
    rows = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return [row["tablename"] for row in rows]


def _entity(row: Row) -> Data:
    return {
        "version": row["fed_seq"],
        "state": row["state"],
        "type": row["type"],
        "form": row["entity_name"] or row["type"],
        "name": row["name"],
        "externalId": row["external_id"],
        "data": orjson.loads(row["data"]),
        "memberIds": row["member_ids"],
        "parentIds": row["parent_ids"],
        "updated_ms": row["updated_ms"],
    }


def _event(row: Row) -> StoredEvent:
    return StoredEvent(
        seq=row["seq"],
        content={
            "guid": row["guid"],
            "entityGuid": row["entity_guid"],
            "type": row["type"],
            "data": orjson.loads(row["data"]),
            "timestamp": row["timestamp"],
            "userId": row["user_id"],
        },
        applied=None if row["applied"] is None else orjson.loads(row["applied"]),
        effective_ms=row["effective_ms"],
        received_at=row["received_at"],
        outcome=(row["outcome"], row["reason"]),
    )
