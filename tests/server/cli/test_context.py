import os
from pathlib import Path

import pytest
import typer

from server.cli.context import failures_told, open_installation
from server.db.embedded import EmbeddedPostgres, EmbeddedPostgresError
from server.kit.problem import FieldError, Problem
from tests.conftest import new_database, new_installation
from tests.croft_process import settings_of


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, no .env, and no home."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nothing_set")
async def test_command_works_on_the_configured_database(
    cluster: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = await new_installation(cluster)
    for name, value in settings_of({"POSTGRES": addresses.serving}).items():
        monkeypatch.setenv(name, value)
    async with open_installation() as installation, installation.database.shared() as db:
        assert installation.addresses == addresses
        assert await db.fetchval("SELECT count(*) FROM tenants") == 0


@pytest.mark.usefixtures("nothing_set")
async def test_command_on_an_empty_database_says_what_to_run(
    cluster: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = await new_database(cluster)
    for name, value in settings_of({"POSTGRES": addresses.serving}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(typer.Exit) as ended:
        async with open_installation() as installation, installation.database.shared() as db:
            await db.fetch("SELECT config_id FROM tenants")
    assert ended.value.exit_code == 1
    assert "croft migrate" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_set")
async def test_wrong_settings_end_the_command_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "-1")
    monkeypatch.setenv("SESSION_DAYS", "soon")
    with pytest.raises(typer.Exit) as ended:
        async with open_installation():
            raise AssertionError("not reached")
    assert ended.value.exit_code == 2
    told = capsys.readouterr().err
    assert "  PORT: " in told
    assert "  SESSION_DAYS: " in told


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Problem(404, "tenants.unknown", "There is no such tenant."), "There is no such tenant.\n"),
        (
            Problem(422, "config.invalid", "Wrong.", errors=[FieldError("entityForms[0].name", "is missing")]),
            "Wrong.\n  entityForms[0].name: is missing\n",
        ),
        (EmbeddedPostgresError("No room."), "No room.\n"),
        (ConnectionRefusedError(111, "Connection refused"), "The database cannot be reached: "),
        (FileNotFoundError(2, "No such file", "north.json"), "[Errno 2] No such file: 'north.json'\n"),
    ],
)
def test_what_an_operator_can_mend_is_told_without_a_traceback(
    failure: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, failures_told():
        raise failure
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.startswith(told)


def test_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), failures_told():
        raise ZeroDivisionError
