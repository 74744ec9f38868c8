"""Setting up a second factor, signing in with it, and losing it; over HTTP."""

import asyncio
import os
from base64 import b32decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pyotp import TOTP
from typer.testing import CliRunner

from server.auth.second_factor import place_of_seed
from server.auth.second_factor.codes import RECOVERY_CODES, plain_digits, step_of
from server.cli import app
from server.db.embedded import EmbeddedPostgres
from server.vault import Keyring
from tests.conftest import ADMIN_EMAIL, KEYRING, PASSWORD, Croft, new_database, start_croft
from tests.croft_process import settings_of
from tests.server.auth.factors import FACTOR, Holder, acts_of, holder_of, refused, shared_schema

SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

_numbers = count(1)


async def account(croft: Croft, role: str = "USER") -> str:
    email = f"Holder{next(_numbers)}@Factor.Test"
    answer = await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": role})
    assert answer.status_code == 201, answer.text
    return email


async def newcomer(croft: Croft) -> Holder:
    email = await account(croft)
    return Holder(croft, email, await croft.signed_in(email))


async def lose_the_key(holder: Holder) -> None:
    """Puts a seed in place that was sealed with a key which the server does not have."""
    async with shared_schema(holder.croft) as db:
        user_id = await db.fetchval("SELECT id FROM users WHERE email = $1", holder.email)
        sealed = Keyring("another key that nobody has any more").seal(holder.seed, place=place_of_seed(user_id))
        await db.execute("UPDATE second_factors SET seed = $2 WHERE user_id = $1", user_id, sealed)


# Codes


@given(st.integers(1, 2**32), st.integers(-4, 4))
def test_clock_of_the_authenticator_may_be_one_step_off(seconds: int, steps: int) -> None:
    at = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    shown = TOTP(SEED).at(at, counter_offset=steps)
    near = {TOTP(SEED).at(at, counter_offset=each): TOTP(SEED).timecode(at) + each for each in (-1, 0, 1)}
    assert step_of(SEED, shown, at) == near.get(shown)
    assert abs(steps) > 1 or step_of(SEED, shown, at) is not None


@pytest.mark.parametrize("typed", ["123456", " 123 456 ", "123 456"])
def test_six_digits_are_read_in_groups_too(typed: str) -> None:
    assert plain_digits(typed) == "123456"


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "-12345", "12\n3456", "１２３４５６"])
def test_anything_else_is_no_code_of_the_moment(typed: str) -> None:
    assert plain_digits(typed) is None


# Setting up


async def test_who_begins_is_shown_the_seed_in_three_ways(croft: Croft) -> None:
    holder = await newcomer(croft)
    body = (await holder.begin()).json()
    assert len(b32decode(body["seed"])) == 20
    address = urlsplit(body["uri"])
    assert (address.scheme, address.netloc) == ("otpauth", "totp")
    assert unquote(address.path).endswith(f":{holder.email}")
    assert parse_qs(address.query)["secret"] == [body["seed"]]
    assert body["qrCode"].startswith("data:image/svg+xml")


async def test_nothing_is_asked_for_until_a_first_code_was_shown(croft: Croft) -> None:
    holder = await newcomer(croft)
    assert (await holder.state())["state"] == "off"
    await holder.begin()
    assert (await holder.state())["state"] == "begun"
    assert (await holder.sign_in()).status_code == 200
    assert refused(await holder.confirm(holder.code(5))) == (403, "second-factor.wrong-code")
    assert (await holder.state())["state"] == "begun"


async def test_confirmed_factor_is_asked_for_at_each_login(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    state = await holder.state()
    assert (state["state"], state["recoveryCodesLeft"], state["isReadable"]) == ("on", RECOVERY_CODES, True)
    old = await croft.client().post("/api/users/login", json={"email": holder.email, "password": PASSWORD})
    assert refused(old) == refused(await holder.sign_in()) == (401, "auth.second-factor-required")
    assert refused(await holder.sign_in(holder.code(7))) == (401, "auth.wrong-code")
    signed_in = await holder.sign_in(holder.code())
    assert signed_in.status_code == 200
    assert (await croft.client(signed_in.json()["accessToken"]).get("/api/users/me")).json()["email"] == holder.email


async def test_beginning_again_replaces_the_seed_that_was_never_confirmed(croft: Croft) -> None:
    holder = await newcomer(croft)
    await holder.begin()
    earlier = holder.code()
    await holder.begin()
    assert refused(await holder.confirm(earlier)) == (403, "second-factor.wrong-code")
    assert (await holder.confirm()).status_code == 200


async def test_setting_up_ends_the_sessions_that_were_opened_with_the_password_alone(croft: Croft) -> None:
    email = await account(croft)
    elsewhere = await croft.signed_in(email)
    holder = await holder_of(croft, email)
    assert (await elsewhere.get("/api/users/me")).status_code == 401
    assert (await holder.client.get("/api/users/me")).status_code == 200


async def test_second_one_cannot_be_set_up_beside_the_first(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    assert refused(await holder.begin()) == (409, "second-factor.set-up-already")
    assert refused(await holder.confirm()) == (409, "second-factor.not-begun")


async def test_what_was_not_begun_can_neither_be_confirmed_nor_removed(croft: Croft) -> None:
    holder = await newcomer(croft)
    assert refused(await holder.confirm("123456")) == (409, "second-factor.not-begun")
    for change in (holder.remove, holder.renew):
        assert refused(await change("123456")) == (404, "second-factor.not-set-up")


async def test_seed_and_recovery_codes_are_not_in_the_database(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    async with shared_schema(croft) as db:
        user_id = await db.fetchval("SELECT id FROM users WHERE email = $1", holder.email)
        seed = await db.fetchval("SELECT seed FROM second_factors WHERE user_id = $1", user_id)
        stored = await db.fetch("SELECT digest::text FROM recovery_codes WHERE user_id = $1", user_id)
        acts = await db.fetch("SELECT details::text FROM audit WHERE subject = $1", f"user:{user_id}")
    assert holder.seed not in seed
    assert KEYRING.open(seed, place=f"user {user_id} second factor") == holder.seed
    assert len(stored) == RECOVERY_CODES
    for secret in (holder.seed, *holder.recovery_codes):
        assert all(secret not in row[0] for row in [*stored, *acts])


async def test_everything_about_it_is_on_record(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    await holder.renew(holder.recovery_codes[0])
    await holder.remove(holder.code())
    assert [act for act in await acts_of(croft, holder.email) if act.startswith("second-factor")] == [
        "second-factor.begun",
        "second-factor.set-up",
        "second-factor.recovery-codes-renewed",
        "second-factor.removed",
    ]


# Recovery codes


async def test_recovery_code_opens_the_account_when_the_authenticator_is_lost(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    typed = holder.recovery_codes[3].lower().replace("-", " ")
    assert (await holder.sign_in(typed)).status_code == 200
    assert (await holder.state())["recoveryCodesLeft"] == RECOVERY_CODES - 1


async def test_new_recovery_codes_take_the_place_of_the_old_ones(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    old = holder.recovery_codes
    new = (await holder.renew(holder.code())).json()["recoveryCodes"]
    assert len({*old, *new}) == 2 * RECOVERY_CODES
    assert refused(await holder.sign_in(old[0])) == (401, "auth.wrong-code")
    assert (await holder.sign_in(new[0])).status_code == 200


# Removing


async def test_removed_factor_is_asked_for_no_more(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    assert refused(await holder.remove(holder.code(), "wrong")) == (403, "second-factor.wrong-password")
    assert refused(await holder.remove(holder.code(6))) == (403, "second-factor.wrong-code")
    assert (await holder.remove(holder.code())).status_code == 200
    assert await holder.state() == {"state": "off", "since": None, "recoveryCodesLeft": 0, "isReadable": True}
    assert (await holder.sign_in()).status_code == 200


async def test_wrong_tries_of_a_session_are_counted_and_right_ones_are_not(croft: Croft) -> None:
    holder = await newcomer(croft)
    for _ in range(7):
        assert (await holder.begin()).status_code == 200
    answers = [refused(await holder.begin("wrong")) for _ in range(7)]
    assert answers[0] == (403, "second-factor.wrong-password")
    assert answers[-1] == (429, "auth.too-many-attempts")
    assert (await holder.sign_in()).status_code == 200, "a login is counted elsewhere"


# The key is lost


async def test_without_its_key_a_code_is_answered_clearly_and_recovery_codes_go_on(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    await lose_the_key(holder)
    assert refused(await holder.sign_in(holder.code())) == (503, "auth.second-factor-unreadable")
    assert (await holder.state())["isReadable"] is False
    assert (await holder.sign_in(holder.recovery_codes[0])).status_code == 200
    assert (await holder.remove(holder.recovery_codes[1])).status_code == 200
    assert (await holder.sign_in()).status_code == 200


async def test_seed_moved_to_another_account_is_worth_nothing(croft: Croft) -> None:
    holder, thief = await holder_of(croft, await account(croft)), await holder_of(croft, await account(croft))
    async with shared_schema(croft) as db:
        await db.execute(
            "UPDATE second_factors SET seed = (SELECT f.seed FROM second_factors f JOIN users u ON u.id = f.user_id "
            "WHERE u.email = $1) WHERE user_id = (SELECT id FROM users WHERE email = $2)",
            thief.email,
            holder.email,
        )
    holder.seed = thief.seed
    assert refused(await holder.sign_in(holder.code())) == (503, "auth.second-factor-unreadable")


# Reset by operators


async def test_operator_resets_the_factor_of_somebody_who_lost_everything(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    reset = f"/api/users/{holder.email}/second-factor"
    assert (await croft.operator.delete(reset)).status_code == 200
    assert (await holder.client.get("/api/users/me")).status_code == 401
    assert (await holder.sign_in()).status_code == 200
    assert (await acts_of(croft, holder.email))[-1] == "second-factor.reset"
    assert refused(await croft.operator.delete(reset)) == (404, "users.no-second-factor")
    assert refused(await croft.operator.delete("/api/users/0/second-factor")) == (404, "users.unknown")


async def test_only_operators_reset_a_factor(croft: Croft) -> None:
    holder = await holder_of(croft, await account(croft))
    tenant = await croft.tenant()
    administrator = await tenant.caller("admin")
    answer = await administrator.delete(f"/api/users/{holder.email}/second-factor")
    assert refused(answer) == (403, "access.forbidden")
    assert (await holder.state())["state"] == "on"


async def test_operator_at_the_command_line_resets_a_factor(
    croft: Croft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holder = await holder_of(croft, await account(croft))
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": croft.addresses.serving})
    words = ["users", "reset-second-factor", holder.email]
    result = await asyncio.to_thread(lambda: CliRunner().invoke(app, words, env=env))
    assert result.exit_code == 0, result.output
    assert f"The second factor of {holder.email} is removed." in result.output
    assert (await holder.sign_in()).status_code == 200
    again = await asyncio.to_thread(lambda: CliRunner().invoke(app, words, env=env))
    assert again.exit_code == 1
    assert "This account has no second factor." in again.output


# Where one is asked for


async def test_tenant_that_asks_for_a_factor_is_closed_until_one_was_shown(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account("admin")
    holder = Holder(croft, email, await croft.signed_in(email))
    answer = await holder.client.put(f"/api/tenants/{tenant.config_id}/security", json={"secondFactorRequired": True})
    assert answer.is_success, answer.text
    entities = f"/api/entities?configId={tenant.config_id}"
    assert refused(await holder.client.get(entities)) == (403, "access.second-factor-needed")
    await holder.begin()
    assert (await holder.confirm()).status_code == 200
    assert (await holder.client.get(entities)).status_code == 200
    await holder.forget_steps()
    fresh = croft.client((await holder.sign_in(holder.code())).json()["accessToken"])
    assert (await fresh.get(entities)).status_code == 200
    await holder.remove(holder.recovery_codes[0])
    for client in (holder.client, fresh):
        assert refused(await client.get(entities)) == (403, "access.second-factor-needed")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict_croft(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server that asks its operators for a second factor."""
    async with start_croft(await new_database(cluster), operators_need_second_factor=True) as server:
        yield server


async def test_operator_without_a_factor_manages_his_own_account_alone(strict_croft: Croft) -> None:
    operator = Holder(strict_croft, ADMIN_EMAIL, strict_croft.operator)
    for path in ("/api/users", "/api/tenants", "/api/users/1/sessions"):
        assert refused(await operator.client.get(path)) == (403, "access.second-factor-needed")
    await operator.begin()
    assert (await operator.confirm()).status_code == 200
    assert (await operator.client.get("/api/users")).status_code == 200
    tenant = await strict_croft.tenant()
    assert [each["id"] for each in (await operator.client.get("/api/apps")).json()["data"]] == [tenant.config_id]
    await operator.forget_steps()
    assert (await operator.remove(operator.code())).status_code == 200
    assert (await operator.client.get("/api/apps")).json()["data"] == []
    assert refused(await operator.client.get("/api/users")) == (403, "access.second-factor-needed")


async def test_who_is_no_operator_needs_no_factor_where_operators_do(strict_croft: Croft) -> None:
    holder = Holder(strict_croft, ADMIN_EMAIL, strict_croft.operator)
    await holder.begin()
    await holder.confirm()
    tenant = await strict_croft.tenant()
    member = await tenant.caller("viewer")
    answer = await member.get("/api/entities", params={"configId": tenant.config_id})
    assert answer.status_code == 200
    assert (await member.get(FACTOR)).json()["state"] == "off"
    assert datetime.fromisoformat((await holder.state())["since"]) > datetime.now(UTC) - timedelta(minutes=5)
