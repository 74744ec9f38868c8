"""`croft users …`, as an operator types it who has no password."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from server.cli import app
from server.db import Database
from tests.conftest import PASSWORD, Croft
from tests.croft_process import settings_of

Run = Callable[..., Awaitable[Result]]
NEW = "Another-Horse-8"


@pytest_asyncio.fixture(loop_scope="session")
async def run(croft: Croft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line on the database of the shared server."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": croft.addresses.serving})

    async def invoke(*words: str, typed: str | None = None) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(words), env=env, input=typed))

    return invoke


async def signs_in(croft: Croft, email: str, password: str) -> bool:
    answer = await croft.client().post("/api/users/login", json={"email": email, "password": password})
    return answer.status_code == 200


async def test_accounts_are_listed_with_their_roles(run: Run, croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account("reviewer")
    result = await run("users", "list", "--search", email)
    assert result.exit_code == 0, result.output
    heading, line = result.output.splitlines()
    assert heading.split() == ["E-MAIL", "NUMBER", "ROLE", "TENANTS"]
    assert line.split()[0] == email
    assert line.split()[2:] == ["USER", tenant.config_id, "(reviewer)"]


@pytest.mark.parametrize(("options", "typed"), [((), f"{NEW}\n{NEW}\n"), (("--stdin",), f"{NEW}\r\n")])
async def test_lost_password_is_replaced_and_sessions_end(
    run: Run, croft: Croft, options: tuple[str, ...], typed: str
) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    session = await croft.signed_in(email)
    result = await run("users", "set-password", email.upper(), *options, typed=typed)
    assert result.exit_code == 0, result.output
    assert f"The password of {email} is set." in result.output
    assert NEW not in result.output
    assert (await session.get("/api/users/check-token")).status_code == 401
    assert (await signs_in(croft, email, PASSWORD), await signs_in(croft, email, NEW)) == (False, True)
    async with Database(croft.addresses.direct, size=1) as database, database.shared() as db:
        act = await db.fetchrow("SELECT actor, action, details::text AS details FROM audit ORDER BY id DESC LIMIT 1")
    assert act is not None
    assert (act["actor"], act["action"]) == ("command-line", "users.update")
    assert "passwordChanged" in act["details"]


async def test_weak_password_is_refused_and_the_old_one_stays(run: Run, croft: Croft) -> None:
    email = await (await croft.tenant()).account()
    result = await run("users", "set-password", email, "--stdin", typed="short\n")
    assert result.exit_code == 1
    assert "must have at least 8 characters" in result.output
    assert await signs_in(croft, email, PASSWORD)


async def test_unknown_account_is_told_before_a_password_is_asked_for(run: Run) -> None:
    result = await run("users", "set-password", "nobody@croft.test")
    assert (result.exit_code, result.output) == (1, "User not found\n")
