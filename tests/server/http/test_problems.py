"""What a failure becomes, for the caller and in the log."""

import logging

import asyncpg
import httpx
import pytest
from starlette.types import Receive, Scope, Send

from server.http import problems
from server.http.problems import Problems
from server.kit.problem import Problem
from tests.conftest import Croft


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linter of imports, run by another test, silences every logger that it finds."""
    monkeypatch.setattr(problems.log, "disabled", False)


async def answer_to(error: Exception) -> httpx.Response:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    transport = httpx.ASGITransport(Problems(failing))
    async with httpx.AsyncClient(transport=transport, base_url="http://croft.test") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Problem(502, "sync.no-adapter", "No adapter."), 502, "sync.no-adapter"),
        (asyncpg.DeadlockDetectedError("deadlock"), 503, "database.try-again"),
        (ConnectionRefusedError(), 503, "database.unavailable"),
    ],
)
async def test_failure_that_was_expected_is_one_warning_without_a_traceback(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await answer_to(error)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    (record,) = (each for each in caplog.records if each.name == "croft.problems")
    assert (record.levelno, record.getMessage(), record.exc_info) == (logging.WARNING, code, None)
    assert vars(record)["cause"] == type(error).__name__


async def test_failure_that_nobody_expected_carries_its_traceback_into_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await answer_to(KeyError("secret"))
    assert (answer.status_code, answer.json()["code"]) == (500, "server.failed")
    assert "secret" not in answer.text
    (record,) = (each for each in caplog.records if each.name == "croft.problems")
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert record.exc_info[0] is KeyError


async def test_refusal_is_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    await answer_to(Problem(404, "entities.unknown", "There is none."))
    assert [each for each in caplog.records if each.name == "croft.problems"] == []


@pytest.mark.parametrize("path", ["/nowhere", "/api/apps/", "/health/", "//evil.test/", "/api/users/me/more"])
async def test_address_that_leads_nowhere_is_a_problem_and_no_redirect(croft: Croft, path: str) -> None:
    url = httpx.URL(croft.url).copy_with(raw_path=path.encode())
    answer = await croft.client().get(url, headers={"Host": "evil.test"})
    assert (answer.status_code, answer.json()["code"]) == (404, "route.unknown")
    assert "evil" not in answer.text + str(answer.headers)


async def test_method_that_an_address_does_not_know_is_a_problem(croft: Croft) -> None:
    answer = await croft.client().patch("/api/users")
    assert (answer.status_code, answer.json()["code"]) == (405, "route.method-not-allowed")


@pytest.mark.parametrize(
    ("statement", "value", "code"),
    [
        ("SELECT $1::bigint", 2**63, "request.out-of-range"),
        ("SELECT $1::integer", 2**31, "request.out-of-range"),
        ("SELECT $1::text", "a\0b", "request.not-text"),
        ("SELECT $1::text", "\ud800", "request.not-text"),
        ("SELECT $1::jsonb", '"\\u0000"', "request.not-text"),
        ("SELECT $1::text::bigint", "9" * 30, "request.out-of-range"),
    ],
)
async def test_value_that_no_column_holds_is_the_callers_mistake(
    croft: Croft, statement: str, value: object, code: str
) -> None:
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        with pytest.raises(asyncpg.DataError) as failed:
            await db.fetchval(statement, value)
    finally:
        await db.close()
    answer = await answer_to(failed.value)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_value_of_the_wrong_kind_is_a_mistake_of_ours(croft: Croft) -> None:
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        with pytest.raises(asyncpg.DataError) as failed:
            await db.fetchval("SELECT $1::bigint", "seven")
    finally:
        await db.close()
    assert (await answer_to(failed.value)).status_code == 500
