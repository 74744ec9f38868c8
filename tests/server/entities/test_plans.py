"""How the database goes about lists: by an index, whatever is stored."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from server.db import Connection, Scope, scoped
from server.duplicates.queries import list_open_pairs
from server.entities import queries
from server.entities.names import name_parts
from server.entities.queries import Filters, Window
from tests.conftest import Croft
from tests.explaining import Explaining

ROWS = 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(croft: Croft) -> AsyncIterator[Connection]:
    """A schema with many entities, one in a thousand of them a group, and many pairs, few of them open."""
    tenant = await croft.tenant()
    db = await asyncpg.connect(croft.addresses.direct)
    await db.execute("BEGIN")
    found = await db.fetchrow(
        "SELECT schema_name, role_name, (SELECT owner_role FROM croft.installation) AS owner "
        "FROM croft.tenants WHERE config_id = $1",
        tenant.config_id,
    )
    assert found is not None
    async with scoped(db, Scope(found["schema_name"], found["role_name"])):
        await db.execute(
            """
            INSERT INTO entities (guid, state, type, name, entity_name, updated_ms, name_parts)
            SELECT md5(n::text), 'live', CASE WHEN n % 1000 = 0 THEN 'group' ELSE 'individual' END,
                   'Person ' || md5(n::text), 'form' || n % 50, n / 10, ARRAY['per', left(md5(n::text), 3)]
            FROM generate_series(1, $1::int) AS n
            """,
            ROWS,
        )
        await db.execute(
            """
            INSERT INTO duplicates (entity_guid, duplicate_guid, rule, state, found_at)
            SELECT md5(n::text), md5((n + 1)::text), '', CASE WHEN n % 100 = 0 THEN 'open' ELSE 'kept' END, now()
            FROM generate_series(1, $1::int - 1) AS n
            """,
            ROWS,
        )
    async with scoped(db, Scope(found["schema_name"], found["owner"])):
        await db.execute("ANALYZE entities, duplicates")
    async with scoped(db, Scope(found["schema_name"], found["role_name"])):
        yield db
    await db.execute("ROLLBACK")
    await db.close()


def rows_read(plan: str) -> int:
    """How many rows the deepest steps of the plan gave or threw away."""
    scans = re.findall(r"Scan.*?actual.*?rows=([\d.]+)", plan)
    removed = re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan)
    return int(sum(map(float, [*scans, *removed])))


ORDERS = ["lastUpdated asc", "lastUpdated desc", "name asc", "name desc"]
MIDDLE = {"lastUpdated": 1000, "name": "Person 8"}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_deep", [True, False])
async def test_page_is_read_from_the_index_of_its_order(full: Connection, order: str, is_deep: bool) -> None:
    db = Explaining(full)
    after = (MIDDLE[order.split()[0]], "m") if is_deep else None
    rows = await queries.list_entities(db, Filters(), Window(order, 101, after=after))  # type: ignore[arg-type]
    assert len(rows) == 101
    assert "Seq Scan" not in db.plan
    assert ("entities_updated" if "lastUpdated" in order else "entities_name") in db.plan
    assert rows_read(db.plan) <= 101, db.plan


@pytest.mark.parametrize("order", ORDERS)
async def test_search_for_a_rare_part_reads_only_the_names_that_hold_it(full: Connection, order: str) -> None:
    db = Explaining(full)
    filters = Filters(search="Person abc", name_parts=["abc", "per"])
    await queries.list_entities(db, filters, Window(order, 101))  # type: ignore[arg-type]
    assert "entities_name_parts" in db.plan
    assert rows_read(db.plan) < 100, db.plan


async def test_search_for_what_nearly_all_names_hold_reads_a_page(full: Connection) -> None:
    db = Explaining(full)
    filters = Filters(search="Person", name_parts=["per"])
    rows = await queries.list_entities(db, filters, Window("lastUpdated desc", 101))  # type: ignore[arg-type]
    assert len(rows) == 101
    assert "entities_updated" in db.plan
    assert rows_read(db.plan) <= 101, db.plan


async def test_search_for_two_letters_stops_when_the_page_is_full(full: Connection) -> None:
    db = Explaining(full)
    assert name_parts("so") == []
    rows = await queries.list_entities(db, Filters(search="so"), Window("name asc", 101))  # type: ignore[arg-type]
    assert len(rows) == 101
    assert rows_read(db.plan) <= 101, db.plan


async def test_recent_changes_are_read_from_the_index(full: Connection) -> None:
    db = Explaining(full)
    filters = Filters(updated_since_ms=ROWS // 10 - 5)
    rows = await queries.list_entities(db, filters, Window("lastUpdated desc", 101))  # type: ignore[arg-type]
    assert 0 < len(rows) < 101
    assert rows_read(db.plan) < 101, db.plan
    assert await queries.count_filtered(db, filters, 10_001) == len(rows)  # type: ignore[arg-type]
    assert rows_read(db.plan) < 101, db.plan


async def test_filtered_total_is_counted_no_further_than_its_bound(full: Connection) -> None:
    db = Explaining(full)
    assert await queries.count_filtered(db, Filters(type="individual"), 50) == 50  # type: ignore[arg-type]
    assert rows_read(db.plan) <= 60, db.plan


async def test_open_pairs_are_read_from_their_index(full: Connection) -> None:
    db = Explaining(full)
    rows = await list_open_pairs(db, "desc", 2**63 - 1, 0, 50)  # type: ignore[arg-type]
    assert len(rows) == 50
    assert "duplicates_open" in db.plan
    assert "Seq Scan" not in db.plan
