"""Accounts, over HTTP."""

import asyncio
import json
from itertools import count
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.db import Connection
from server.kit.passwords import password_problems
from server.users.queries import lock_accounts
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft, TenantHandle

NEW_PASSWORD = "Battery-Staple-8"
_numbers = count(1)


def new_email() -> str:
    return f"person{next(_numbers)}@example.test"


async def create(croft: Croft, **fields: Any) -> httpx.Response:
    body = {"email": new_email(), "password": PASSWORD, "role": "USER", **fields}
    return await croft.operator.post("/api/users", json=body)


async def created(croft: Croft, **fields: Any) -> dict[str, Any]:
    """A new account as the list shows it."""
    answer = await create(croft, **fields)
    assert answer.status_code == 201, answer.text
    return await shown(croft, answer.json()["id"])


async def shown(croft: Croft, user_id: int) -> dict[str, Any]:
    users: list[dict[str, Any]] = (await croft.operator.get("/api/users")).json()
    return {user["id"]: user for user in users}[user_id]


async def can_sign_in(croft: Croft, email: str, password: str) -> bool:
    answer = await croft.client().post("/api/users/login", json={"email": email, "password": password})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def acts_on(croft: Croft, user_id: int) -> list[Any]:
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        sql = "SELECT actor, session_id, address, action, details::text FROM croft.audit WHERE subject = $1 ORDER BY id"
        return await db.fetch(sql, f"user:{user_id}")
    finally:
        await db.close()


def paths(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [error["path"] for error in answer.json()["errors"]]


# Who may


EVERY_ADMINISTRATION = [
    ("GET", "/api/users", None),
    ("POST", "/api/users", {"email": "sneak@example.test", "password": PASSWORD, "role": "ADMIN"}),
    ("PUT", "/api/users/1", {"role": "USER"}),
    ("DELETE", f"/api/users/{ADMIN_EMAIL}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERY_ADMINISTRATION)
async def test_administration_of_accounts_is_for_operators_alone(
    croft: Croft, method: str, path: str, body: Any
) -> None:
    user = await created(croft)
    client = await croft.signed_in(user["email"])
    assert (await client.request(method, path, json=body)).status_code == 403
    assert (await croft.client().request(method, path, json=body)).status_code == 401


async def test_tenant_administrator_has_no_right_over_accounts(croft: Croft) -> None:
    tenant = await croft.tenant()
    client = await tenant.caller("admin")
    for method, path, body in EVERY_ADMINISTRATION:
        for headers in ({}, {"X-Tenant-Id": tenant.config_id}):
            answer = await client.request(method, path, json=body, headers=headers)
            assert answer.status_code == 403, (method, path)


# Me


async def test_me_shows_a_user_and_what_he_is_a_member_of(croft: Croft) -> None:
    tenant = await croft.tenant()
    user = await created(croft, memberships=[{"configId": tenant.config_id, "role": "reviewer"}])
    answer = await (await croft.signed_in(user["email"])).get("/api/users/me")
    assert answer.status_code == 200
    assert answer.json() == user
    [membership] = answer.json()["memberships"]
    assert (membership["configId"], membership["role"]) == (tenant.config_id, "reviewer")
    assert isinstance(membership["tenantId"], int)


async def test_me_shows_an_operator(croft: Croft) -> None:
    me = (await croft.operator.get("/api/users/me")).json()
    assert (me["email"], me["role"], me["memberships"]) == (ADMIN_EMAIL, "ADMIN", [])


# Creating


async def test_created_account_is_listed_and_can_sign_in(croft: Croft) -> None:
    email = new_email()
    answer = await create(croft, id="", email=f"  {email} ")
    assert (answer.status_code, answer.json()["message"]) == (201, "User created successfully")
    user_id = answer.json()["id"]
    assert await shown(croft, user_id) == {"id": user_id, "email": email, "role": "USER", "memberships": []}
    assert (await croft.signed_in(email)).headers["Authorization"]


@pytest.mark.parametrize("extra", [{"id": 1}, {"id": "1"}, {"user_id": 1, "created_at": "2000-01-01", "isAdmin": True},
                                   {"password_hash": "x", "passwordHash": "x", "sessions": []}])  # fmt: skip
async def test_fields_that_are_not_asked_for_are_ignored(croft: Croft, extra: dict[str, Any]) -> None:
    user = await created(croft, **extra)
    assert user["id"] > 1
    assert user["role"] == "USER"
    changed = await croft.operator.put(f"/api/users/{user['id']}", json={"email": user["email"], **extra})
    assert changed.status_code == 200
    assert await shown(croft, user["id"]) == user
    assert await can_sign_in(croft, user["email"], PASSWORD)


@given(password=st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_password_that_breaks_a_rule_is_refused_and_said_where(croft: Croft, password: str) -> None:
    answer = await create(croft, password=password)
    if "\0" in password:
        assert answer.status_code == 400
    elif password_problems(password):
        assert set(paths(answer)) == {"password"}
        assert answer.json()["code"] == "users.weak-password"
    else:
        assert answer.status_code == 201


async def test_password_rules_hold_on_update_too(croft: Croft) -> None:
    user = await created(croft)
    answer = await croft.operator.put(f"/api/users/{user['id']}", json={"password": "short"})
    assert set(paths(answer)) == {"password"}
    assert await can_sign_in(croft, user["email"], PASSWORD)


async def test_email_address_is_taken_whatever_its_case(croft: Croft) -> None:
    user, other = await created(croft), await created(croft)
    taken = f" {user['email'].upper()}"
    again = await create(croft, email=taken)
    change = await croft.operator.put(f"/api/users/{other['id']}", json={"email": taken})
    for answer in (again, change):
        assert (answer.status_code, answer.json()["code"]) == (409, "users.email-taken")


async def test_one_address_is_given_once_when_asked_for_at_the_same_time(croft: Croft) -> None:
    email = new_email()
    answers = await asyncio.gather(*(create(croft, email=email) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"email": "nobody"}, "email"),
        ({"role": "admin"}, "role"),
        ({"role": None}, "role"),
        ({"password": None}, "password"),
        ({"memberships": [{"configId": "x", "role": ""}]}, "memberships[0].role"),
        ({"memberships": {}}, "memberships"),
    ],
)
async def test_bad_field_is_named(croft: Croft, fields: dict[str, Any], path: str) -> None:
    assert paths(await create(croft, **fields)) == [path]


# Memberships


async def test_memberships_can_name_a_tenant_by_config_id_or_number(croft: Croft) -> None:
    first, second = await croft.tenant(), await croft.tenant()
    user = await created(croft, memberships=[{"configId": first.config_id, "role": "viewer"}])
    number = user["memberships"][0]["tenantId"]
    by_number = await created(
        croft,
        memberships=[
            {"tenantId": number, "role": "collector"},
            {"configId": second.config_id, "role": "admin"},
        ],
    )
    assert {each["configId"]: each["role"] for each in by_number["memberships"]} == {
        first.config_id: "collector",
        second.config_id: "admin",
    }


async def test_memberships_given_replace_all_and_absent_ones_keep(croft: Croft) -> None:
    tenants = [await croft.tenant() for _ in range(3)]
    first, second, third = (tenant.config_id for tenant in tenants)
    user = await created(
        croft, memberships=[{"configId": first, "role": "viewer"}, {"configId": second, "role": "admin"}]
    )
    url = f"/api/users/{user['id']}"
    await croft.operator.put(url, json={"email": user["email"]})
    assert (await shown(croft, user["id"]))["memberships"] == user["memberships"]
    await croft.operator.put(url, json={"memberships": None})
    assert (await shown(croft, user["id"]))["memberships"] == user["memberships"]
    await croft.operator.put(
        url, json={"memberships": [{"configId": second, "role": "viewer"}, {"configId": third, "role": "reviewer"}]}
    )
    held = (await shown(croft, user["id"]))["memberships"]
    assert [(each["configId"], each["role"]) for each in held] == sorted([(second, "viewer"), (third, "reviewer")])
    await croft.operator.put(url, json={"memberships": held})
    assert (await shown(croft, user["id"]))["memberships"] == held
    await croft.operator.put(url, json={"memberships": []})
    assert (await shown(croft, user["id"]))["memberships"] == []


async def test_bad_memberships_are_named_and_nothing_is_changed(croft: Croft) -> None:
    tenant, other = await croft.tenant(), await croft.tenant()
    good = {"configId": tenant.config_id, "role": "viewer"}
    user = await created(croft, memberships=[good])
    number = user["memberships"][0]["tenantId"]
    cases: list[tuple[list[dict[str, Any]], list[str]]] = [
        ([{"configId": "no-such-tenant", "role": "viewer"}], ["memberships[0].configId"]),
        ([good, {"configId": tenant.config_id.upper(), "role": "viewer"}], ["memberships[1].configId"]),
        ([good, {"tenantId": 2**53, "role": "viewer"}], ["memberships[1].tenantId"]),
        ([{"role": "viewer"}], ["memberships[0].configId"]),
        ([good, {"tenantId": number, "role": "admin"}], ["memberships[1].tenantId"]),
        ([{"configId": other.config_id, "tenantId": number, "role": "admin"}], ["memberships[0].configId"]),
        ([{"configId": "", "role": "viewer"}, {"tenantId": 0, "role": "viewer"}], ["memberships[1].tenantId"]),
    ]
    for memberships, bad in cases:
        email = new_email()
        assert paths(await create(croft, email=email, memberships=memberships)) == bad
        assert not await can_sign_in(croft, email, PASSWORD)
        changed = await croft.operator.put(
            f"/api/users/{user['id']}", json={"email": new_email(), "memberships": memberships}
        )
        assert paths(changed) == bad
        assert await shown(croft, user["id"]) == user


async def test_membership_in_a_deleted_tenant_is_neither_shown_nor_given(croft: Croft) -> None:
    tenant: TenantHandle = await croft.tenant()
    user = await created(croft, memberships=[{"configId": tenant.config_id, "role": "viewer"}])
    assert (await croft.operator.delete(f"/api/apps/{tenant.config_id}")).status_code == 200
    assert (await shown(croft, user["id"]))["memberships"] == []
    again = await croft.operator.put(f"/api/users/{user['id']}", json={"memberships": user["memberships"]})
    assert paths(again) == ["memberships[0].configId"]


@pytest.mark.parametrize("how", ["create", "update"])
async def test_no_membership_slips_into_a_tenant_that_is_being_deleted(croft: Croft, how: str) -> None:
    tenant = await croft.tenant()
    memberships = [{"configId": tenant.config_id, "role": "viewer"}]
    user = await created(croft)
    deleting = await asyncpg.connect(croft.addresses.direct)
    try:
        async with deleting.transaction():
            await deleting.execute("SET LOCAL search_path = croft")
            state = "UPDATE tenants SET state = 'deleted', deleted_at = now() WHERE config_id = $1 RETURNING id"
            number = await deleting.fetchval(state, tenant.config_id)
            change = (
                create(croft, memberships=memberships)
                if how == "create"
                else croft.operator.put(f"/api/users/{user['id']}", json={"memberships": memberships})
            )
            answering = asyncio.create_task(change)
            await is_waited_for(deleting)
        assert paths(await answering) == ["memberships[0].configId"]
        assert not await deleting.fetch("SELECT FROM croft.memberships WHERE tenant_id = $1", number)
    finally:
        await deleting.close()


async def is_waited_for(db: Connection) -> None:
    """Returns once somebody waits for a lock that the connection holds."""
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    async with asyncio.timeout(20):
        while not await db.fetchval(waits):
            pass


# Changing


@pytest.mark.parametrize("password", ["", None])
async def test_empty_password_on_update_keeps_the_one_there_is(croft: Croft, password: str | None) -> None:
    user = await created(croft)
    client = await croft.signed_in(user["email"])
    answer = await croft.operator.put(
        f"/api/users/{user['id']}", json={"email": user["email"], "password": password, "role": "USER"}
    )
    assert (answer.status_code, answer.json()) == (200, {"message": "User updated successfully"})
    assert await can_sign_in(croft, user["email"], PASSWORD)
    assert not await can_sign_in(croft, user["email"], "")
    assert (await client.get("/api/users/me")).status_code == 200


async def test_changed_email_address_and_its_case_are_kept(croft: Croft) -> None:
    user, email = await created(croft), new_email()
    for each in (email, email.upper()):
        assert (await croft.operator.put(f"/api/users/{user['id']}", json={"email": each})).status_code == 200
        assert (await shown(croft, user["id"]))["email"] == each
    assert await can_sign_in(croft, email, PASSWORD)
    assert not await can_sign_in(croft, user["email"], PASSWORD)


async def test_new_password_ends_every_session_of_the_account(croft: Croft) -> None:
    user = await created(croft)
    phones = [await croft.signed_in(user["email"]) for _ in range(2)]
    assert (await croft.operator.put(f"/api/users/{user['id']}", json={"password": NEW_PASSWORD})).status_code == 200
    assert [(await phone.get("/api/users/me")).status_code for phone in phones] == [401, 401]
    assert await can_sign_in(croft, user["email"], NEW_PASSWORD)
    assert not await can_sign_in(croft, user["email"], PASSWORD)
    assert (await croft.operator.get("/api/users/me")).status_code == 200


async def test_own_new_password_ends_the_other_sessions_only(croft: Croft) -> None:
    user = await created(croft, role="ADMIN")
    here, elsewhere = await croft.signed_in(user["email"]), await croft.signed_in(user["email"])
    assert (await here.put(f"/api/users/{user['id']}", json={"password": NEW_PASSWORD})).status_code == 200
    assert (await here.get("/api/users/me")).status_code == 200
    assert (await elsewhere.get("/api/users/me")).status_code == 401


async def test_demoted_operator_loses_his_rights_at_once_and_stays_signed_in(croft: Croft) -> None:
    user = await created(croft, role="ADMIN")
    client = await croft.signed_in(user["email"])
    assert (await client.get("/api/users")).status_code == 200
    await croft.operator.put(f"/api/users/{user['id']}", json={"role": "USER"})
    assert (await client.get("/api/users")).status_code == 403
    assert (await client.get("/api/users/me")).json()["role"] == "USER"


# Deleting


@pytest.mark.parametrize("by", ["id", "email", "shouted email"])
async def test_account_is_deleted_by_number_or_email_address(croft: Croft, by: str) -> None:
    user = await created(croft)
    reference = {"id": str(user["id"]), "email": user["email"], "shouted email": user["email"].upper()}[by]
    client = await croft.signed_in(user["email"])
    answer = await croft.operator.delete(f"/api/users/{reference}")
    assert (answer.status_code, answer.json()) == (200, {"message": "User deleted successfully"})
    assert (await client.get("/api/users/check-token")).status_code == 401
    assert not await can_sign_in(croft, user["email"], PASSWORD)
    assert (await croft.operator.delete(f"/api/users/{reference}")).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    "reference", ["0", "-1", "99999999", "9" * 16, "9" * 40, "1.5", "١", "null", "%00", "%00@x", "%20", "nobody@x.test"]
)
async def test_unknown_account_is_not_found(croft: Croft, method: str, reference: str) -> None:
    body: dict[str, Any] | None = {} if method == "PUT" else None
    answer = await croft.operator.request(method, f"/api/users/{reference}", json=body)
    assert (answer.status_code, answer.json()["message"]) == (404, "User not found")


async def test_address_of_a_deleted_account_can_be_used_anew_and_the_old_token_stays_dead(croft: Croft) -> None:
    user = await created(croft)
    client = await croft.signed_in(user["email"])
    await croft.operator.delete(f"/api/users/{user['email']}")
    anew = await created(croft, email=user["email"])
    assert anew["id"] != user["id"]
    assert (await client.get("/api/users/me")).status_code == 401


# The last operator


async def test_last_operator_is_neither_deleted_nor_demoted(fresh_croft: Croft) -> None:
    me = (await fresh_croft.operator.get("/api/users/me")).json()
    for answer in (
        await fresh_croft.operator.delete(f"/api/users/{me['id']}"),
        await fresh_croft.operator.delete(f"/api/users/{ADMIN_EMAIL}"),
        await fresh_croft.operator.put(f"/api/users/{me['id']}", json={"role": "USER"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "users.last-admin")
    assert await shown(fresh_croft, me["id"]) == me
    renamed = await fresh_croft.operator.put(f"/api/users/{me['id']}", json={"role": "ADMIN", "email": "n@x.test"})
    assert renamed.status_code == 200


async def remove(client: httpx.AsyncClient, how: str, user_id: int) -> httpx.Response:
    if how == "delete":
        return await client.delete(f"/api/users/{user_id}")
    return await client.put(f"/api/users/{user_id}", json={"role": "USER"})


@pytest.mark.parametrize("ways", [("demote", "demote"), ("delete", "delete"), ("demote", "delete")])
async def test_two_operators_removing_each_other_at_once_leave_one(fresh_croft: Croft, ways: tuple[str, str]) -> None:
    other = await created(fresh_croft, role="ADMIN")
    me = (await fresh_croft.operator.get("/api/users/me")).json()
    clients = [fresh_croft.operator, await fresh_croft.signed_in(other["email"])]
    watcher = await asyncpg.connect(fresh_croft.addresses.direct)
    gate = await asyncpg.connect(fresh_croft.addresses.direct)
    try:
        # Both are admitted while both are operators, and both wait for the same lock.
        async with asyncio.TaskGroup() as tasks, gate.transaction():
            await lock_accounts(gate)
            removals = [
                tasks.create_task(remove(client, how, user["id"]))
                for client, how, user in zip(clients, ways, [other, me], strict=True)
            ]
            while await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
                assert not any(removal.done() for removal in removals)
        answers = [removal.result() for removal in removals]
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert {answer.json().get("code") for answer in answers} == {None, "users.last-admin"}
        assert await watcher.fetchval("SELECT count(*) FROM croft.users WHERE role = 'ADMIN'") == 1
    finally:
        await gate.close()
        await watcher.close()


# Listing


async def test_list_is_bare_and_whole_and_counts_itself(croft: Croft) -> None:
    word = f"word{next(_numbers)}"
    for number in range(5):
        await created(croft, email=f"{number}.{word}.100%_@example.test")
    everything = await croft.operator.get("/api/users")
    assert int(everything.headers["X-Total-Count"]) == len(everything.json())
    assert all(set(user) == {"id", "email", "role", "memberships"} for user in everything.json())
    found = await croft.operator.get("/api/users", params={"search": word.upper()})
    assert [user["email"][0] for user in found.json()] == list("01234")
    page = await croft.operator.get("/api/users", params={"search": word, "sort": "-email", "page": 2, "pageSize": 2})
    assert [user["email"][0] for user in page.json()] == ["2", "1"]
    assert page.headers["X-Total-Count"] == "5"
    past = await croft.operator.get("/api/users", params={"search": word, "page": 99, "pageSize": 2})
    assert [user["email"][0] for user in past.json()] == ["4"]
    assert (await croft.operator.get("/api/users", params={"search": f"{word}%"})).json() == []
    assert len((await croft.operator.get("/api/users", params={"search": f"{word}.100%_"})).json()) == 5


@pytest.mark.parametrize("query", [{"page": "x"}, {"sort": "password_hash"}, {"search": "a\0b"}, {"page": "9" * 30}])
async def test_bad_query_is_named(croft: Croft, query: dict[str, str]) -> None:
    answer = await croft.operator.get("/api/users", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, next(iter(query)))


# The record


async def test_every_change_stands_on_the_record_without_a_password_or_a_hash(croft: Croft) -> None:
    me = (await croft.operator.get("/api/users/me")).json()
    tenant = await croft.tenant()
    user = await created(croft, memberships=[{"configId": tenant.config_id, "role": "viewer"}])
    url, email = f"/api/users/{user['id']}", new_email()
    await croft.operator.put(url, json={"email": user["email"], "password": "", "role": "USER"})
    await croft.operator.put(url, json={"email": email, "password": NEW_PASSWORD, "role": "ADMIN", "memberships": []})
    await croft.operator.delete(url)
    acts = [act for act in await acts_on(croft, user["id"]) if act["action"].startswith("users.")]
    assert [act["action"] for act in acts] == ["users.create", "users.update", "users.delete"]
    assert {act["actor"] for act in acts} == {str(me["id"])}
    assert all(act["session_id"] and act["address"] == "127.0.0.1" for act in acts)
    made, changed, gone = (json.loads(act["details"]) for act in acts)
    standing = {"email": user["email"], "role": "USER", "memberships": user["memberships"]}
    other = {"email": email, "role": "ADMIN", "memberships": []}
    assert made == {"after": standing}
    assert changed == {"before": standing, "after": other, "passwordChanged": True}
    assert gone == {"before": other}
    assert not any(PASSWORD in act["details"] or NEW_PASSWORD in act["details"] or "$2b$" in act["details"]
                   for act in acts)  # fmt: skip


async def test_refused_change_leaves_no_record(croft: Croft) -> None:
    user = await created(croft)
    await croft.operator.put(f"/api/users/{user['id']}", json={"email": ADMIN_EMAIL, "password": NEW_PASSWORD})
    assert [act["action"] for act in await acts_on(croft, user["id"])] == ["users.create"]
    assert await can_sign_in(croft, user["email"], PASSWORD)
