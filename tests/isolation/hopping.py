"""Many tasks that hop between tenants on few connections, broken off at any moment, and what they must never see."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from uuid import uuid4

import asyncpg

from server.db import Connection, Database, Scope, scoped
from server.db.scope import quoted
from server.tenants.model import Tenant
from tests.isolation.neighbours import PLANTED, Neighbours

_GIVEN_UP_WITHIN_SECONDS = 0.02


class WrongRow(AssertionError):
    """A transaction saw, or wrote, what is not its tenant's."""


class _Fault(Exception):
    """A handler that fails."""


@dataclass
class Ledger:
    """What was written where, by config id: certainly, or perhaps because it was broken off."""

    written: dict[str, set[str]] = field(default_factory=dict)
    perhaps: dict[str, set[str]] = field(default_factory=dict)
    visits: int = 0
    given_up: int = 0
    failed: int = 0
    refused: int = 0


Visit = Callable[["Hopper", Tenant], Awaitable[None]]


class Hopper:
    """One task: visits tenants in a random order, each time for a transaction of a random kind."""

    def __init__(self, neighbours: Neighbours, ledger: Ledger, seed: int) -> None:
        self.database: Database = neighbours.database
        self.tenants = neighbours.tenants
        self.random = Random(seed)
        self._ledger = ledger

    async def hop(self, visits: int) -> None:
        for _ in range(visits):
            tenant = self.random.choice(self.tenants)
            visit = self.random.choice(_VISITS)
            self._ledger.visits += 1
            try:
                if self.random.random() < 0.25:
                    async with asyncio.timeout(self.random.uniform(0, _GIVEN_UP_WITHIN_SECONDS)):
                        await visit(self, tenant)
                else:
                    await visit(self, tenant)
            except TimeoutError:
                self._ledger.given_up += 1
            except (_Fault, asyncpg.DivisionByZeroError):
                self._ledger.failed += 1
            except asyncpg.QueryCanceledError:
                # A cancellation that PostgreSQL got too late meets whatever runs by then. That is no wrong row.
                self._ledger.given_up += 1

    def other_than(self, tenant: Tenant) -> Tenant:
        """A neighbour."""
        return self.random.choice([each for each in self.tenants if each != tenant])

    def new_guid(self, tenant: Tenant) -> str:
        """A row about to be written; it is there for certain once `wrote` is told so."""
        guid = f"{tenant.config_id}-{uuid4()}"
        self._ledger.perhaps.setdefault(tenant.config_id, set()).add(guid)
        return guid

    def wrote(self, tenant: Tenant, guid: str) -> None:
        """The row was committed."""
        self._ledger.perhaps[tenant.config_id].discard(guid)
        self._ledger.written.setdefault(tenant.config_id, set()).add(guid)

    def undid(self, tenant: Tenant, guid: str) -> None:
        """The row was rolled back."""
        self._ledger.perhaps[tenant.config_id].discard(guid)

    def was_refused(self) -> None:
        """A statement that names a neighbour's schema was."""
        self._ledger.refused += 1


async def look(db: Connection, tenant: Tenant) -> None:
    """Reads all of the tenant's rows by statements that name no schema; every one must be the tenant's own."""
    names = await db.fetch("SELECT DISTINCT name FROM entities")
    if [row["name"] for row in names] != [tenant.config_id]:
        raise WrongRow(f"{tenant.config_id} sees {names}")
    planted = await db.fetchval("SELECT count(*) FROM entities WHERE guid = ANY($1)", _planted(tenant))
    if planted != PLANTED:
        raise WrongRow(f"{tenant.config_id} sees {planted} of its {PLANTED} first rows")
    place = await db.fetchrow("SELECT current_schema()::text AS schema, current_user::text AS role")
    if place is None or Scope(place["schema"], place["role"]) != tenant.scope:
        raise WrongRow(f"{tenant.config_id} is in {place}")


async def look_at_shared(db: Connection, tenant: Tenant) -> None:
    """Reads the tenant's row in the shared schema, as the login."""
    row = await db.fetchrow("SELECT config_id, current_user::text AS role FROM tenants WHERE id = $1", tenant.id)
    if row is None or row["config_id"] != tenant.config_id or row["role"] != "croft":
        raise WrongRow(f"the shared schema shows {row} for {tenant.config_id}")


async def write(db: Connection, tenant: Tenant, guid: str) -> None:
    """Adds a row, to whatever schema the transaction is in."""
    await db.execute("INSERT INTO entities (guid, name) VALUES ($1, $2)", guid, tenant.config_id)


async def _reads(hopper: Hopper, tenant: Tenant) -> None:
    async with hopper.database.inside(tenant.scope, readonly=True) as db:
        await look(db, tenant)


async def _writes(hopper: Hopper, tenant: Tenant) -> None:
    guid = hopper.new_guid(tenant)
    async with hopper.database.inside(tenant.scope) as db:
        await write(db, tenant, guid)
        await look(db, tenant)
    hopper.wrote(tenant, guid)


async def _fails(hopper: Hopper, tenant: Tenant) -> None:
    guid = hopper.new_guid(tenant)
    try:
        async with hopper.database.inside(tenant.scope) as db:
            await write(db, tenant, guid)
            raise _Fault
    finally:
        hopper.undid(tenant, guid)


async def _is_failed_by_the_database(hopper: Hopper, tenant: Tenant) -> None:
    guid = hopper.new_guid(tenant)
    try:
        async with hopper.database.inside(tenant.scope) as db:
            await write(db, tenant, guid)
            await db.fetchval("SELECT 1 / (count(*) - count(*)) FROM entities")
    finally:
        hopper.undid(tenant, guid)


async def _changes_its_mind(hopper: Hopper, tenant: Tenant) -> None:
    kept, undone = hopper.new_guid(tenant), hopper.new_guid(tenant)
    hopper.undid(tenant, undone)
    async with hopper.database.inside(tenant.scope) as db:
        await write(db, tenant, kept)
        await db.execute("SAVEPOINT here")
        with suppress(asyncpg.DivisionByZeroError):
            await write(db, tenant, undone)
            await db.execute("SELECT 1 / 0")
        await db.execute("ROLLBACK TO SAVEPOINT here")
        await look(db, tenant)
    hopper.wrote(tenant, kept)


async def _crosses(hopper: Hopper, tenant: Tenant) -> None:
    """From the shared schema into one tenant, from there into another, and back the whole way."""
    other = hopper.other_than(tenant)
    guid = hopper.new_guid(tenant)
    async with hopper.database.shared() as db:
        await look_at_shared(db, tenant)
        async with scoped(db, tenant.scope):
            with suppress(_Fault):
                async with scoped(db, other.scope):
                    await look(db, other)
                    raise _Fault
            await write(db, tenant, guid)
            await look(db, tenant)
        await look_at_shared(db, other)
    hopper.wrote(tenant, guid)


async def _trespasses(hopper: Hopper, tenant: Tenant) -> None:
    other = hopper.other_than(tenant)
    try:
        async with hopper.database.inside(tenant.scope) as db:
            await db.execute(f"SELECT count(*) FROM {quoted(other.schema)}.entities")
        raise WrongRow(f"{tenant.config_id} reads {other.config_id}")
    except asyncpg.InsufficientPrivilegeError:
        hopper.was_refused()


_VISITS: tuple[Visit, ...] = (
    _reads,
    _writes,
    _fails,
    _is_failed_by_the_database,
    _changes_its_mind,
    _crosses,
    _trespasses,
)


def _planted(tenant: Tenant) -> list[str]:
    return [f"{tenant.config_id}-{number}" for number in range(1, PLANTED + 1)]


async def hop_about(neighbours: Neighbours, *, tasks: int, visits: int) -> Ledger:
    """Lets the tasks hop, each for so many visits. Raises WrongRow as soon as one sees one."""
    ledger = Ledger()
    async with asyncio.TaskGroup() as group:
        for seed in range(tasks):
            group.create_task(Hopper(neighbours, ledger, seed).hop(visits))
    return ledger


async def check_ledger(neighbours: Neighbours, ledger: Ledger) -> None:
    """Every row stands where it was written: all that is certain, of the rest only what was broken off."""
    for tenant in neighbours.tenants:
        async with neighbours.database.inside(tenant.scope) as db:
            await look(db, tenant)
            stored = {row["guid"] for row in await db.fetch("SELECT guid FROM entities")} - set(_planted(tenant))
        certain, perhaps = (told.get(tenant.config_id, set()) for told in (ledger.written, ledger.perhaps))
        if not certain <= stored <= certain | perhaps:
            raise WrongRow(f"{tenant.config_id} lacks {certain - stored} and has {stored - certain - perhaps}")
