"""Databases with tenants beside each other, directly and behind PgBouncer."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from server.starting import Addresses
from tests.conftest import new_database
from tests.isolation.neighbours import Neighbours, database_name, neighbours
from tests.isolation.pgbouncer import find_pgbouncer, running_pgbouncer


@dataclass(frozen=True, slots=True)
class Bouncer:
    """A PgBouncer and the PostgreSQL behind it."""

    postgres: EmbeddedPostgres
    port: int

    async def new_database(self) -> Addresses:
        """An empty database: served through PgBouncer, installed and migrated past it."""
        addresses = await new_database(self.postgres)
        serving = f"postgresql://croft@127.0.0.1:{self.port}/{database_name(addresses)}"
        return Addresses(serving, addresses.direct)


@pytest.fixture(scope="session")
def bouncer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bouncer]:
    """A PgBouncer of this test process alone."""
    program = find_pgbouncer()
    directory: Path = tmp_path_factory.mktemp("pgbouncer")
    with (
        EmbeddedPostgres(directory / "home", durable=False, tcp=True) as postgres,
        running_pgbouncer(program, postgres, directory) as port,
    ):
        yield Bouncer(postgres, port)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(cluster: EmbeddedPostgres) -> AsyncIterator[Neighbours]:
    """Two tenants; one connection, so that whatever a transaction leaves behind meets the next one."""
    async with neighbours(await new_database(cluster), tenants=2, pool_size=1) as two:
        yield two
