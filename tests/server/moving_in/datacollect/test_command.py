"""`croft import datacollect`, as an operator types it and reads it."""

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from server.cli import app
from server.db import Database
from server.starting import Addresses
from tests.croft_process import settings_of
from tests.server.moving_in.datacollect.reference import Reference, fill

Run = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture(loop_scope="session")
async def run(
    addresses: Addresses, database: Database, reference: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Runs `croft import datacollect` with the other server's address in the environment."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": addresses.serving, "DATACOLLECT_DSN": reference.dsn})

    async def invoke(*words: str) -> Result:
        line = ["import", "datacollect", *words]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, line, env=env))

    return invoke


async def test_what_was_taken_and_what_was_not_is_told_by_reasons_with_examples(run: Run, reference: Reference) -> None:
    await fill(reference)
    result = await run("--tenant", "north")
    assert result.exit_code == 0, result.output
    assert "north   active  22      0      9        16       4     5          1      4\n" in result.stdout
    assert "\nAccounts: 2 made.\n" in result.stdout
    refused = result.stdout.partition("Could not be taken over:\n")[2]
    assert refused.startswith("  Events that cannot be events: kept in the quarantine: 9\n    north events bad-")
    assert "    north entities ann – data.age\n" in result.stdout
    assert "--report FILE" in result.stdout
    assert "north: events (31)\n" in result.stderr


async def test_everything_is_in_the_report_which_nobody_else_may_read(
    run: Run, reference: Reference, tmp_path: Path
) -> None:
    await fill(reference)
    await run("--tenant", "north", "--report", "told.ndjson")
    report = tmp_path / "told.ndjson"
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    refused = [line["row"] for line in lines if line["reason"].startswith("Events that cannot be events")]
    assert len(refused) == len(set(refused)) == 9
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


async def test_dry_run_says_so_and_makes_no_tenant(run: Run, reference: Reference, database: Database) -> None:
    await fill(reference)
    result = await run("--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Dry run: nothing was written. ")
    assert "north   would be new  22" in result.stdout
    async with database.shared() as db:
        assert await db.fetchval("SELECT count(*) FROM tenants") == 0


async def test_refused_tenant_makes_the_exit_code_1_and_a_corrected_config_helps(
    run: Run, reference: Reference, tmp_path: Path
) -> None:
    await reference.config("bad", "abc", entity_forms=[{"title": "No name"}])
    refused = await run()
    assert refused.exit_code == 1
    assert "entityForms[0].name: is missing" in refused.stdout
    (tmp_path / "good.json").write_text('{"id": "bad", "name": "Good", "entityForms": []}')
    assert (await run("--config", "good.json")).exit_code == 0


@pytest.mark.parametrize("content", ["[]", "{}", "no json", None])
async def test_config_file_that_is_none_is_told_before_anything_is_read(
    run: Run, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    result = await run("--config", "config.json")
    assert result.exit_code == 1
    assert result.stderr.startswith("config.json")


async def test_address_that_leads_nowhere_is_told_without_its_password(run: Run) -> None:
    result = await run("postgresql://me:Very-Secret-9@127.0.0.1:1/none")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert "Very-Secret-9" not in result.output
    assert "Traceback" not in result.output


async def test_what_strangers_wrote_cannot_steer_the_terminal(run: Run, reference: Reference) -> None:
    await reference.config("north", "abc")
    await reference.event("north", "bad\x1b[31m", "x", "create-individual", None, "2024-01-01T00:00:00Z")
    result = await run()
    assert "\x1b" not in result.output
    assert "bad\\u001b[31m" in result.stdout
