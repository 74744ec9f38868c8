"""Getting past a second factor, making more of an app password or a key than it is, and guessing them."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest

from server.auth.app_passwords import find_app_password
from server.auth.credentials import end_credentials
from server.auth.model import Proof
from server.auth.service_accounts.keys import NEVER_OF_A_KEY
from server.auth.sessions import Sessions
from server.auth.throttling.rules import CODE
from server.auth.tokens import Tokens
from server.db import Database
from server.roles.permissions import OF_A_TENANT, Permission
from tests.conftest import PASSWORD, Croft, TenantHandle
from tests.server.auth.factors import APP_PASSWORDS, FACTOR, Holder, holder_of, refused, shared_schema
from tests.server.auth.programs import ACCOUNTS, programs_of

WRONG_CODE = (401, "auth.wrong-code")
FORBIDDEN = (403, "access.forbidden")
NOT_SIGNED_IN = (401, "auth.required")

_numbers = count(1)


LET_THROUGH = CODE.free + 1
"""Before somebody has to wait: what was tried first is forgotten a little by the time of the last."""


def wrong_codes(target: Holder, number: int) -> list[str]:
    """So many codes that are not good about now."""
    good = {target.code(steps) for steps in range(-2, 5)}
    return [code for code in (f"{each:06d}" for each in range(number + len(good))) if code not in good][:number]


async def holder(croft: Croft, role: str = "USER") -> Holder:
    email = f"target{next(_numbers)}@attacked.test"
    answer = await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": role})
    assert answer.status_code == 201, answer.text
    return await holder_of(croft, email)


async def done_or_waiting(croft: Croft, task: "asyncio.Task[httpx.Response]") -> None:
    """Returns once the request is answered, or waits for what somebody else has locked."""
    async with shared_schema(croft) as db:
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid())"
        while not task.done() and not await db.fetchval(waiting):
            pass


# The second factor


async def test_code_that_was_overheard_is_replayed(croft: Croft) -> None:
    target = await holder(croft)
    code = target.code()
    assert (await target.sign_in(code)).status_code == 200
    assert refused(await target.sign_in(code)) == WRONG_CODE


async def test_earlier_code_is_shown_after_a_later_one(croft: Croft) -> None:
    target = await holder(croft)
    earlier, later = target.code(), target.code(1)
    assert (await target.sign_in(later)).status_code == 200
    assert refused(await target.sign_in(earlier)) == WRONG_CODE


async def test_code_that_set_the_factor_up_is_replayed_at_a_login(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    target = Holder(croft, email, await croft.signed_in(email))
    await target.begin()
    code = target.code()
    assert (await target.confirm(code)).status_code == 200
    assert refused(await target.sign_in(code)) == WRONG_CODE


@pytest.mark.parametrize("kind", ["code of the moment", "recovery code"])
async def test_one_code_is_shown_by_many_at_once(croft: Croft, kind: str) -> None:
    target = await holder(croft)
    code = target.code() if kind == "code of the moment" else target.recovery_codes[0]
    answers = await asyncio.gather(*(target.sign_in(code) for _ in range(4)))
    assert Counter(answer.status_code for answer in answers)[200] == 1


async def test_recovery_code_is_used_twice(croft: Croft) -> None:
    target = await holder(croft)
    assert (await target.sign_in(target.recovery_codes[0])).status_code == 200
    assert refused(await target.sign_in(target.recovery_codes[0])) == WRONG_CODE


async def test_recovery_code_of_another_account_is_tried(croft: Croft) -> None:
    thief, target = await holder(croft), await holder(croft)
    assert refused(await target.sign_in(thief.recovery_codes[0])) == WRONG_CODE
    assert (await thief.sign_in(thief.recovery_codes[0])).status_code == 200


async def test_codes_are_guessed_by_who_knows_the_password(croft: Croft) -> None:
    target = await holder(croft)
    guesses = [await target.sign_in(code) for code in wrong_codes(target, LET_THROUGH + 10)]
    told = Counter(refused(answer) for answer in guesses if answer.status_code != 200)
    assert told[WRONG_CODE] <= LET_THROUGH
    assert told[(429, "auth.too-many-attempts")] >= 10
    assert guesses[-1].headers["retry-after"]
    assert refused(await target.sign_in(target.code())) == (429, "auth.too-many-attempts"), "the right one waits, too"


async def test_codes_are_guessed_many_at_once(croft: Croft) -> None:
    target = await holder(croft)
    guesses = await asyncio.gather(*(target.sign_in(code) for code in wrong_codes(target, 30)))
    assert Counter(answer.json().get("code") for answer in guesses)["auth.wrong-code"] <= LET_THROUGH


@pytest.mark.parametrize("kind", ["code of the moment", "recovery code"])
async def test_codes_are_guessed_from_an_open_session(croft: Croft, kind: str) -> None:
    target = await holder(croft)
    [wrong] = wrong_codes(target, 1) if kind == "code of the moment" else ["AAAA-AAAA-AAAA-AAAA"]
    guesses = [await target.remove(wrong) for _ in range(LET_THROUGH + 5)]
    told = Counter(refused(answer) for answer in guesses)
    assert told[(403, "second-factor.wrong-code")] <= LET_THROUGH
    assert told[(429, "auth.too-many-attempts")] >= 5
    assert (await target.state())["state"] == "on"


@pytest.mark.parametrize("code", [None, "", " ", "null", "0", "true", "%", "' OR 1=1 --"])
async def test_login_goes_on_without_a_code(croft: Croft, code: str | None) -> None:
    target = await holder(croft)
    assert (await target.sign_in(code)).status_code == 401


async def test_old_login_skips_the_second_factor(croft: Croft) -> None:
    target = await holder(croft)
    for body in ({}, {"code": target.code()}, {"secondFactor": True, "second_factor": True}):
        credentials = {"email": target.email, "password": PASSWORD, **body}
        answer = await croft.client().post("/api/users/login", json=credentials)
        assert refused(answer) == (401, "auth.second-factor-required")


async def test_session_from_before_the_factor_is_renewed_past_it(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    credentials = {"email": email, "password": PASSWORD}
    before = (await croft.client().post("/api/v2/auth/login", json=credentials)).json()
    await holder_of(croft, email)
    renewal = {"refreshToken": before["refreshToken"]}
    assert (await croft.client().post("/api/v2/auth/refresh", json=renewal)).status_code == 401
    assert (await croft.client(before["accessToken"]).get("/api/users/me")).status_code == 401


async def test_session_without_the_factor_gains_it_by_being_renewed(croft: Croft) -> None:
    tenant = await croft.tenant()
    credentials = {"email": await tenant.account(), "password": PASSWORD}
    signed_in = (await croft.client().post("/api/v2/auth/login", json=credentials)).json()
    security = f"/api/tenants/{tenant.config_id}/security"
    assert (await tenant.api.put(security, json={"secondFactorRequired": True})).is_success
    renewal = {"refreshToken": signed_in["refreshToken"]}
    renewed = (await croft.client().post("/api/v2/auth/refresh", json=renewal)).json()
    for token in (signed_in["accessToken"], renewed["accessToken"]):
        answer = await croft.client(token).get("/api/entities", params={"configId": tenant.config_id})
        assert refused(answer) == (403, "access.second-factor-needed")


async def test_login_with_the_password_alone_is_under_way_while_the_factor_is_set_up(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    async with Database(croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            row = await db.fetchrow("SELECT id, password_hash FROM users WHERE email = $1", email)
        assert row is not None
        alone = Proof(row["id"], row["password_hash"])
        await holder_of(croft, email)
        async with database.shared() as db:
            sessions = Sessions(Tokens("a secret of the tests that is long enough"))
            assert await sessions.open(db, alone, kind="token", at=datetime.now(UTC)) is None
            shown = replace(alone, second_factor=True)
            assert await sessions.open(db, shown, kind="token", at=datetime.now(UTC)) is not None


async def test_login_with_the_password_alone_ends_just_after_the_factor_was_set_up(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    owner = Holder(croft, email, await croft.signed_in(email))
    assert (await owner.begin()).is_success
    async with Database(croft.addresses.serving, size=1) as database:
        async with asyncio.TaskGroup() as tasks, database.shared() as db:
            row = await db.fetchrow("SELECT id, password_hash FROM users WHERE email = $1", email)
            assert row is not None
            sessions = Sessions(Tokens("a secret of the tests that is long enough"))
            alone = Proof(row["id"], row["password_hash"])
            assert await sessions.open(db, alone, kind="token", at=datetime.now(UTC)) is not None
            confirming = tasks.create_task(owner.confirm())
            await done_or_waiting(croft, confirming)
        assert confirming.result().is_success
        async with database.shared() as db:
            kept = await db.fetch("SELECT second_factor_at FROM sessions WHERE user_id = $1", row["id"])
    assert [each["second_factor_at"] is None for each in kept] == [False]


async def test_app_password_is_made_while_the_account_gets_another_password_by_mail(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    thief = await croft.signed_in(email)
    async with shared_schema(croft) as db:
        async with asyncio.TaskGroup() as tasks, db.transaction():
            sql = "UPDATE users SET password_hash = 'another' WHERE email = $1 RETURNING id"
            user_id = await db.fetchval(sql, email)
            await end_credentials(db, user_id)
            making = tasks.create_task(thief.post(APP_PASSWORDS, json={"name": "Hidden"}))
            await done_or_waiting(croft, making)
        assert refused(making.result()) == NOT_SIGNED_IN
        assert await db.fetchval("SELECT count(*) FROM app_passwords WHERE user_id = $1", user_id) == 0


async def test_stolen_session_sets_up_or_removes_a_factor_without_the_password(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    stolen = Holder(croft, email, await croft.signed_in(email))
    assert refused(await stolen.begin("guessed")) == (403, "second-factor.wrong-password")
    target = await holder(croft)
    for change in (target.remove, target.renew):
        assert refused(await change(target.code(), "guessed")) == (403, "second-factor.wrong-password")
        assert (await target.client.request("DELETE", FACTOR, json={"code": target.code()})).status_code == 422


async def test_operator_whose_session_was_stolen_loses_his_factor_by_his_own_reset(croft: Croft) -> None:
    operator = await holder(croft, "ADMIN")
    answer = await operator.client.delete(f"/api/users/{operator.email}/second-factor")
    assert refused(answer) == (409, "users.own-second-factor")
    assert (await operator.state())["state"] == "on"


# App passwords


async def phone_of(croft: Croft, email: str) -> tuple[httpx.AsyncClient, str]:
    """A client that signed in with a new app password of the account, and that app password."""
    owner = await croft.signed_in(email)
    password = (await owner.post(APP_PASSWORDS, json={"name": "Phone"})).json()["password"]
    answer = await croft.client().post("/api/v2/auth/login", json={"email": email, "password": password})
    return croft.client(answer.json()["accessToken"]), password


async def test_app_password_of_an_administrator_administrates(croft: Croft) -> None:
    tenant = await croft.tenant()
    phone, _ = await phone_of(croft, await tenant.account("admin"))
    here = {"configId": tenant.config_id}
    for method, path, body in (
        ("GET", "/api/entities", None),
        ("GET", "/api/members", None),
        ("POST", "/api/roles", {"name": "own", "permissions": ["members.manage"]}),
        ("POST", ACCOUNTS, {"name": "Own", "role": "viewer"}),
        ("PUT", f"/api/tenants/{tenant.config_id}/security", {"secondFactorRequired": False}),
        ("PUT", f"/api/apps/{tenant.config_id}", {"id": tenant.config_id, "name": "Taken"}),
    ):
        answer = await phone.request(method, path, params=here, json=body)
        assert refused(answer) == FORBIDDEN, path


async def test_app_password_of_an_operator_operates(croft: Croft) -> None:
    tenant, email = await croft.tenant(), f"operator{next(_numbers)}@attacked.test"
    await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": "ADMIN"})
    phone, _ = await phone_of(croft, email)
    for path in ("/api/users", "/api/tenants", f"/api/apps/{tenant.config_id}", "/api/entities", "/api/sync/pull"):
        answer = await phone.get(path, params={"configId": tenant.config_id})
        assert refused(answer) == FORBIDDEN, path
    assert (await phone.get("/api/apps")).json()["data"] == []


async def test_app_password_makes_itself_more(croft: Croft) -> None:
    tenant = await croft.tenant()
    phone, password = await phone_of(croft, await tenant.account("admin"))
    own_login_needed = (403, "access.own-login-needed")
    assert refused(await phone.post(APP_PASSWORDS, json={"name": "Another"})) == own_login_needed
    assert refused(await phone.delete(f"{APP_PASSWORDS}/1")) == own_login_needed
    assert refused(await phone.post(FACTOR, json={"password": password})) == own_login_needed


async def test_app_password_is_tried_at_another_account(croft: Croft) -> None:
    tenant = await croft.tenant()
    _, password = await phone_of(croft, await tenant.account())
    other = {"email": await tenant.account("admin"), "password": password}
    assert (await croft.client().post("/api/users/login", json=other)).status_code == 401


async def test_app_password_of_somebody_else_is_revoked(croft: Croft) -> None:
    tenant = await croft.tenant()
    owner, thief = await tenant.caller(), await tenant.caller("admin")
    made = (await owner.post(APP_PASSWORDS, json={"name": "Phone"})).json()
    for number in (str(made["id"]), f"0{made['id']}", f"{made['id']} ", "-1", "1e0", str(2**70)):
        assert refused(await thief.delete(f"{APP_PASSWORDS}/{number}")) == (404, "app-passwords.unknown")
    assert [each["id"] for each in (await owner.get(APP_PASSWORDS)).json()] == [made["id"]]
    assert (await thief.get(APP_PASSWORDS)).json() == []


async def test_app_password_that_was_found_signs_its_owner_out(croft: Croft) -> None:
    """It is let through as often as it is shown: its sessions must not take the place of hers."""
    tenant = await croft.tenant()
    owner = await holder_of(croft, await tenant.account())
    password = (await owner.client.post(APP_PASSWORDS, json={"name": "Lost phone"})).json()["password"]
    async with Database(croft.addresses.serving, size=1) as database, database.shared() as db:
        found = await find_app_password(db, owner.email, password)
        assert found is not None
        proof = Proof(found.user_id, found.password_hash, app_password_id=found.id)
        sessions = Sessions(Tokens("a secret of the tests that is long enough"))
        for _ in range(1010):
            assert await sessions.open(db, proof, kind="token", at=datetime.now(UTC)) is not None
    assert (await owner.client.get("/api/users/me")).status_code == 200
    assert len((await owner.client.get("/api/v2/auth/sessions")).json()) <= 25


async def test_app_password_is_revoked_while_a_login_with_it_is_under_way(croft: Croft) -> None:
    tenant = await croft.tenant()
    owner = await holder_of(croft, await tenant.account())
    password = (await owner.client.post(APP_PASSWORDS, json={"name": "Lost phone"})).json()["password"]
    async with Database(croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            found = await find_app_password(db, owner.email, password)
        assert found is not None
        assert (await owner.client.delete(f"{APP_PASSWORDS}/{found.id}")).is_success
        proof = Proof(found.user_id, found.password_hash, app_password_id=found.id)
        async with database.shared() as db:
            sessions = Sessions(Tokens("a secret of the tests that is long enough"))
            assert await sessions.open(db, proof, kind="token", at=datetime.now(UTC)) is None


async def test_app_password_made_without_the_factor_gets_around_the_tenant_that_asks_for_it(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    security = f"/api/tenants/{tenant.config_id}/security"
    assert (await tenant.api.put(security, json={"secondFactorRequired": True})).is_success
    phone, _ = await phone_of(croft, email)
    answer = await phone.get("/api/sync/pull", params={"configId": tenant.config_id})
    assert refused(answer) == (403, "access.second-factor-needed")


# API keys

READING = {
    Permission.CONFIG_READ: ("GET", "/api/apps/{id}"),
    Permission.ENTITIES_READ: ("GET", "/api/entities"),
    Permission.DUPLICATES_READ: ("GET", "/api/potential-duplicates"),
    Permission.CONFLICTS_READ: ("GET", "/api/conflicts"),
    Permission.QUARANTINE_READ: ("GET", "/api/sync/quarantine"),
    Permission.SYNC_PULL: ("GET", "/api/sync/pull"),
}


@pytest.mark.parametrize("scope", sorted(READING))
async def test_key_does_what_it_has_no_scope_for(croft: Croft, scope: Permission) -> None:
    programs = await programs_of(await croft.tenant())
    client = await programs.client("admin", scope)
    for permission, (method, path) in READING.items():
        answer = await client.request(method, path.format(id=programs.tenant.config_id), params=programs.here)
        assert (answer.status_code == 200) == (permission is scope), (path, answer.text)
        assert answer.status_code == 200 or refused(answer) == FORBIDDEN


async def test_key_that_was_given_everything_behind_the_servers_back_manages_nothing(croft: Croft) -> None:
    tenant = await croft.tenant()
    programs = await programs_of(tenant)
    client = await programs.client("admin")
    async with shared_schema(croft) as db:
        await db.execute("UPDATE api_keys SET scopes = $1", [permission.value for permission in Permission])
    assert (await client.get("/api/entities")).status_code == 200
    config = {"id": tenant.config_id, "name": "Taken"}
    managing: dict[Permission, tuple[str, str, Any]] = {
        Permission.MEMBERS_MANAGE: ("DELETE", "/api/members/1/sessions", None),
        Permission.ROLES_MANAGE: ("POST", "/api/roles", {"name": "own", "permissions": ["members.manage"]}),
        Permission.SERVICE_ACCOUNTS_MANAGE: ("POST", ACCOUNTS, {"name": "Own", "role": "admin"}),
        Permission.SECURITY_MANAGE: ("PUT", f"/api/tenants/{tenant.config_id}/security", {"guarded": False}),
        Permission.CONFIG_WRITE: ("PUT", f"/api/apps/{tenant.config_id}", config),
    }
    assert managing.keys() | {Permission.PERSONS_ERASE} == NEVER_OF_A_KEY < OF_A_TENANT
    for method, path, body in managing.values():
        assert refused(await client.request(method, path, params=programs.here, json=body)) == FORBIDDEN, path
    for path in ("/api/users", "/api/tenants", f"/api/tenants/{tenant.config_id}"):
        assert refused(await client.get(path)) == FORBIDDEN, path


async def namings(tenant: TenantHandle) -> list[dict[str, Any]]:
    number = (await tenant.api.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    return [
        {"params": {"configId": tenant.config_id}},
        {"params": {"configId": str(number)}},
        {"headers": {"X-Tenant-Id": tenant.config_id}},
        {"headers": {"X-Tenant-Id": str(number)}},
    ]


async def test_key_is_used_at_another_tenant(croft: Croft) -> None:
    home, neighbour = await croft.tenant(), await croft.tenant()
    key = await (await programs_of(home)).client("admin", *(OF_A_TENANT - NEVER_OF_A_KEY))
    for named in await namings(neighbour):
        for path in ("/api/entities", "/api/sync/pull", "/api/v2/sync/snapshot", "/api/conflicts"):
            assert refused(await key.get(path, **named)) == FORBIDDEN, (path, named)
    assert refused(await key.get(f"/api/apps/{neighbour.config_id}")) == FORBIDDEN
    query, headers = {"configId": home.config_id}, {"X-Tenant-Id": neighbour.config_id}
    assert (await key.get("/api/entities", params=query, headers=headers)).status_code == 400
    assert neighbour.config_id not in (await key.get("/api/apps")).text


async def test_service_account_of_another_tenant_is_reached_by_its_number(croft: Croft) -> None:
    owner, thief = await programs_of(await croft.tenant()), await programs_of(await croft.tenant())
    account = await owner.account("admin")
    made = await owner.key(account)
    own = await thief.account()
    key = {"name": "Key", "scopes": ["entities.read"]}
    unknown = (404, "service-accounts.unknown")
    assert refused(await thief.call("GET", f"/{account}")) == unknown
    assert refused(await thief.call("PUT", f"/{account}", role="viewer")) == unknown
    assert refused(await thief.call("DELETE", f"/{account}")) == unknown
    assert refused(await thief.call("GET", f"/{account}/keys")) == unknown
    assert refused(await thief.call("POST", f"/{account}/keys", **key)) == unknown
    for of in (account, own):
        assert refused(await thief.call("DELETE", f"/{of}/keys/{made['id']}")) == (404, "api-keys.unknown")
    assert (await croft.client(made["key"]).get("/api/entities")).status_code == 200


async def test_key_is_guessed_from_the_part_that_is_shown(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account()
    made, other = await programs.key(account), await programs.key(account)
    secret, others = (each["key"].split("_", 2)[2] for each in (made, other))
    prefix = made["prefix"]
    async with shared_schema(croft) as db:
        digest = (await db.fetchval("SELECT digest FROM api_keys WHERE id = $1", made["id"])).hex()
    guesses = ["", "_", secret[:-1], f"{secret}x", secret.swapcase(), others, digest, "%", prefix, "None", "é"]
    unknown = await croft.client(f"croft_{'0' * len(prefix)}_{secret}").get("/api/entities")
    assert refused(unknown) == NOT_SIGNED_IN
    for key in (*(f"croft_{prefix}_{guess}" for guess in guesses), f"croft_{prefix}{secret}", f"croft_%_{secret}"):
        header = f"Bearer {key}".encode("latin-1")
        answer = await croft.client().get("/api/entities", headers={b"Authorization": header})
        assert answer.json() == unknown.json(), key
    assert (await croft.client(made["key"]).get("/api/entities")).status_code == 200


async def test_key_is_sent_as_the_cookie_of_a_browser_session(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    made = await programs.key(await programs.account())
    cookie = {"Cookie": f"__Host-croft-session={made['key']}"}
    assert refused(await croft.client().get("/api/entities", headers=cookie)) == NOT_SIGNED_IN


# Mass assignment

SMUGGLED: dict[str, Any] = {
    "id": 1,
    "userId": 1,
    "user_id": 1,
    "tenantId": 1,
    "tenant_id": 1,
    "configId": None,
    "digest": "00",
    "prefix": "0000000000000000",
    "key": "croft_0000000000000000_x",
    "password": PASSWORD,
    "seed": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    "secondFactor": True,
    "second_factor": True,
    "confirmedAt": "2020-01-01T00:00:00Z",
    "confirmed_at": "2020-01-01T00:00:00Z",
    "lastUsedAt": "2020-01-01T00:00:00Z",
    "createdAt": "2020-01-01T00:00:00Z",
    "createdBy": "1",
    "revokedAt": None,
    "limitedTo": None,
    "keys": 7,
}


async def test_service_account_is_smuggled_into_another_tenant_or_under_another_name(croft: Croft) -> None:
    programs, neighbour = await programs_of(await croft.tenant()), await programs_of(await croft.tenant())
    body = {**SMUGGLED, "name": "Own", "role": "viewer"}
    made = (await programs.call("POST", **body)).json()
    changed = (await programs.call("PUT", f"/{made['id']}", **{**SMUGGLED, "description": "changed"})).json()
    for told in (made, changed):
        assert told["id"] != 1
        assert (told["keys"], told["lastUsedAt"], told["createdBy"] != "1") == (0, None, True)
        assert told["createdAt"] > "2021"
    assert (await neighbour.call("GET")).json()["data"] == []


async def test_key_is_given_a_digest_a_role_or_an_account_by_its_body(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account, other = await programs.account(), await programs.account("admin")
    body = {**SMUGGLED, "name": "Own", "role": "admin", "serviceAccountId": other, "service_account_id": other}
    made = await programs.key(account, "entities.read", **{k: v for k, v in body.items() if k != "name"})
    assert made["key"] != SMUGGLED["key"]
    assert (made["prefix"] != SMUGGLED["prefix"], made["revokedAt"], made["lastUsedAt"]) == (True, None, None)
    assert made["createdAt"] > "2021"
    assert (await programs.call("GET", f"/{other}/keys")).json()["data"] == []
    assert refused(await croft.client(str(SMUGGLED["key"])).get("/api/entities")) == NOT_SIGNED_IN


async def test_app_password_is_chosen_or_given_to_somebody_else_by_its_body(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    owner = await croft.signed_in(email)
    chosen = {**SMUGGLED, "name": "Own", "scope": "full", "password": "00000-00000-00000-00000"}
    made = (await owner.post(APP_PASSWORDS, json=chosen)).json()
    assert made["password"] != chosen["password"]
    assert made["lastUsedAt"] is None
    async with shared_schema(croft) as db:
        row = await db.fetchrow(
            "SELECT a.second_factor, u.email FROM app_passwords a JOIN users u ON u.id = a.user_id WHERE a.id = $1",
            made["id"],
        )
    assert row is not None
    assert (row["second_factor"], row["email"]) == (False, email)


async def test_seed_is_chosen_or_confirmed_by_the_body_that_begins(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    target = Holder(croft, email, await croft.signed_in(email))
    begun = (await target.client.post(FACTOR, json=SMUGGLED)).json()
    assert begun["seed"] != SMUGGLED["seed"]
    assert (await target.state())["state"] == "begun"
    assert (await target.client.post(f"{FACTOR}/confirm", json={**SMUGGLED, "code": "000000"})).status_code == 403
