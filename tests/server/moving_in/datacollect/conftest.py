"""Empty installations to move into, and other servers to move from."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from server.db import Database, Scope, scoped
from server.db.embedded import EmbeddedPostgres
from server.db.scope import SHARED_SCHEMA
from server.starting import Addresses
from server.tenants.queries import owner_role
from tests.conftest import Croft, new_database, new_installation, small_config, start_croft
from tests.server.moving_in.datacollect.moving import Moved, move
from tests.server.moving_in.datacollect.reference import Reference, fill, reference_database


@dataclass
class House:
    """A server into which everything was moved once, with somebody's tenant `taken` in it before."""

    croft: Croft
    database: Database
    reference: Reference
    moved: Moved
    fingerprint: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(cluster: EmbeddedPostgres) -> AsyncIterator[House]:
    """To be looked at; a test that changes it takes what it changes for itself."""
    async with start_croft(await new_database(cluster)) as croft, reference_database(cluster) as reference:
        await croft.tenant(small_config("taken"))
        await fill(reference)
        fingerprint = await reference.fingerprint()
        async with Database(croft.addresses.serving, size=4) as database:
            moved = await move(reference, database)
            yield House(croft, database, reference, moved, fingerprint)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """An installation for the tests of a module."""
    return await new_installation(cluster)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _database(addresses: Addresses) -> AsyncIterator[Database]:
    async with Database(addresses.serving, size=4) as database:
        yield database


@pytest_asyncio.fixture(loop_scope="session")
async def database(_database: Database) -> Database:
    """Its database, without tenants and accounts."""
    async with _database.shared() as db, scoped(db, Scope(SHARED_SCHEMA, await owner_role(db))):
        await db.execute("TRUNCATE tenants, users, audit, former_config_ids CASCADE")
    return _database


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _references(cluster: EmbeddedPostgres) -> AsyncIterator[tuple[Reference, Reference]]:
    async with reference_database(cluster) as earlier, reference_database(cluster, later=True) as later:
        yield earlier, later


@pytest_asyncio.fixture(loop_scope="session")
async def reference(_references: tuple[Reference, Reference]) -> Reference:
    """Another server without anything in it."""
    await _references[0].clear()
    return _references[0]


@pytest_asyncio.fixture(loop_scope="session")
async def later_reference(_references: tuple[Reference, Reference]) -> Reference:
    """Another server of a later version, without anything in it."""
    await _references[1].clear()
    return _references[1]
