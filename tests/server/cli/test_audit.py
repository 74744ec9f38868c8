"""`croft audit verify` and `export`, as an operator gives them."""

import asyncio
import csv
import io
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from tests.conftest import Croft, TenantHandle
from tests.croft_process import settings_of

Run = Callable[..., Awaitable[Result]]
OTHER_LINK = "ab" * 32


@pytest.fixture
def run(fresh_croft: Croft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command on the database of the server that runs."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": fresh_croft.addresses.serving})

    async def invoke(*words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["audit", *words], env=env))

    return invoke


@pytest.fixture
async def tenant(fresh_croft: Croft) -> TenantHandle:
    return await fresh_croft.tenant()


def link_in(result: Result) -> str:
    return str(re.findall(r"Link +([0-9a-f]{64})", result.output)[0])


async def test_logs_are_proven_and_exported_on_the_command_line(run: Run, tenant: TenantHandle) -> None:
    alone = await run("verify", tenant.config_id)
    assert (alone.exit_code, alone.output.count("is whole")) == (0, 1)
    operators = await run("verify")
    assert operators.output.startswith("The operators' log is whole")
    every = await run("verify", "--all")
    assert (every.exit_code, every.output.count("is whole")) == (0, 2)

    exported = await run("export", tenant.config_id)
    acts = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [act["number"] for act in acts] == list(range(1, len(acts) + 1))
    assert (acts[-1]["action"], acts[-1]["actor"]) == ("audit.exported", "command-line")
    rows = list(csv.DictReader(io.StringIO((await run("export", "--csv")).stdout)))
    assert rows[-2]["action"] == rows[-1]["action"] == "audit.exported"
    assert (rows[-2]["tenantId"] != "", rows[-1]["tenantId"]) == (True, "")

    held = await run("verify", tenant.config_id, "--expect", link_in(alone))
    assert held.exit_code == 0
    assert f"at act {len(acts) - 1}." in held.output
    lost = await run("verify", tenant.config_id, "--expect", OTHER_LINK)
    assert lost.exit_code == 1
    assert "does not hold the link" in lost.output


async def test_broken_log_is_told_with_its_act_and_the_others_all_the_same(
    run: Run, fresh_croft: Croft, tenant: TenantHandle
) -> None:
    other = await fresh_croft.tenant()
    await tenant.as_owner("UPDATE acts SET address = 'elsewhere' WHERE id = 1")
    result = await run("verify", "--all")
    assert result.exit_code == 1
    assert f"The log of {tenant.config_id}" in result.output
    assert "is broken at act 1" in result.output
    assert re.search(rf"The log of {other.config_id} \(number \d+\) is whole", result.output)


async def test_tenant_that_waits_for_its_migration_is_told(run: Run, tenant: TenantHandle) -> None:
    db = await asyncpg.connect(tenant.croft.addresses.serving)
    try:
        await db.execute("UPDATE croft.tenants SET schema_version = '0005.create-conflicts'")
    finally:
        await db.close()
    result = await run("verify", tenant.config_id)
    assert result.exit_code == 1
    assert "croft migrate" in result.output


@pytest.mark.parametrize("words", [("--all", "north"), ("--all", "--expect", OTHER_LINK), ("--expect", "xyz")])
async def test_command_that_means_nothing_is_refused(run: Run, words: tuple[str, ...]) -> None:
    assert (await run("verify", *words)).exit_code == 1
