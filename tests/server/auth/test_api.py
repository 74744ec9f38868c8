"""Signing in and out, over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest

from server.auth.queries import _FIND_SESSION
from tests.conftest import PASSWORD, Croft

_numbers = count(1)


async def account(croft: Croft, role: str = "USER") -> tuple[int, str]:
    """A new account: its id and e-mail address."""
    email = f"Signer{next(_numbers)}@Example.Test"
    answer = await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], email


async def sign_in(croft: Croft, email: str, password: str = PASSWORD) -> httpx.Response:
    return await croft.client().post("/api/users/login", json={"email": email, "password": password})


async def sessions(croft: Croft, user_id: int) -> list[Any]:
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        return await db.fetch("SELECT id, created_at, expires_at FROM croft.sessions WHERE user_id = $1", user_id)
    finally:
        await db.close()


async def test_login_answers_a_token_and_the_number_of_the_account(croft: Croft) -> None:
    user_id, email = await account(croft)
    answer = await sign_in(croft, email)
    assert answer.status_code == 200
    assert answer.json()["userId"] == user_id
    assert set(answer.json()) == {"token", "userId"}
    checked = await croft.client(answer.json()["token"]).get("/api/users/check-token")
    assert (checked.status_code, checked.json()) == (200, {"message": "Token is valid"})


async def test_session_and_token_last_as_long_as_the_settings_say(croft: Croft) -> None:
    user_id, email = await account(croft)
    token = (await sign_in(croft, email)).json()["token"]
    [session] = await sessions(croft, user_id)
    assert session["expires_at"] - session["created_at"] == timedelta(days=croft.settings.session_days)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == croft.settings.session_days * 86400
    assert claims["sid"] == str(session["id"])


@pytest.mark.parametrize("spelling", [str.upper, str.lower, lambda email: f"  {email}\t"])
async def test_email_is_compared_without_case_and_spaces(croft: Croft, spelling: Any) -> None:
    _, email = await account(croft)
    assert (await sign_in(croft, spelling(email))).status_code == 200


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", PASSWORD.lower(), PASSWORD + "x" * 100, "𝔘" * 5000])
async def test_wrong_password_and_unknown_account_get_the_same_answer(croft: Croft, password: str) -> None:
    _, email = await account(croft)
    nobody = f"nobody{next(_numbers)}@example.test"
    wrong, unknown = await sign_in(croft, email, password), await sign_in(croft, nobody, password)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["message"] == "Invalid email or password"
    assert wrong.json()["code"] == "auth.wrong-credentials"
    assert wrong.headers["content-type"] == "application/problem+json"


async def test_every_character_of_a_long_password_counts(croft: Croft) -> None:
    long = "Maize-2026, beans, sorghum and two goats that nobody has counted before " * 3
    email = f"long{next(_numbers)}@example.test"
    made = await croft.operator.post("/api/users", json={"email": email, "password": long, "role": "USER"})
    assert made.status_code == 201
    assert (await sign_in(croft, email, long)).status_code == 200
    assert (await sign_in(croft, email, long + "x")).status_code == 401
    assert (await sign_in(croft, email, long[:-1])).status_code == 401


@pytest.mark.parametrize("body", [{}, {"email": "a@b.test"}, {"email": 7, "password": []}, []])
async def test_login_without_credentials_names_what_is_missing(croft: Croft, body: Any) -> None:
    answer = await croft.client().post("/api/users/login", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_login_clears_away_the_sessions_that_are_over(croft: Croft) -> None:
    user_id, email = await account(croft)
    await sign_in(croft, email)
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await db.execute("UPDATE croft.sessions SET expires_at = $2 WHERE user_id = $1", user_id, past)
    finally:
        await db.close()
    await sign_in(croft, email)
    await sign_in(croft, email)
    assert len(await sessions(croft, user_id)) == 2


async def test_token_of_a_session_that_is_over_is_refused(croft: Croft) -> None:
    user_id, email = await account(croft)
    client = await croft.signed_in(email)
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        await db.execute("UPDATE croft.sessions SET expires_at = now() WHERE user_id = $1", user_id)
    finally:
        await db.close()
    assert (await client.get("/api/users/check-token")).status_code == 401


async def test_logout_ends_this_session_and_no_other(croft: Croft) -> None:
    _, email = await account(croft)
    one, other = await croft.signed_in(email), await croft.signed_in(email)
    assert (await one.post("/api/users/logout")).status_code == 200
    assert (await one.get("/api/users/me")).status_code == 401
    assert (await one.post("/api/users/logout")).status_code == 401
    assert (await other.get("/api/users/me")).status_code == 200


def forged(croft: Croft, **changes: Any) -> str:
    """A token for a session that was never opened, signed with the server's own secret unless `key` says otherwise."""
    assert croft.settings.jwt_secret is not None
    key = changes.pop("key", croft.settings.jwt_secret.get_secret_value())
    now = datetime.now(UTC)
    claims = {"iss": "croft", "sub": "1", "sid": str(uuid4()), "iat": now, "exp": now + timedelta(hours=1), **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm="HS256")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"key": "another secret that is long enough too"},
        {"sid": "1 OR 1=1"},
        {"sid": 7},
        {"sid": None},
        {"exp": None},
    ],
    ids=["no session", "another key", "no uuid", "a number", "without sid", "without expiry"],
)
async def test_token_that_the_server_did_not_issue_is_refused(croft: Croft, changes: dict[str, Any]) -> None:
    answer = await croft.client(forged(croft, **changes)).get("/api/users/check-token")
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.required")


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 4000])
async def test_header_without_a_valid_token_is_refused(croft: Croft, header: str) -> None:
    answer = await croft.client().get("/api/users/check-token", headers={"Authorization": header})
    assert answer.status_code == 401


async def test_unsigned_token_with_a_live_session_is_refused(croft: Croft) -> None:
    user_id, email = await account(croft)
    token = (await sign_in(croft, email)).json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none")
    assert (await croft.client(unsigned).get("/api/users/check-token")).status_code == 401
    assert len(await sessions(croft, user_id)) == 1


async def test_login_with_the_old_password_during_its_change_opens_no_session(croft: Croft) -> None:
    user_id, email = await account(croft)
    db = await asyncpg.connect(croft.addresses.direct)
    watcher = await asyncpg.connect(croft.addresses.direct)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    try:
        async with asyncio.TaskGroup() as tasks, db.transaction():
            await db.execute("UPDATE croft.users SET password_hash = 'another' WHERE id = $1", user_id)
            login = tasks.create_task(sign_in(croft, email))
            while not login.done() and await watcher.fetchval(waiting) == 0:
                pass
            await db.execute("DELETE FROM croft.sessions WHERE user_id = $1", user_id)
        assert login.result().status_code == 401
        assert await sessions(croft, user_id) == []
    finally:
        await db.close()
        await watcher.close()


async def test_tenant_is_found_by_its_number_only_where_it_is_written_as_a_number(croft: Croft) -> None:
    tenant = await croft.tenant()
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    for name, status in {f"{number}": 200, f"0{number}": 404, "9" * 18: 404, "9" * 19: 404, "9" * 40: 404}.items():
        answer = await croft.operator.get("/api/entities", headers={"X-Tenant-Id": name})
        assert answer.status_code == status, name


async def test_session_and_tenant_are_found_through_indexes(croft: Croft) -> None:
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        await db.execute("SET search_path = croft; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        await db.execute(f"PREPARE find (uuid, text, bigint) AS {_FIND_SESSION}")
        plan = await db.fetch(f"EXPLAIN EXECUTE find ('{uuid4()}', '7', 7)")
    finally:
        await db.close()
    assert not [row[0] for row in plan if "Seq Scan" in row[0]]
