"""`croft secrets …`, as an operator types it."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from server.cli import app
from server.db.embedded import EmbeddedPostgres
from server.vault import Keyring
from tests.conftest import new_database, small_config
from tests.croft_process import settings_of

OLD = "the old key of these tests that is long enough"
NEW = "the new key of these tests that is long enough"
old, new = Keyring(OLD).current, Keyring(NEW).current

Run = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture(loop_scope="session")
async def run(cluster: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line on a database with one tenant that has a secret under the old key."""
    addresses = await new_database(cluster)
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": addresses.serving, "ENCRYPTION_KEY": OLD})

    async def invoke(*words: str, **settings: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(words), env=env | settings))

    config = {**small_config("north"), "externalSync": {"type": "x", "password": "hunter2-hunter2"}}
    (tmp_path / "north.json").write_text(json.dumps(config))
    for words in (["migrate"], ["tenants", "apply", "north.json"]):
        assert (await invoke(*words)).exit_code == 0
    return invoke


def line_of(key_id: str, result: Result) -> list[str]:
    [line] = [line for line in result.output.splitlines() if line.startswith(key_id)]
    return line.split(maxsplit=3)


async def test_status_tells_how_many_secrets_each_key_has(run: Run) -> None:
    result = await run("secrets", "status")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0].split(maxsplit=1)[0] == "KEY"
    assert line_of(old, result) == [old, "1", "0", "ENCRYPTION_KEY"]


async def test_key_is_changed_as_the_runbook_says(run: Run) -> None:
    while_changing = {"ENCRYPTION_KEY": NEW, "ENCRYPTION_OTHER_KEYS": OLD}
    before = await run("secrets", "status", **while_changing)
    assert line_of(old, before)[1:] == ["1", "0", "one of ENCRYPTION_OTHER_KEYS, still needed"]
    rotated = await run("secrets", "rotate", **while_changing)
    assert rotated.exit_code == 0, rotated.output
    assert "Encrypted 1 rows anew." in rotated.output
    assert line_of(new, rotated) == [new, "1", "0", "ENCRYPTION_KEY"]
    again = await run("secrets", "rotate", **while_changing)
    assert (again.exit_code, "Nothing to do." in again.output) == (0, True)
    afterwards = await run("secrets", "status", ENCRYPTION_KEY=NEW)
    assert (afterwards.exit_code, old in afterwards.output) == (0, False)


@pytest.mark.parametrize("command", ["status", "rotate"])
async def test_secrets_that_cannot_be_opened_fail_the_command(run: Run, command: str) -> None:
    result = await run("secrets", command, ENCRYPTION_KEY=NEW)
    assert result.exit_code == 1
    assert line_of(old, result) == [old, "1", "0", "missing: what it encrypted cannot be opened"]
    assert "1 secrets cannot be opened" in result.output


async def test_commands_show_neither_keys_nor_secrets(run: Run) -> None:
    for words in (["status"], ["rotate"], ["--help"]):
        for settings in ({}, {"ENCRYPTION_KEY": NEW}, {"ENCRYPTION_KEY": NEW, "ENCRYPTION_OTHER_KEYS": OLD}):
            output = (await run("secrets", *words, **settings)).output
            assert not [secret for secret in ("hunter2", OLD, NEW, "sealed:") if secret in output]
