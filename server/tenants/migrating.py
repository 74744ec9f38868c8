"""Bringing the schemas of all tenants up to date: each in a transaction of its own, several at a time.

A run that is broken off leaves every tenant either as it was or up to date, and the next one goes on with the rest.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import asyncpg

from server.db import Database, Scope, scoped
from server.db.migrations import Migration, apply_migrations, tenant_migrations
from server.db.pool import Limits
from server.tenants import queries
from server.tenants.model import Tenant

_NO_LIMIT = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A tenant that could not be migrated and stands where it stood before."""

    config_id: str
    tenant_id: int
    error: str


@dataclass(frozen=True, slots=True)
class Progress:
    """One more tenant is through: the `done`-th of `total`; `failure` says what went wrong with it, if anything."""

    done: int
    total: int
    config_id: str
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a run did. Tenants that had nothing to do are in neither list."""

    migrated: tuple[str, ...]
    failures: tuple[Failure, ...]


async def migrate_tenants(
    dsn: str,
    *,
    parallel: int = 4,
    progress: Callable[[Progress], None] | None = None,
    lock_timeout: float = 10.0,
    migrations: Sequence[Migration] | None = None,
) -> MigrationReport:
    """Migrates every tenant that is behind, suspended and deleted ones included; one query finds them.

    `dsn` must not lead through a PgBouncer. `lock_timeout` is in seconds and for each lock. A tenant that fails is
    reported and does not stop the others. `migrations` replaces the server's own.
    """
    wanted = tenant_migrations() if migrations is None else migrations
    limits = Limits(statement_seconds=_NO_LIMIT, lock_seconds=lock_timeout)
    async with Database(dsn, size=parallel, prepared_statements=False, limits=limits) as database:
        async with database.shared(readonly=True) as db:
            tenants = await queries.list_tenants_behind(db, wanted[-1].id if wanted else "")
            owner = await queries.owner_role(db)
        return await _Run(database, wanted, owner, tenants, progress).finish(parallel)


class _Run:
    """The tenants of one run, shared out among workers."""

    def __init__(
        self,
        database: Database,
        migrations: Sequence[Migration],
        owner: str,
        tenants: list[Tenant],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._database = database
        self._migrations = migrations
        self._owner = owner
        self._waiting: Iterator[Tenant] = iter(tenants)
        self._total = len(tenants)
        self._progress = progress
        self._migrated: list[str] = []
        self._failures: list[Failure] = []

    async def finish(self, parallel: int) -> MigrationReport:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(parallel, self._total)):
                workers.create_task(self._work())
        return MigrationReport(tuple(self._migrated), tuple(self._failures))

    async def _work(self) -> None:
        for tenant in self._waiting:
            failure = None
            try:
                await self._migrate(tenant)
                self._migrated.append(tenant.config_id)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                failure = Failure(tenant.config_id, tenant.id, str(error) or type(error).__name__)
                self._failures.append(failure)
            if self._progress is not None:
                done = len(self._migrated) + len(self._failures)
                self._progress(Progress(done, self._total, tenant.config_id, failure))

    async def _migrate(self, tenant: Tenant) -> None:
        async with self._database.shared() as db:
            await queries.lock_schema(db, tenant.id)
            async with scoped(db, Scope(tenant.schema, self._owner)):
                await apply_migrations(db, self._migrations, {"role": tenant.role})
            await queries.set_schema_version(db, tenant.id, self._migrations[-1].id)
