"""Rotating keys on a database that servers work on."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from server.audit import Author
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.keys import queries
from server.keys.rotation import rotate, tally
from server.keys.sealed_rows import KINDS, ConfigSecrets, SecondFactorSeeds
from server.starting import Addresses
from server.vault import Keyring
from tests.conftest import Croft, new_database, start_croft, upload_of
from tests.croft_process import environment
from tests.server.keys.sealed_things import (
    NEW,
    OLD,
    account_with_seed,
    external_sync,
    present_sections,
    seeds,
    tenants_with_secrets,
)

OPERATOR = Author("command-line")
SEED = "JBSWY3DPEHPK3PXP"
old, new, both = Keyring(OLD), Keyring(NEW), Keyring(NEW, [OLD])


@pytest_asyncio.fixture(loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """A database of its own: rotating goes through everything in it."""
    return await new_database(cluster)


@pytest_asyncio.fixture(loop_scope="session")
async def croft(addresses: Addresses) -> AsyncIterator[Croft]:
    """A server that seals with the old key."""
    async with start_croft(addresses, encryption_key=SecretStr(OLD)) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def database(croft: Croft) -> AsyncIterator[Database]:
    """What a command works on while the server serves."""
    async with Database(croft.addresses.direct, size=4) as opened:
        yield opened


async def acts(addresses: Addresses) -> int:
    db = await asyncpg.connect(addresses.direct)
    try:
        return int(await db.fetchval("SELECT count(*) FROM croft.audit WHERE action = 'secrets.rotated'"))
    finally:
        await db.close()


async def test_everything_opens_with_the_new_key_alone_and_a_second_run_does_nothing(
    croft: Croft, database: Database
) -> None:
    tenants = await tenants_with_secrets(croft, 3)
    first = await croft.operator.put(
        f"/api/apps/{tenants[0].config_id}",
        files={"config": upload_of({"id": tenants[0].config_id, "name": "Renamed"})},
    )
    assert first.status_code == 200
    user = await account_with_seed(croft, old, "seeded@croft.test", SEED)
    before = await tally(database, both)
    assert before.opening == {("app configs", old.current): 8, ("second factors", old.current): 1}
    assert before.outstanding(new.current) == 9

    done = await rotate(database, both, OPERATOR)
    assert (done.renewed, done.overtaken, done.left.outstanding(new.current)) == (5, 0, 0)
    after = await tally(database, new)
    assert after.opening == {("app configs", new.current): 8, ("second factors", new.current): 1}
    assert not after.unreadable
    assert await present_sections(croft.addresses, new) == {
        tenant.config_id: external_sync(number) for number, tenant in enumerate(tenants)
    }
    assert await seeds(croft.addresses, new) == {user: SEED}

    again = await rotate(database, both, OPERATOR)
    assert (again.renewed, again.overtaken) == (0, 0)
    assert await acts(croft.addresses) == 1


async def test_secrets_of_before_there_were_keys_are_counted_and_sealed(croft: Croft, database: Database) -> None:
    [tenant] = await tenants_with_secrets(croft, 1)
    plain: dict[str, Any] = {
        "id": tenant.config_id,
        "name": "Plain",
        "entityForms": [],
        "entityData": [{"name": "x", "data": []}],
    }
    plain |= {"externalSync": external_sync(7), "authConfigs": []}
    async with database.shared() as db:
        await db.execute("UPDATE config_versions SET document = $1::json", json.dumps(plain))
    before = await tally(database, old)
    assert (before.plain["app configs"], before.outstanding(old.current)) == (2, 2)
    assert (await rotate(database, old, OPERATOR)).renewed == 1
    async with database.shared(readonly=True) as db:
        text = await db.fetchval("SELECT document::text FROM config_versions")
    assert "hunter2" not in text
    assert "100007" not in text
    assert {**json.loads(text), "externalSync": None} == {**plain, "externalSync": None}
    assert await present_sections(croft.addresses, old) == {tenant.config_id: external_sync(7)}


async def test_rotation_under_concurrent_uploads_loses_none(croft: Croft, database: Database) -> None:
    tenants = await tenants_with_secrets(croft, 6)
    last: dict[str, int] = {}
    stopping = asyncio.Event()
    numbers = count(1000)

    async def upload(tenant: str) -> None:
        while not stopping.is_set():
            number = next(numbers)
            section = {"id": tenant, "externalSync": external_sync(number)}
            answer = await croft.operator.put(f"/api/apps/{tenant}", files={"config": upload_of(section)})
            assert answer.status_code == 200, answer.text
            last[tenant] = number

    async with asyncio.TaskGroup() as writers:
        for tenant in tenants:
            writers.create_task(upload(tenant.config_id))
        for _ in range(3):
            await rotate(database, both, OPERATOR)
        stopping.set()
    done = await rotate(database, both, OPERATOR)
    assert (done.left.outstanding(new.current), done.left.unreadable) == (0, 0)
    assert await present_sections(croft.addresses, new) == {
        tenant: external_sync(number) for tenant, number in last.items()
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_row_that_somebody_changed_meanwhile_is_left_to_him(
    croft: Croft, database: Database, kind: ConfigSecrets | SecondFactorSeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tenants_with_secrets(croft, 1)
    await account_with_seed(croft, old, "seeded@croft.test", SEED)
    async with database.shared(readonly=True) as db:
        [row] = await kind.list_after(db, kind.before_all)
    read = queries.find_config

    async def read_and_be_overtaken(db: object, tenant_id: int, number: int) -> str | None:
        text = await read(db, tenant_id, number)  # type: ignore[arg-type]
        async with database.shared() as other:
            await other.execute("UPDATE config_versions SET document = '{\"x\": 1}'")
        return text

    monkeypatch.setattr(queries, "find_config", read_and_be_overtaken)
    async with database.shared() as other:
        await other.execute("UPDATE second_factors SET seed = 'another'")
    async with database.shared() as db:
        assert not await kind.renew(db, row, both)
    async with database.shared(readonly=True) as db:
        assert await db.fetchval("SELECT seed FROM second_factors") == "another"
        document = await db.fetchval("SELECT document::text FROM config_versions")
    assert (document == '{"x": 1}') == (kind.name == "app configs")


async def test_row_that_is_gone_meanwhile_is_no_trouble(croft: Croft, database: Database) -> None:
    await tenants_with_secrets(croft, 1)
    kind = ConfigSecrets()
    async with database.shared() as db:
        [row] = await kind.list_after(db, kind.before_all)
        await db.execute("DELETE FROM config_versions")
        assert not await kind.renew(db, row, both)


async def test_killed_in_the_middle_it_goes_on_and_the_old_key_can_be_dropped(croft: Croft, database: Database) -> None:
    tenants = await tenants_with_secrets(croft, 24)
    script = Path(__file__).with_name("rotate_and_wait.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), croft.addresses.direct, NEW, OLD, env=environment(), stdout=subprocess.PIPE
    )
    assert process.stdout
    assert (await process.stdout.readline()).startswith(b"app configs 20 ")
    process.kill()
    await process.wait()
    half = await tally(database, both)
    assert half.opening == {("app configs", old.current): 8, ("app configs", new.current): 40}

    assert (await rotate(database, both, OPERATOR)).renewed == 4
    async with start_croft(croft.addresses, encryption_key=SecretStr(NEW)) as without_the_old:
        tenant = tenants[-1].config_id
        masked = (await without_the_old.operator.get(f"/api/apps/{tenant}")).json()
        answer = await without_the_old.operator.put(f"/api/apps/{tenant}", files={"config": upload_of(masked)})
        assert answer.status_code == 200, answer.text
    assert (await present_sections(croft.addresses, new))[tenant] == external_sync(23)


async def test_what_no_key_opens_is_kept_as_it_is_and_counted(croft: Croft, database: Database) -> None:
    [tenant] = await tenants_with_secrets(croft, 1)
    done = await rotate(database, new, OPERATOR)
    assert (done.renewed, done.left.unreadable, done.left.missing) == (0, 2, {("app configs", old.current): 2})
    assert await present_sections(croft.addresses, old) == {tenant.config_id: external_sync(0)}
    async with database.shared() as db:
        stolen = old.seal('"x"', place="tenant 0 config")
        await db.execute(
            "UPDATE config_versions SET document = $1::json", json.dumps({"externalSync": {"token": stolen}})
        )
    spoilt = await tally(database, old)
    assert spoilt.spoilt == {("app configs", old.current): 1}
    assert (await rotate(database, both, OPERATOR)).renewed == 0


async def test_keys_that_nothing_needs_any_more_are_forgotten(croft: Croft, database: Database) -> None:
    await tenants_with_secrets(croft, 1)
    async with database.shared(readonly=True) as db:
        assert await queries.list_noted_keys(db) == [old.current]
    await rotate(database, new, OPERATOR)
    async with database.shared(readonly=True) as db:
        assert set(await queries.list_noted_keys(db)) == {old.current, new.current}
    await rotate(database, both, OPERATOR)
    async with database.shared(readonly=True) as db:
        assert await queries.list_noted_keys(db) == [new.current]
