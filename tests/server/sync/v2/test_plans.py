"""How the database reads for new clients: a bounded part by an index, however much is stored."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from server.db import Scope
from server.sync.v2 import queries
from server.sync.v2.queries import Span, Wanted
from tests.explaining import Explaining
from tests.server.sync.conftest import AT, Log

ROWS = 30_000
WINDOW = 1_000
LIMIT = 100


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(shared_log: Log) -> AsyncIterator[Log]:
    """A long log: each entity has ten events, half of the entities are deleted, one form in a hundred is rare."""
    await shared_log.empty()
    async with shared_log.inside() as db:
        await db.execute(
            """
            INSERT INTO events (seq, guid, entity_guid, type, data, timestamp, timestamp_ms, effective_ms, user_id,
                                account, device_id, received_at, digest, outcome)
            SELECT n, md5(n::text), md5((n / 10)::text), 'update-individual', '{"a": 1}', '', 0, 0, '', 'ann', 'phone',
                   now(), '', 'applied'
            FROM generate_series(1, $1::int) AS n
            """,
            ROWS,
        )
        await db.execute("INSERT INTO mentions SELECT entity_guid, seq FROM events")
        await db.execute("INSERT INTO mentions SELECT 'the camp', seq FROM events")
        await db.execute(
            """
            INSERT INTO entities (guid, state, entity_name, updated_ms, fed_seq)
            SELECT entity_guid, CASE WHEN max(seq) % 20 < 10 THEN 'live' ELSE 'deleted' END,
                   CASE WHEN max(seq) % 1000 < 10 THEN 'rare' ELSE 'usual' END, max(seq), max(seq)
            FROM events GROUP BY entity_guid
            """
        )
        await db.execute("UPDATE sync_head SET head = $1", ROWS)
    async with shared_log.database.inside(Scope(shared_log.scope.schema, shared_log.owner)) as db:
        await db.execute("ANALYZE events, mentions, entities")
    yield shared_log
    await shared_log.empty()


def most_rows_read(plan: str) -> int:
    """How many rows the greediest scan of a table gave or threw away."""
    steps = re.split(r"\n\s*->", plan)
    scans = [step for step in steps if re.search(r"Scan.* on (events|entities|mentions)", step)]
    return max(
        (
            int(float(found[1])) * int(found[2]) + sum(map(int, re.findall(r"Removed by Filter: (\d+)", step)))
            for step in scans
            if (found := re.search(r"actual.*?rows=([\d.]+) loops=(\d+)", step))
        ),
        default=0,
    )


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("ann", "tablet"),
        Wanted("ann", "tablet", entities=True),
        Wanted("ann", "tablet", events=False, entities=True),
        Wanted("ann", "tablet", entities=True, form="rare"),
        Wanted("ann", "tablet", entities=True, form="unknown"),
        Wanted("ann", "tablet", events=False, entities=True, form="unknown"),
        Wanted("ann", "phone", entities=True, others=True),
        Wanted("ann", "tablet", entities=True, entity="the camp"),
        Wanted("ann", "tablet", entities=True, entity="the camp", form="unknown"),
        Wanted("ann", "phone", entity="the camp", others=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("after", [0, ROWS // 2])
async def test_part_of_the_log_is_read_without_looking_at_the_rest(full: Log, wanted: Wanted, after: int) -> None:
    window = LIMIT if wanted.through == "log" else WINDOW
    span = Span(None, after, 2**62, LIMIT, window, 1 << 23)
    async with full.inside() as db:
        explaining: Any = Explaining(db)
        await queries.read_part(explaining, wanted, span, AT)
        assert 0 < most_rows_read(explaining.plan) <= WINDOW, explaining.plan
        assert "Seq Scan on e" not in explaining.plan, explaining.plan
        assert "Gather" not in explaining.plan, explaining.plan
        await queries.weigh_part(explaining, wanted, span)
        assert 0 < most_rows_read(explaining.plan) <= WINDOW, explaining.plan


@pytest.mark.parametrize("form", [None, "rare", "usual"])
@pytest.mark.parametrize("after", [(0, ""), (ROWS // 2, "x")])
async def test_piece_of_a_snapshot_is_read_without_looking_at_the_rest(
    full: Log, form: str | None, after: tuple[int, str]
) -> None:
    async with full.inside() as db:
        explaining: Any = Explaining(db)
        await queries.read_entities(explaining, after, LIMIT, 1 << 23, form)
        assert 0 < most_rows_read(explaining.plan) <= LIMIT, explaining.plan
        await queries.weigh_entities(explaining, after, LIMIT, 1 << 23, form)
        assert 0 < most_rows_read(explaining.plan) <= LIMIT, explaining.plan
