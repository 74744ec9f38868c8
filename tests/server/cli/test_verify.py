"""`croft tenants verify`, as an operator types it."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from tests.conftest import Croft, TenantHandle
from tests.croft_process import settings_of

Verify = Callable[..., Awaitable[Result]]


@pytest.fixture
def verify(croft: Croft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Verify:
    """Runs the command on the database of the server that runs."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": croft.addresses.serving})

    async def invoke(*words: str) -> Result:
        command = ["tenants", "verify", *words]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, command, env=env))

    return invoke


@pytest.fixture
async def tenant(croft: Croft) -> TenantHandle:
    """A tenant whose log holds two pushes of two events."""
    tenant = await croft.tenant()
    collector = await tenant.caller()
    for push in ("one", "two"):
        events = [
            {
                "guid": f"{push}-{number}",
                "entityGuid": f"person-{push}-{number}",
                "type": "create-individual",
                "data": {"name": f"Person {push} {number}"},
                "timestamp": "2026-01-31T08:15:00.000Z",
                "userId": "7",
                "syncLevel": 0,
            }
            for number in range(2)
        ]
        answer = await collector.post("/api/sync/push", json={"events": events, "configId": tenant.config_id})
        assert answer.status_code == 200, answer.text
    return tenant


async def test_whole_log_is_told_with_its_link(verify: Verify, tenant: TenantHandle) -> None:
    link = (await tenant.as_owner("SELECT link FROM sync_head")).hex()
    told = await verify(tenant.config_id, "--replay")
    assert told.exit_code == 0, told.output
    assert re.fullmatch(
        r"The log is whole: every event is what was pushed, where it was put\.\n"
        r"  Events  4, in 2 pushes\n"
        r"  Head    4, in the epoch [0-9a-f]+\n"
        rf"  Link    {link}\n"
        r"Folded anew, the 4 events give the 4 entities that stand\.\n",
        told.output,
    )


async def test_broken_log_is_told_with_its_first_bad_place_and_exit_code_1(
    verify: Verify, tenant: TenantHandle
) -> None:
    await tenant.as_owner("""UPDATE events SET data = '{"name": "Else"}' WHERE seq = 3""")
    told = await verify(tenant.config_id)
    assert told.exit_code == 1
    assert "The log is broken.\n  Event 3 (two-0) is not what was pushed" in told.output
    assert "It is whole up to event 2.\n" in told.output


async def test_entity_that_stands_otherwise_is_told_only_by_a_replay(verify: Verify, tenant: TenantHandle) -> None:
    await tenant.as_owner("UPDATE entities SET name = 'Else' WHERE guid = 'person-one-1'")
    assert (await verify(tenant.config_id)).exit_code == 0
    told = await verify(tenant.config_id, "--replay")
    assert told.exit_code == 1
    assert "  1 entities that stand otherwise: person-one-1\n" in told.output


async def test_receipt_of_a_device_is_told_with_its_numbers(verify: Verify, tenant: TenantHandle) -> None:
    link = (await tenant.as_owner("SELECT link FROM pushes WHERE first_seq = 1")).hex()
    told = await verify(tenant.config_id, "--receipt", link)
    assert (told.exit_code, "The receipt is for the events 1 to 2, taken at 20" in told.output) == (0, True)
    unknown = await verify(tenant.config_id, "--receipt", "ab" * 32)
    assert (unknown.exit_code, "does not hold the push of this receipt" in unknown.output) == (1, True)
    mistyped = await verify(tenant.config_id, "--receipt", link[:-1])
    assert (mistyped.exit_code, "has 64 characters" in mistyped.output) == (1, True)


async def test_unknown_tenant_cannot_be_verified(verify: Verify) -> None:
    told = await verify("nowhere")
    assert (told.exit_code, "Traceback" in told.output) == (1, False)
