"""Connections shared by many tasks and tenants, directly and through PgBouncer in transaction mode."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from tests.conftest import new_database
from tests.isolation.conftest import Bouncer
from tests.isolation.hopping import Ledger, WrongRow, check_ledger, hop_about, look
from tests.isolation.neighbours import NAMES, Neighbours, neighbours
from tests.isolation.pgbouncer import SERVER_CONNECTIONS

TASKS = 50
VISITS = 80


@pytest_asyncio.fixture(loop_scope="session")
async def direct(cluster: EmbeddedPostgres) -> AsyncIterator[Neighbours]:
    async with neighbours(await new_database(cluster), tenants=len(NAMES), pool_size=3) as several:
        yield several


@pytest_asyncio.fixture(loop_scope="session")
async def bounced(bouncer: Bouncer) -> AsyncIterator[Neighbours]:
    """More connections to PgBouncer than it has to PostgreSQL, so that it moves them about too."""
    async with neighbours(
        await bouncer.new_database(), tenants=len(NAMES), pool_size=20, prepared_statements=False
    ) as several:
        yield several


def check_that_all_happened(ledger: Ledger) -> None:
    assert ledger.visits == TASKS * VISITS
    assert min(ledger.given_up, ledger.failed, ledger.refused) > 100
    assert all(len(ledger.written[name]) > 100 for name in NAMES)


async def test_tasks_that_hop_between_tenants_on_three_connections_never_see_a_wrong_row(direct: Neighbours) -> None:
    ledger = await hop_about(direct, tasks=TASKS, visits=VISITS)
    await check_ledger(direct, ledger)
    check_that_all_happened(ledger)


@pytest.mark.pgbouncer
async def test_tasks_that_hop_through_pgbouncer_never_see_a_wrong_row(bounced: Neighbours) -> None:
    ledger = await hop_about(bounced, tasks=TASKS, visits=VISITS)
    await check_ledger(bounced, ledger)
    check_that_all_happened(ledger)


@pytest.mark.pgbouncer
async def test_clients_of_pgbouncer_really_share_its_connections(bounced: Neighbours) -> None:
    await hop_about(bounced, tasks=TASKS, visits=2)
    direct = await asyncpg.connect(bounced.addresses.direct)
    try:
        behind = await direct.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await direct.close()
    assert 0 < behind <= SERVER_CONNECTIONS < bounced.database.pool.get_size()


async def test_wrong_row_would_be_noticed(direct: Neighbours) -> None:
    north, south = direct.tenants[:2]
    async with direct.database.inside(north.scope) as db:
        with pytest.raises(WrongRow):
            await look(db, south)
        await db.execute("INSERT INTO entities (guid, name) VALUES ('stray', $1)", south.config_id)
        with pytest.raises(WrongRow):
            await look(db, north)
        await db.execute("DELETE FROM entities WHERE guid = 'stray'")
        await look(db, north)
