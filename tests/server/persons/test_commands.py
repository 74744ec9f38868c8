"""`croft persons`, as an operator types it."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from tests.conftest import Croft, TenantHandle
from tests.croft_process import settings_of
from tests.isolation.world import submission

Run = Callable[..., Coroutine[Any, Any, Result]]


@pytest.fixture
def run(croft: Croft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `croft` on the database of the server that runs."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": croft.addresses.serving})

    async def invoke(*words: str, given: bytes | str | None = None) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*words], env=env, input=given))

    return invoke


@pytest.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant({"retention": {"forms": {"individual": {"days": 1}}}})


async def push(tenant: TenantHandle, *guids: str) -> None:
    events = [submission("create-individual", guid, {"name": "Ann", "village": "Kibera"}) for guid in guids]
    headers = {"X-Tenant-Id": tenant.config_id}
    answer = await tenant.api.post("/api/sync/push", json={"events": events}, headers=headers)
    assert answer.status_code == 200, answer.text


async def is_live(tenant: TenantHandle, guid: str) -> bool:
    return bool(await tenant.as_owner(f"SELECT EXISTS (SELECT FROM entities WHERE guid = '{guid}' AND state = 'live')"))


async def test_person_is_erased_when_her_guid_is_typed(run: Run, tenant: TenantHandle) -> None:
    guid = str(uuid4())
    await push(tenant, guid)
    words = ("persons", "erase", tenant.config_id, guid)
    dry = await run(*words, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "events        1" in dry.stdout
    refused = await run(*words, given="another\n")
    assert refused.exit_code == 1
    assert await is_live(tenant, guid)
    done = await run(*words, given=f"{guid}\n")
    assert done.exit_code == 0, done.output
    assert "1 erased. Emptied: 1 events." in done.stdout
    assert not await is_live(tenant, guid)
    verified = await run("tenants", "verify", tenant.config_id, "--replay")
    assert verified.exit_code == 0, verified.output
    assert "1 persons, from 1 events" in verified.stdout


async def test_unknown_person_and_bad_words_are_refused(run: Run, tenant: TenantHandle) -> None:
    unknown = await run("persons", "erase", tenant.config_id, "nobody", "--yes")
    assert unknown.exit_code == 1
    assert "Nothing is known" in unknown.stderr
    assert (await run("persons", "erase", tenant.config_id)).exit_code == 1
    assert (await run("persons", "erase", tenant.config_id, "x", "--reason", "")).exit_code == 1
    assert (await run("persons", "export", tenant.config_id, "nobody", "file")).exit_code == 1


async def test_list_of_erasures_is_carried_out_again_elsewhere(
    run: Run, tenant: TenantHandle, croft: Croft, tmp_path: Path
) -> None:
    """As on a backup that is older than the erasures, or than the persons."""
    known, unknown = str(uuid4()), str(uuid4())
    await push(tenant, known, unknown)
    for guid in (known, unknown):
        assert (await run("persons", "erase", tenant.config_id, guid, "--yes")).exit_code == 0
    listed = await run("persons", "erasures", tenant.config_id)
    assert [json.loads(line)["guid"] for line in listed.stdout.splitlines()] == [known, unknown]
    file = tmp_path / "erasures.ndjson"
    file.write_text(listed.stdout)
    restored = await croft.tenant()
    await push(restored, known)
    words = ("persons", "erase", restored.config_id, "--again", str(file))
    assert "does not know 2" in (await run(*words, "--dry-run")).stdout
    assert await is_live(restored, known)
    done = await run(*words)
    assert done.exit_code == 0, done.output
    assert "2 erased" in done.stdout
    await push(restored, unknown)
    assert not await is_live(restored, known)
    assert not await is_live(restored, unknown)
    assert await restored.as_owner("SELECT count(*) FROM events WHERE data::text LIKE '%Kibera%'") == 0
    again = await run("persons", "erasures", restored.config_id)
    assert {json.loads(line)["guid"] for line in again.stdout.splitlines()} == {known, unknown}
    file.write_text("no list\n")
    assert (await run(*words)).exit_code == 1


async def test_export_goes_into_a_file_for_its_owner_alone(run: Run, tenant: TenantHandle, tmp_path: Path) -> None:
    guid = str(uuid4())
    await push(tenant, guid)
    file = tmp_path / "person.json"
    done = await run("persons", "export", tenant.config_id, guid, str(file))
    assert done.exit_code == 0, done.output
    told = json.loads(file.read_bytes())
    assert told["present"]["data"] == {"name": "Ann", "village": "Kibera"}
    assert file.stat().st_mode & 0o777 == 0o600


async def test_retention_is_carried_out_by_hand(run: Run, tenant: TenantHandle) -> None:
    guid = str(uuid4())
    await push(tenant, guid)
    await tenant.as_owner("UPDATE events SET received_at = now() - interval '3 days' RETURNING 1")
    dry = await run("persons", "retention", tenant.config_id, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "1 of individual are due" in dry.stdout
    assert await is_live(tenant, guid)
    done = await run("persons", "retention", tenant.config_id)
    assert "1 of individual erased" in done.stdout
    assert not await is_live(tenant, guid)
