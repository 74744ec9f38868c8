"""After a run through every feature, no secret is anywhere but where it belongs."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from server.db.embedded import EmbeddedPostgres
from tests.conftest import new_database
from tests.journeys.secrets.planted import Planted
from tests.journeys.secrets.running import Run, running
from tests.journeys.secrets.watching import found_in_rows

DRIVEN = {
    "POST /api/users/login",
    "POST /api/v2/auth/login",
    "POST /api/v2/auth/refresh",
    "POST /api/v2/auth/browser",
    "POST /api/v2/auth/password-reset/confirm",
    "POST /api/v2/auth/invitations/accept",
    "POST /api/v2/auth/email/confirm",
    "POST /api/v2/account/second-factor/confirm",
    "POST /api/v2/account/second-factor/recovery-codes",
    "POST /api/v2/account/app-passwords",
    "GET /api/v2/auth/north/oidc/callback",
    "PUT /api/apps/north",
    "POST /api/apps/north/rollback",
    "POST /api/v2/sync/push",
    "GET /api/audit",
    "GET /api/installation/audit",
    "GET /metrics",
    "GET /openapi.json",
}
"""What has to have gone well, for the search to mean anything."""

letters = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=12, max_size=40)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(cluster: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """What a server left that went through everything and has ended."""
    addresses = await new_database(cluster)
    yield await running(cluster, addresses, tmp_path_factory.mktemp("secrets"))


def test_run_went_through_every_feature(run: Run) -> None:
    assert len(run.planted.known) > 100
    assert run.succeeded >= DRIVEN, sorted(DRIVEN - run.succeeded)


def test_no_answer_shows_a_secret_that_it_was_not_meant_to_show(run: Run) -> None:
    assert len(run.watcher.seen) > 100
    assert run.watcher.given_away() == {}


def test_no_line_of_the_log_holds_a_secret(run: Run) -> None:
    assert sum('"logger"' in line for line in run.lines) > 100
    assert [(line[:300], found) for line in run.lines if (found := run.planted.found_in(line))] == []


def test_no_row_of_any_table_holds_a_secret(run: Run) -> None:
    assert run.rows == {}


def test_log_of_the_database_holds_no_secret(run: Run) -> None:
    assert run.planted.found_in(run.database_log) == []


# The search itself


@given(secret=letters, before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_secret_is_found_in_every_disguise(secret: str, before: bytes, after: bytes) -> None:
    planted = Planted()
    planted.plant("it", secret)
    around = before + secret.encode() + after
    for coded in (around, base64.b64encode(around), base64.urlsafe_b64encode(around), around.hex().encode()):
        assert planted.found_in(b"..." + coded + b"...") == ["it"]
    assert planted.found_in(around.hex().upper()) == ["it"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("text", "an {} in a text"),
        ("json", '{{"deep": [{{"down": "{}"}}]}}'),
        ("jsonb", '["{}"]'),
        ("bytea", "{}"),
        ("text[]", "{}"),
    ],
)
async def test_secret_in_any_column_of_any_schema_is_found(cluster: EmbeddedPostgres, column: str, value: str) -> None:
    addresses = await new_database(cluster)
    planted = Planted()
    text: Any = value.format(planted.make("it"))
    dsn = cluster.superuser_dsn(addresses.direct.rpartition("/")[2].partition("?")[0])
    db = await asyncpg.connect(dsn)
    try:
        await db.execute(f"CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.it (id int, kept {column})")
        wrapped = {"bytea": text.encode(), "text[]": [text]}.get(column, text)
        await db.execute(f"INSERT INTO elsewhere.it VALUES (1, $1::{column})", wrapped)
    finally:
        await db.close()
    assert await found_in_rows(dsn, planted) == {"elsewhere.it": ["it"]}
