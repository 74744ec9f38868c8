"""Operators who try to get round the guard of a tenant, or to keep a way in for when their grant is over."""

import asyncio
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft, TenantHandle, small_config, upload_of
from tests.past_the_server import actions, rows

OTHER_PASSWORD = "Another-Horse-Of-Mine-8"


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    """A guarded tenant with an administrator and a viewer."""
    tenant = await croft.tenant()
    await tenant.account("viewer")
    admin = await croft.signed_in(await tenant.account("admin"))
    answer = await admin.put(f"/api/tenants/{tenant.config_id}/security", json={"guarded": True})
    assert answer.status_code == 200, answer.text
    return tenant


def address_of(tenant: TenantHandle, role: str) -> str:
    number = {"viewer": 1, "admin": 2}[role]
    return f"{role}{number}@{tenant.config_id}.test"


async def has_no_way_in(croft: Croft, tenant: TenantHandle, email: str = ADMIN_EMAIL, password: str = PASSWORD) -> bool:
    client = await croft.signed_in(email, password)
    answer = await client.get("/api/entities", params={"configId": tenant.config_id})
    return answer.status_code == 403


async def opens_a_grant(croft: Croft, tenant: TenantHandle) -> None:
    body = {"reason": "There is something to mend", "minutes": 60}
    answer = await croft.operator.post(f"/api/tenants/{tenant.config_id}/break-glass", json=body)
    assert answer.status_code == 201, answer.text


async def test_operator_makes_himself_a_member(croft: Croft, tenant: TenantHandle) -> None:
    memberships = [{"configId": tenant.config_id, "role": "admin"}]
    answer = await croft.operator.put(f"/api/users/{ADMIN_EMAIL}", json={"memberships": memberships})
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == ["memberships[0].role"]
    assert await has_no_way_in(croft, tenant)


async def test_operator_makes_a_new_account_a_member(croft: Croft, tenant: TenantHandle) -> None:
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    for named in ({"configId": tenant.config_id}, {"tenantId": number}):
        body = {"email": f"straw@{tenant.config_id}.test", "password": PASSWORD, "role": "USER"}
        answer = await croft.operator.post("/api/users", json={**body, "memberships": [{**named, "role": "viewer"}]})
        assert answer.status_code == 422, answer.text


async def test_operator_gives_a_member_more(croft: Croft, tenant: TenantHandle) -> None:
    memberships = [{"configId": tenant.config_id, "role": "admin"}]
    viewer = address_of(tenant, "viewer")
    answer = await croft.operator.put(f"/api/users/{viewer}", json={"memberships": memberships})
    assert answer.status_code == 422
    unchanged = [{"configId": tenant.config_id, "role": "viewer"}]
    assert (await croft.operator.put(f"/api/users/{viewer}", json={"memberships": unchanged})).status_code == 200


@pytest.mark.parametrize("change", [{"password": OTHER_PASSWORD}, {"email": "mine@operators.test"}])
async def test_operator_takes_an_administrators_account_over(
    croft: Croft, tenant: TenantHandle, change: dict[str, Any]
) -> None:
    answer = await croft.operator.put(f"/api/users/{address_of(tenant, 'admin')}", json=change)
    assert (answer.status_code, answer.json()["code"]) == (409, "users.guarded")
    assert not await has_no_way_in(croft, tenant, address_of(tenant, "admin"))


async def test_operator_takes_over_the_account_of_a_member_of_a_tenant_without_a_guard(croft: Croft) -> None:
    """The guard stands where it was put up and nowhere else."""
    email = await (await croft.tenant()).account("admin")
    assert (await croft.operator.put(f"/api/users/{email}", json={"password": OTHER_PASSWORD})).status_code == 200


@pytest.mark.parametrize("granted", [False, True])
async def test_operator_turns_the_guard_off(croft: Croft, tenant: TenantHandle, granted: bool) -> None:
    if granted:
        await opens_a_grant(croft, tenant)
    answer = await croft.operator.put(f"/api/tenants/{tenant.config_id}/security", json={"guarded": False})
    assert (answer.status_code, answer.json()["code"]) == (403, "access.guarded")


async def test_operator_turns_a_guard_off_that_goes_up_while_he_is_at_it(croft: Croft) -> None:
    tenant = await croft.tenant()
    admins = await asyncpg.connect(croft.addresses.direct)
    try:
        async with admins.transaction():
            owner = await admins.fetchval("SELECT tableowner FROM pg_tables WHERE schemaname = 'croft' LIMIT 1")
            await admins.execute(f'SET LOCAL ROLE "{owner}"')
            await admins.execute("UPDATE croft.tenants SET guarded = true WHERE config_id = $1", tenant.config_id)
            path = f"/api/tenants/{tenant.config_id}/security"
            changing = asyncio.create_task(croft.operator.put(path, json={"guarded": False}))
            waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
            while not (changing.done() or await admins.fetchval(waits)):
                pass
        answer = await changing
    finally:
        await admins.close()
    assert (answer.status_code, answer.json()["code"]) == (403, "access.guarded")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/roles", {"name": "spy", "permissions": ["entities.read"]}),
        ("PUT", "/api/members/{viewer}", {"role": "admin"}),
        ("DELETE", "/api/members/{admin}", None),
        ("POST", "/api/members/invitations", {"email": "mine@operators.test", "role": "admin"}),
        ("POST", "/api/service-accounts", {"name": "spy", "role": "admin"}),
        ("PUT", "/api/apps/{id}", {"id": "{id}", "authConfigs": [{"type": "keycloak", "fields": {"realm": "mine"}}]}),
        ("POST", "/api/apps/{id}/rollback", {"number": 1}),
    ],
)
async def test_operator_with_a_grant_makes_a_door_for_later(
    croft: Croft, tenant: TenantHandle, method: str, path: str, body: Any
) -> None:
    await opens_a_grant(croft, tenant)
    path = path.format(id=tenant.config_id, viewer=address_of(tenant, "viewer"), admin=address_of(tenant, "admin"))
    if body and "id" in body:
        body = {**body, "id": tenant.config_id}
    answer = await croft.operator.request(method, path, json=body, headers={"X-Tenant-Id": tenant.config_id})
    assert (answer.status_code, answer.json()["code"]) == (403, "access.guarded"), answer.text


@pytest.mark.parametrize("naming", ["document alone", "query", "header"])
async def test_operator_uploads_a_config_over_the_tenants(croft: Croft, tenant: TenantHandle, naming: str) -> None:
    await opens_a_grant(croft, tenant)
    named: dict[str, Any] = {
        "document alone": {},
        "query": {"params": {"configId": tenant.config_id}},
        "header": {"headers": {"X-Tenant-Id": tenant.config_id}},
    }[naming]
    files = {"config": upload_of(small_config(tenant.config_id))}
    answer = await croft.operator.post("/api/apps", files=files, **named)
    assert (answer.status_code, answer.json()["code"]) == (403, "access.guarded")


async def test_operator_deletes_and_restores_the_tenant(croft: Croft, tenant: TenantHandle) -> None:
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    for new_id in (None, f"{tenant.config_id}-again"):
        assert (await croft.operator.delete(f"/api/tenants/{number}")).status_code == 200
        body = {"newId": new_id} if new_id else {}
        restored = await croft.operator.post(f"/api/tenants/{number}/restore", json=body)
        assert restored.status_code == 200, restored.text
        answer = await croft.operator.get("/api/entities", headers={"X-Tenant-Id": str(number)})
        assert (answer.status_code, answer.json()["code"]) == (403, "access.break-glass-needed")
        memberships = [{"tenantId": number, "role": "admin"}]
        joined = await croft.operator.put(f"/api/users/{ADMIN_EMAIL}", json={"memberships": memberships})
        assert joined.status_code == 422


async def test_operator_steps_down_to_be_no_operator_any_more(croft: Croft, tenant: TenantHandle) -> None:
    email = f"former@{tenant.config_id}.test"
    await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": "ADMIN"})
    former = await croft.signed_in(email)
    body = {"reason": "There is something to mend", "minutes": 60}
    assert (await former.post(f"/api/tenants/{tenant.config_id}/break-glass", json=body)).status_code == 201
    await croft.operator.put(f"/api/users/{email}", json={"role": "USER"})
    assert await has_no_way_in(croft, tenant, email)


async def test_operator_uses_a_small_credential_of_his(croft: Croft, cluster: EmbeddedPostgres) -> None:
    """An app password, say, which lies about on a phone, carries no operator's power over any tenant."""
    tenant = await croft.tenant()
    email = f"phone@{tenant.config_id}.test"
    await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": "ADMIN"})
    client = await croft.signed_in(email)
    assert (await client.get("/api/sync/pull", params={"configId": tenant.config_id})).status_code == 200
    whose = "user_id = (SELECT id FROM users WHERE email = $1)"
    await rows(cluster, croft, f"UPDATE sessions SET scope = 'sync' WHERE {whose}", email)
    assert (await client.get("/api/sync/pull", params={"configId": tenant.config_id})).status_code == 403
    assert (await client.get("/api/users")).status_code == 403


async def test_member_who_is_pushed_out_by_an_operator_stands_on_record(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle
) -> None:
    """What takes away and shows nothing is possible, and seen by those who are left."""
    viewer = address_of(tenant, "viewer")
    number = (await croft.operator.get("/api/users", params={"search": viewer})).json()[0]["id"]
    assert (await croft.operator.put(f"/api/users/{viewer}", json={"memberships": []})).status_code == 200
    assert "member.removed" in await actions(cluster, croft, f"user:{number}")


async def test_account_that_is_deleted_and_made_anew_is_a_member_of_nothing(croft: Croft, tenant: TenantHandle) -> None:
    admin = address_of(tenant, "admin")
    assert (await croft.operator.delete(f"/api/users/{admin}")).status_code == 200
    body = {"email": admin, "password": OTHER_PASSWORD, "role": "USER"}
    assert (await croft.operator.post("/api/users", json=body)).status_code == 201
    assert await has_no_way_in(croft, tenant, admin, OTHER_PASSWORD)
