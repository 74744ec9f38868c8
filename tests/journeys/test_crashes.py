"""The server and its database are killed at random moments while devices push: nothing that was promised is lost."""

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from server.db import Database, Scope
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from tests.conftest import small_config, upload_of
from tests.crash.devices import Device, Dialect, Promises, beginnings, digest_of, stop_all
from tests.crash.killing import Installation, end_postmaster
from tests.croft_process import CroftProcess, croft_process, settings_of

CRASHES = int(os.environ.get("CROFT_CRASHES", "10"))
DEVICES: list[Dialect] = ["old", "new"] * 3
REPLAYED_EVERY = 10
KINDS = (
    Installation.kill_server,
    Installation.stop_database_immediately,
    Installation.kill_worker,
    Installation.kill_database,
    Installation.kill_both,
)
TENANT = "crashing"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory through which PostgreSQL's own user may pass."""
    directory = Path(tempfile.mkdtemp(prefix="croft-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest_asyncio.fixture(loop_scope="session")
async def installation(place: Path) -> AsyncIterator[Installation]:
    """A server of two workers and its database, with a tenant."""
    async with Installation(place, workers=2) as running:
        yield running


async def sign_in(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/users/login", json={"email": "admin@croft.test", "password": "Correct-Horse-7"})
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"


async def make_tenant(client: httpx.AsyncClient) -> None:
    await sign_in(client)
    answer = await client.post("/api/apps", files={"config": upload_of(small_config(TENANT))})
    assert answer.status_code == 200, answer.text


async def scope_of(database: Database) -> Scope:
    async with database.shared(readonly=True) as db:
        row = await db.fetchrow("SELECT schema_name, role_name FROM tenants WHERE config_id = $1", TENANT)
        assert row is not None
        return Scope(row["schema_name"], row["role_name"])


async def count_events(dsn: str) -> int:
    async with Database(dsn, size=1) as database, database.inside(await scope_of(database), readonly=True) as db:
        return int(await db.fetchval("SELECT count(*) FROM events"))


async def check(dsn: str, promises: Promises, *, whole: bool) -> None:
    """All that must hold whenever one looks; `whole`: also that the entities are what the log says."""
    promised, numbers, receipts = dict(promises.events), dict(promises.numbers), list(promises.receipts)
    async with Database(dsn, size=2) as database:
        scope = await scope_of(database)
        reading = partial(database.inside, scope, readonly=True)
        verdict = await verify_chain(reading)
        assert verdict.fault is None
        async with reading() as db:
            taken = {row["guid"]: row for row in await db.fetch("SELECT guid, seq, digest FROM events")}
            head = await db.fetchval("SELECT head FROM sync_head")
            links = {row["link"].hex(): row for row in await db.fetch("SELECT link, first_seq, last_seq FROM pushes")}
            assert await db.fetchval("SELECT count(*) FROM quarantine") == 0
        lost = [
            guid for guid, event in promised.items() if guid not in taken or taken[guid]["digest"] != digest_of(event)
        ]
        assert lost == []
        assert {guid: taken[guid]["seq"] for guid in numbers} == numbers
        for receipt in receipts:
            held = links[receipt["hash"]]
            assert (held["first_seq"], held["last_seq"]) == (receipt["first"], receipt["last"])
            assert receipt["epoch"] == verdict.epoch
        assert verdict.events <= head
        if whole:
            assert sorted(row["seq"] for row in taken.values()) == list(range(1, len(taken) + 1))
            async with reading() as db:
                found = await replay(db)
                assert found.is_right, found


@pytest.mark.slow
@pytest.mark.xdist_group("crashes")
async def test_nothing_that_was_acknowledged_is_lost_or_doubled_by_crashes(installation: Installation) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    promises, stop = Promises(), asyncio.Event()
    async with httpx.AsyncClient(base_url=installation.url, timeout=60) as client:
        await make_tenant(client)
        begun = beginnings()
        await client.post("/api/sync/push", json={"events": begun, "configId": TENANT})
        promises.keep(begun)
        devices = [
            asyncio.create_task(
                Device(client, TENANT, f"device-{number}", dialect, chance.randrange(2**32)).work(promises, stop)
            )
            for number, dialect in enumerate(DEVICES)
        ]
        try:
            for crash in range(1, CRASHES + 1):
                kill = KINDS[crash % len(KINDS)]
                await some_work(promises, devices, chance)
                await kill(installation)
                await some_work(promises, devices, chance)
                await check(installation.postgres.dsn(), promises, whole=crash % REPLAYED_EVERY == 0)
            stop.set()
            await asyncio.gather(*devices)
        finally:
            await stop_all(devices)
    await check(installation.postgres.dsn(), promises, whole=True)
    # Every batch was pushed until it was acknowledged, so there is nothing else.
    assert await count_events(installation.postgres.dsn()) == len(promises.events)
    assert promises.failures.total() >= CRASHES / 2, promises.failures
    print(f"{CRASHES} crashes, {len(promises.events)} events, {len(promises.receipts)} receipts, {promises.failures}")


async def some_work(promises: Promises, devices: list["asyncio.Task[None]"], chance: random.Random) -> None:
    """Returns in the middle of the devices' work, at a moment that nobody has chosen. A device that fails is told."""
    growing = asyncio.create_task(promises.grow_by(chance.randint(50, 200)))
    await asyncio.wait([growing, *devices], return_when=asyncio.FIRST_COMPLETED, timeout=60)
    for device in devices:
        if device.done():
            device.result()
    assert growing.done(), f"nothing was acknowledged for a minute: {promises.failures}"
    await asyncio.sleep(chance.random() * 0.05)


@pytest.mark.slow
@pytest.mark.xdist_group("crashes")
@pytest.mark.parametrize("how", ["server", "server and its database"])
async def test_server_that_was_killed_finds_all_it_acknowledged_in_its_own_database(place: Path, how: str) -> None:
    settings = settings_of({"POSTGRES": "", "PORT": "0"})
    promises, stop = Promises(), asyncio.Event()
    with croft_process(cwd=place, **settings) as croft:
        async with httpx.AsyncClient(base_url=croft.url, timeout=60) as client:
            await make_tenant(client)
            device = asyncio.create_task(Device(client, TENANT, "a-device", "new", 1).work(promises, stop))
            await promises.grow_by(200)
            await kill(croft, place, with_database=how != "server")
            await stop_all([device])
    with croft_process(cwd=place, **settings) as again:
        async with httpx.AsyncClient(base_url=again.url, timeout=60) as client:
            await sign_in(client)
            headers = {"X-Tenant-Id": TENANT, "X-Device-Id": "a-device"}
            repeated = await client.post(
                "/api/v2/sync/push", json={"events": list(promises.events.values())}, headers=headers
            )
            fates = repeated.json()["events"]
            assert {fate["status"] for fate in fates} == {"known"}
            assert {fate["guid"]: fate["seq"] for fate in fates} == promises.numbers


async def kill(croft: CroftProcess, place: Path, *, with_database: bool) -> None:
    croft.signal(signal.SIGKILL)
    await asyncio.to_thread(croft.process.wait)
    if with_database:
        await asyncio.to_thread(end_postmaster, place / ".croft/postgres", signal.SIGKILL)
