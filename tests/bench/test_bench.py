"""What the figures of the benchmark rest on: both sides write and read the same."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from server.db import Scope
from server.db.embedded import EmbeddedPostgres
from server.db.scope import enter_statement, quoted
from server.sync.rebuilding import rebuild
from tests.bench.connection import Connection, connected
from tests.bench.fill import Filling
from tests.bench.floor_push import FloorPush
from tests.bench.floor_read import BEGINNING, ENTITIES, EVENTS, FEED, FloorReader, FloorServer
from tests.bench.likeness import check_likeness, tables_of
from tests.bench.load import V1, V2, HttpLoad
from tests.bench.memory import footprint
from tests.bench.people import MARKER
from tests.bench.reading import NDJSON, HttpReader
from tests.bench.rounds import Rounds
from tests.bench.servers import Tenant
from tests.bench.timing import Run
from tests.conftest import Croft, TenantHandle

PEOPLE = 24
WORK_DONE = {"duplicates_progress"}
OF_ONE_LOG = {"epoch", "base", "link", "previous", "carrier_key", "cluster"}


def superuser_dsn(croft: Croft, cluster: EmbeddedPostgres) -> str:
    return cluster.superuser_dsn(urlsplit(croft.addresses.direct).path.removeprefix("/"))


async def token_of(tenant: TenantHandle) -> str:
    """The token of a member: what an operator asks for goes on record, too."""
    return str((await tenant.caller("admin")).headers["Authorization"].removeprefix("Bearer "))


@asynccontextmanager
async def floor_reader(dsn: str, scope: Scope) -> AsyncIterator[FloorReader]:
    """A reader of the tenant's rows by way of a bare socket."""
    server = FloorServer(dsn)
    reader = FloorReader(await server.start(), scope)
    serving = asyncio.create_task(server.run())
    try:
        await reader.connect(2)
        yield reader
    finally:
        await reader.close()
        serving.cancel()
        await asyncio.wait([serving])
        await server.end()


@asynccontextmanager
async def http_reader(croft: Croft, tenant: TenantHandle) -> AsyncIterator[HttpReader]:
    """A reader of the tenant's rows by way of the server."""
    reader = HttpReader(croft.url, await token_of(tenant), tenant.config_id)
    try:
        yield reader
    finally:
        await reader.close()


async def scope_of(db: Connection, tenant: TenantHandle) -> Scope:
    row = await db.fetchrow(
        "SELECT schema_name, role_name FROM croft.tenants WHERE config_id = $1 AND state = 'active'", tenant.config_id
    )
    assert row is not None
    return Scope(row["schema_name"], row["role_name"])


async def new_scopes(croft: Croft, dsn: str) -> tuple[TenantHandle, Scope, Scope]:
    """A tenant for Croft and where its tables are, and those of one for the floor."""
    one, other = await croft.tenant(), await croft.tenant()
    async with connected(dsn) as db:
        return one, await scope_of(db, one), await scope_of(db, other)


async def push_to_both(croft: Croft, dsn: str, path: str) -> tuple[Scope, Scope]:
    """Pushes a few people in batches of four, and has the floor write them, too."""
    tenant, source, target = await new_scopes(croft, dsn)
    load, floor = HttpLoad(croft.url, await token_of(tenant), dsn), FloorPush(croft.addresses.serving, dsn)
    await load.prepare([Tenant(tenant.config_id, source)], first=0, size=4, count=PEOPLE // 4, clients=1)
    pushed = await load.push(path)
    await floor.prepare([(source, target)], clients=1)
    written = await floor.push()
    await load.close()
    await floor.close()
    assert pushed.rows == written.rows == PEOPLE
    return source, target


async def contents(db: Connection, scope: Scope) -> dict[str, Counter[str]]:
    """Every row of every table, without what no two logs have in common."""
    rows = {}
    for table in set(await tables_of(db, scope)) - WORK_DONE:
        found = await db.fetch(f"SELECT * FROM {quoted(scope.schema)}.{quoted(table)}")
        rows[table] = Counter(str([(k, v) for k, v in row.items() if k not in OF_ONE_LOG]) for row in found)
    return rows


@pytest.mark.parametrize("path", [V1, V2])
async def test_floor_writes_the_very_rows_that_croft_wrote(croft: Croft, cluster: EmbeddedPostgres, path: str) -> None:
    dsn = superuser_dsn(croft, cluster)
    source, target = await push_to_both(croft, dsn, path)
    async with connected(dsn) as db:
        assert await contents(db, source) == await contents(db, target)
    rows = await check_likeness(dsn, source, target)
    assert rows["events"] == rows["mentions"] == rows["entities"] == PEOPLE
    assert rows["duplicate_keys"] == 2 * PEOPLE
    assert rows["duplicates"] == rows["quarantine"] == 0


async def test_floor_links_its_pushes_into_a_chain_as_croft_does(croft: Croft, cluster: EmbeddedPostgres) -> None:
    dsn = superuser_dsn(croft, cluster)
    async with connected(dsn) as db:
        for scope in await push_to_both(croft, dsn, V2):
            await db.execute(f"SET search_path = {quoted(scope.schema)}")
            links = await db.fetch(
                """
                SELECT link, sha256(coalesce(lag(link) OVER (ORDER BY last_seq), '') || int8send(first_seq)
                    || (SELECT string_agg(digest, '' ORDER BY seq) FROM events
                        WHERE seq BETWEEN first_seq AND last_seq)) AS right_link
                FROM pushes ORDER BY last_seq
                """
            )
            assert [row["link"] for row in links] == [row["right_link"] for row in links]
            head = await db.fetchrow("SELECT previous, link FROM sync_head")
            assert head is not None
            assert (head["previous"], head["link"]) == (links[-2]["link"], links[-1]["link"])


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM mentions WHERE seq = 3", "UPDATE entities SET name_parts = '{}'", "UPDATE sync_head SET head = 0"],
)
async def test_likeness_is_denied_where_the_floor_wrote_less_or_otherwise(
    croft: Croft, cluster: EmbeddedPostgres, change: str
) -> None:
    dsn = superuser_dsn(croft, cluster)
    source, target = await push_to_both(croft, dsn, V2)
    async with connected(dsn, search_path=quoted(target.schema)) as db:
        await db.execute(change)
    with pytest.raises(AssertionError):
        await check_likeness(dsn, source, target)


async def test_filled_tables_are_what_their_log_says(croft: Croft, cluster: EmbeddedPostgres) -> None:
    dsn = superuser_dsn(croft, cluster)
    _, source, target = await new_scopes(croft, dsn)
    async with connected(dsn, search_path=quoted(source.schema)) as db:
        before = await db.fetch("SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1", source.schema)
    filling = Filling(dsn)
    await asyncio.to_thread(filling.make_people, 1_000)
    await asyncio.to_thread(filling.fill, (source, target), 1_000)
    rows = await check_likeness(dsn, source, target)
    assert rows["entities"] == rows["events"] == 1_000
    assert rows["pushes"] == 10
    async with connected(dsn) as db:
        after = await db.fetch("SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1", source.schema)
        assert after == before
        async with db.transaction():
            await db.execute(enter_statement(source))
            parts = await db.fetch("SELECT guid, name_parts FROM entities ORDER BY guid")
            counts = await db.fetch("SELECT form, n FROM entity_counts")
            report = await rebuild(db)
            assert (report.entities, report.differing) == (1_000, [])
            assert await db.fetch("SELECT guid, name_parts FROM entities ORDER BY guid") == parts
            assert await db.fetch("SELECT form, n FROM entity_counts") == counts


async def test_both_sides_read_as_many_rows_and_miss_none(croft: Croft, cluster: EmbeddedPostgres) -> None:
    dsn = superuser_dsn(croft, cluster)
    tenant, source, target = await new_scopes(croft, dsn)
    filling = Filling(dsn)
    await asyncio.to_thread(filling.make_people, 2_500)
    await asyncio.to_thread(filling.fill, (source, target), 2_500)
    async with (
        floor_reader(croft.addresses.serving, target) as floor,
        http_reader(croft, tenant) as reader,
    ):
        paged = await reader.pages("/api/v2/sync/pull?limit=1000&cursor=", ["", ""], requests=3, marker=MARKER)
        assert paged.rows == 5_000
        assert (await floor.read(EVENTS, [BEGINNING, "1500"], requests=1, rows=1_000)).rows == 2_000
        for path in ("/api/v2/sync/pull", "/api/v2/sync/snapshot"):
            for encoding in ("identity", "gzip", "zstd"):
                assert (await reader.stream(path, NDJSON, encoding=encoding, rows=2_500)).bytes > 0
                with pytest.raises(AssertionError, match="lines came"):
                    await reader.stream(path, NDJSON, encoding=encoding, rows=2_600)
        for what in (EVENTS, ENTITIES, FEED):
            assert (await floor.read(what, [BEGINNING], requests=1, rows=2_500)).bytes > 0
            with pytest.raises(AssertionError, match="are missing"):
                await floor.read(what, [BEGINNING], requests=1, rows=2_600)


def test_rounds_compare_each_run_with_its_neighbour() -> None:
    rounds = Rounds()
    for croft, floor in ((1.0, 0.5), (2.0, 1.5), (4.0, 1.0)):
        rounds.add(Run(rows=100, seconds=croft), Run(rows=100, seconds=floor))
    assert (rounds.croft_rate, rounds.floor_rate) == (50, 100)
    assert rounds.ratio == 0.5
    assert rounds.spread == (0.25, 0.75)
    with pytest.raises(AssertionError):
        rounds.add(Run(rows=100, seconds=1), Run(rows=99, seconds=1))


async def test_footprint_counts_the_servers_connections_and_none_of_the_benchmarks_own(
    croft: Croft, cluster: EmbeddedPostgres
) -> None:
    dsn = superuser_dsn(croft, cluster)
    before = await footprint(os.getpid(), dsn)
    async with connected(dsn), connected(dsn):
        meanwhile = await footprint(os.getpid(), dsn)
    assert meanwhile.connections == before.connections > 0
    assert before.croft_mb is None or before.croft_mb > 10
    assert before.backends_mb is None or before.backends_mb > 1
