"""One tenant on its way: what every step of it works with."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

import asyncpg

from server.audit import COMMAND_LINE, Author
from server.db import Connection, Database
from server.kit.clock import utc_now
from server.moving_in.datacollect.accounts import Access, Taken
from server.moving_in.datacollect.mapping import ConfigRow
from server.moving_in.datacollect.reading import Source
from server.moving_in.datacollect.report import Finding, Heading, Report
from server.sync.push import Source as Pusher
from server.vault import Keyring

DEVICE: Final = "datacollect-import"
"""The device that events taken over are from, as the log sees it."""

BATCH: Final = 2_000
BATCH_BYTES: Final = 8 * 1024 * 1024
NO_LIMIT: Final = 0.0

_ATTEMPTS: Final = 5
_PASSING = (
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)


class Progress(Protocol):
    """What is told while it lasts."""

    def begin(self, tenant: str, step: str, total: int) -> None:
        """A step of a tenant begins; `total` is how many rows it has, 0 where that is not known."""

    def advance(self, rows: int) -> None:
        """So many more rows of it are done."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of the other server is wanted, and how.

    `tenants` is empty for all. `configs` are documents to take instead of those there, by their id. `tolerance` is how
    far ahead of their arrival events may be. `keyring` seals the secrets in configs.
    """

    tenants: tuple[str, ...]
    operators: frozenset[str]
    access: Access
    configs: Mapping[str, dict[str, Any]]
    tolerance: timedelta
    keyring: Keyring
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class OneTenant:
    """The tenant of one app config. `refused` collects the entities about which an event could not be taken."""

    source: Source
    database: Database
    wishes: Wishes
    report: Report
    progress: Progress
    config: ConfigRow
    author: Author = field(default_factory=lambda: Author(COMMAND_LINE))
    refused: set[str] = field(default_factory=set)

    @property
    def counts(self) -> Counter[str]:
        """How much of each was taken."""
        return self.report.counts[self.config.id]

    def begin(self, step: str, table: str) -> None:
        """Tells that a step begins which goes through the tenant's rows of the table."""
        self.progress.begin(self.config.id, step, self.source.count(table, self.config.id))

    def count(self, **numbers: int) -> None:
        """Adds to the counts."""
        for name, number in numbers.items():
            self.counts[name] += number

    def note(self, heading: Heading, reason: str, table: str, row: str = "", path: str = "", detail: str = "") -> None:
        """Adds a finding about the tenant to the report."""
        self.report.add(Finding(heading, reason, self.config.id, table, row, path, detail))

    def pusher(self) -> Pusher:
        """Who pushes now."""
        return Pusher(self.author.account, DEVICE, utc_now())

    @asynccontextmanager
    async def reading(self, taken: Taken) -> AsyncIterator[Connection]:
        """A transaction that only reads in the tenant's schema."""
        async with self.database.inside(taken.tenant.scope, readonly=True, patience=NO_LIMIT) as db:
            yield db

    async def inside(self, taken: Taken, work: Callable[[Connection], Awaitable[None]]) -> None:
        """Does work in a transaction in the tenant's schema; does it again where others were in its way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self.database.inside(taken.tenant.scope, patience=NO_LIMIT) as db:
                    await work(db)
                    return
            except _PASSING:
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * attempt)
