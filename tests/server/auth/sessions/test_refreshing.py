"""Exchanging refresh tokens: bad networks, thieves, offline periods."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import PASSWORD, Croft
from tests.server.auth.sessions.signing import (
    acts_about,
    claims_of,
    device_of,
    new_account,
    refused,
    renew,
    set_sessions,
    stored,
    superuser,
)


async def set_offline_days(croft: Croft, config_id: str, days: int | None) -> None:
    async with superuser(croft) as db:
        await db.execute("UPDATE croft.tenants SET offline_days = $2 WHERE config_id = $1", config_id, days)


async def test_login_answers_a_short_token_and_one_to_renew_it(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    answer = await device.sign_in(deviceName=" Tablet\t7 ")
    body = answer.json()
    assert set(body) == {"accessToken", "expiresIn", "refreshToken", "refreshExpiresAt", "userId"}
    assert (body["userId"], body["expiresIn"]) == (user_id, croft.settings.access_token_minutes * 60)
    assert answer.headers["cache-control"] == "no-store"
    claims = claims_of(device.access)
    assert (claims["use"], claims["exp"] - claims["iat"]) == ("access", 600)
    assert (await device.ask()).json()["id"] == user_id
    *_, session = await stored(croft, user_id)
    assert (session["kind"], session["scope"], session["device_name"]) == ("refresh", "full", "Tablet7")
    assert session["device_id"] == f"device of {email}"
    assert session["user_agent"].startswith("python-httpx")
    assert session["expires_at"] - session["created_at"] == timedelta(days=croft.settings.session_days)
    assert datetime.fromisoformat(body["refreshExpiresAt"]) <= session["expires_at"]


async def test_wrong_password_opens_no_session(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    answer = await croft.client().post("/api/v2/auth/login", json={"email": email, "password": "Wrong-Horse-7"})
    assert refused(answer, "auth.wrong-credentials")
    assert await stored(croft, user_id) == []


async def test_refresh_gives_the_next_tokens_of_the_same_session(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    before = device.copy()
    [opened] = await stored(croft, user_id)
    answer = await device.renew()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"accessToken", "expiresIn", "refreshToken", "refreshExpiresAt", "userId"}
    assert device.session == before.session
    assert device.refresh != before.refresh
    [renewed] = await stored(croft, user_id)
    assert renewed["renewed_at"] > opened["renewed_at"]
    assert renewed["expires_at"] > opened["expires_at"]
    assert (await device.ask()).status_code == 200
    # What was under way with the token before is not cut off.
    assert (await before.ask()).status_code == 200


async def test_refresh_token_that_was_used_ends_the_session_and_that_is_on_record(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    other = await device_of(croft, email)
    thief = device.copy()
    await device.renew()
    assert (await device.ask()).status_code == 200
    assert refused(await thief.renew(), "auth.refresh-reused")
    assert refused(await device.renew(), "auth.required")
    assert refused(await device.ask(), "auth.required")
    [act] = await acts_about(croft, user_id, "session.reused")
    assert (act["actor"], act["session_id"], act["address"]) == (str(user_id), device.session, "127.0.0.1")
    # Another device of the account goes on.
    assert (await other.renew()).status_code == 200


@pytest.mark.parametrize("losses", [1, 2, 5])
async def test_phone_that_loses_answers_renews_with_the_same_token(croft: Croft, losses: int) -> None:
    _, email = await new_account(croft)
    device = await device_of(croft, email)
    for _ in range(losses):
        assert (await device.renew(loses_answer=True)).status_code == 200
    assert (await device.renew()).status_code == 200
    assert (await device.ask()).status_code == 200
    assert (await device.renew()).status_code == 200


async def test_first_request_with_a_new_token_ends_the_grace_of_the_one_before(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    before = device.refresh
    await device.renew()
    assert [row["delivered"] for row in await stored(croft, user_id)] == [False]
    answers = await asyncio.gather(*(device.ask() for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert [row["delivered"] for row in await stored(croft, user_id)] == [True]
    assert refused(await renew(device.http, before), "auth.refresh-reused")


async def test_request_with_an_earlier_token_proves_nothing_about_the_newest(croft: Croft) -> None:
    _, email = await new_account(croft)
    device = await device_of(croft, email)
    await device.renew(loses_answer=True)
    assert (await device.ask()).status_code == 200
    assert (await device.renew()).status_code == 200


async def test_thief_within_the_grace_is_found_out_by_the_device(croft: Croft) -> None:
    _, email = await new_account(croft)
    device = await device_of(croft, email)
    thief = device.copy()
    await device.renew()
    assert (await thief.renew()).status_code == 200
    assert refused(await device.renew(), "auth.refresh-reused")
    assert refused(await thief.renew(), "auth.required")
    assert refused(await thief.ask(), "auth.required")


async def test_of_two_refreshes_at_once_the_answer_of_the_later_one_is_good(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    answers = await asyncio.gather(device.renew(loses_answer=True), device.renew(loses_answer=True))
    assert [answer.status_code for answer in answers] == [200, 200]
    [session] = await stored(croft, user_id)
    later = max(answers, key=lambda answer: claims_of(answer.json()["accessToken"])["gen"])
    assert claims_of(later.json()["refreshToken"])["jti"] == str(session["token_id"])
    device.take(later)
    assert (await device.ask()).status_code == 200
    assert (await device.renew()).status_code == 200


@pytest.mark.parametrize("given", ["", "a", "a.b.c", "x" * 1999])
async def test_anything_that_is_no_refresh_token_is_refused(croft: Croft, given: str) -> None:
    assert refused(await renew(croft.client(), given), "auth.required")


@pytest.mark.parametrize("body", [{}, {"refreshToken": 7}, {"refreshToken": "x" * 2001}, [], {"refreshToken": None}])
async def test_refresh_without_a_token_names_what_is_missing(croft: Croft, body: object) -> None:
    answer = await croft.client().post("/api/v2/auth/refresh", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_session_that_was_ended_is_not_renewed(croft: Croft) -> None:
    _, email = await new_account(croft)
    device = await device_of(croft, email)
    assert (await device.ask("/api/users/logout", "POST")).status_code == 200
    assert refused(await device.renew(), "auth.required")


async def test_new_password_ends_sessions_with_refresh_tokens_too(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    changed = await croft.operator.put(f"/api/users/{user_id}", json={"password": "Another-Horse-8"})
    assert changed.status_code == 200
    assert refused(await device.renew(), "auth.required")


# How long


async def test_session_lasts_for_the_shortest_offline_period_of_the_accounts_tenants(croft: Croft) -> None:
    tenants = [await croft.tenant() for _ in range(3)]
    memberships = [{"configId": each.config_id, "role": "collector"} for each in tenants]
    user_id, email = await new_account(croft, memberships=memberships)
    for tenant, days in zip(tenants, (9, 40, None), strict=True):
        await set_offline_days(croft, tenant.config_id, days)
    device = await device_of(croft, email)
    await croft.signed_in(email)
    for session in await stored(croft, user_id):
        assert session["expires_at"] - session["created_at"] == timedelta(days=9)
    await set_offline_days(croft, tenants[0].config_id, 5)
    await device.renew()
    for session in await stored(croft, user_id):
        expected = 5 if session["kind"] == "refresh" else 9
        assert session["expires_at"] - session["renewed_at"] == timedelta(days=expected)
    assert (await croft.operator.delete(f"/api/apps/{tenants[0].config_id}")).status_code == 200
    await device.renew()
    *_, session = [each for each in await stored(croft, user_id) if each["kind"] == "refresh"]
    # A tenant that says nothing has the installation's days.
    assert session["expires_at"] - session["renewed_at"] == timedelta(days=croft.settings.session_days)


async def test_shorter_offline_period_takes_effect_at_once(croft: Croft) -> None:
    tenant = await croft.tenant()
    user_id, email = await new_account(croft, memberships=[{"configId": tenant.config_id, "role": "collector"}])
    device = await device_of(croft, email)
    old = await croft.signed_in(email)
    await set_sessions(croft, user_id, "renewed_at = now() - interval '3 days'")
    entities = f"/api/entities?configId={tenant.config_id}"
    assert (await device.ask(entities)).status_code == 200
    await set_offline_days(croft, tenant.config_id, 2)
    assert refused(await device.ask(entities), "auth.away-too-long")
    assert refused(await old.get(entities), "auth.away-too-long")
    assert refused(await device.renew(), "auth.away-too-long")
    await device.sign_in()
    assert (await device.ask(entities)).status_code == 200


async def test_session_ends_for_good_after_the_longest_time_however_often_it_was_renewed(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    most = croft.settings.session_most_days
    await set_sessions(croft, user_id, f"created_at = created_at - interval '{most - 2} days'")
    assert (await device.renew()).status_code == 200
    [session] = await stored(croft, user_id)
    assert session["expires_at"] - session["created_at"] == timedelta(days=most)
    await set_sessions(croft, user_id, "expires_at = now()")
    assert refused(await device.renew(), "auth.required")


async def test_access_token_does_not_outlast_its_session(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    most = croft.settings.session_most_days
    await set_sessions(croft, user_id, f"created_at = now() - interval '{most} days' + interval '90 seconds'")
    answer = await device.renew()
    assert 0 < answer.json()["expiresIn"] <= 90


# Every course of things


@dataclass
class History:
    """What was given out and shown, in order; from it alone follows what has to be good."""

    given: list[tuple[str, str]] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)
    is_over: bool = False

    def is_good(self, number: int) -> bool:
        """The last one given, and the one that it was given for while the last one was not shown in any way."""
        last = len(self.given) - 1
        is_forgivable = self.parents[last] == number and last not in self.shown
        return not self.is_over and (number == last or is_forgivable)

    def take(self, answer: httpx.Response, parent: int | None) -> None:
        body = answer.json()
        self.given.append((body["accessToken"], body["refreshToken"]))
        self.parents.append(parent)


STEPS = st.lists(st.tuples(st.sampled_from(["refresh", "refresh", "use"]), st.integers(0, 3)), max_size=12)


@given(steps=STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whoever_shows_what_tokens_in_whatever_order_the_rule_holds(
    croft: Croft, steps: Sequence[tuple[str, int]]
) -> None:
    """Each step shows one of the tokens given so far, counted from the newest: the device's or a thief's."""
    http, history = croft.client(), History()
    history.take(await http.post("/api/v2/auth/login", json={"email": COURSES, "password": PASSWORD}), None)
    for kind, age in steps:
        number = max(0, len(history.given) - 1 - age)
        access, refresh_token = history.given[number]
        if kind == "use":
            answer = await http.get("/api/users/check-token", headers={"Authorization": f"Bearer {access}"})
            assert answer.status_code == (401 if history.is_over else 200)
            history.shown.add(number)
            continue
        expected, was_over = history.is_good(number), history.is_over
        answer = await renew(http, refresh_token)
        assert answer.status_code == (200 if expected else 401), answer.text
        if expected:
            history.take(answer, number)
        else:
            history.is_over = True
            assert answer.json()["code"] == ("auth.required" if was_over else "auth.refresh-reused")


COURSES = "courses@sessions.test"


@pytest.fixture(scope="module", autouse=True)
async def _account_of_courses(croft: Croft) -> None:
    body = {"email": COURSES, "password": PASSWORD, "role": "USER"}
    assert (await croft.operator.post("/api/users", json=body)).status_code == 201
