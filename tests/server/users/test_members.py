"""The members of a tenant, over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft, TenantHandle
from tests.past_the_server import actions, rows

MANAGER = ["members.read", "members.manage", "entities.read"]


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture(loop_scope="session")
async def admin(tenant: TenantHandle) -> httpx.AsyncClient:
    return await of(tenant, await tenant.account("admin"))


@pytest_asyncio.fixture(loop_scope="session")
async def manager(tenant: TenantHandle, admin: httpx.AsyncClient) -> httpx.AsyncClient:
    """Somebody who may manage members and see records, and nothing else."""
    answer = await admin.post("/api/roles", json={"name": "manager", "permissions": MANAGER})
    assert answer.status_code == 201, answer.text
    return await of(tenant, await tenant.account("manager"))


async def of(tenant: TenantHandle, email: str) -> httpx.AsyncClient:
    """A client of the account that names the tenant in each request."""
    client = await tenant.croft.signed_in(email)
    client.headers["X-Tenant-Id"] = tenant.config_id
    return client


async def members(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/api/members", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def role_of(client: httpx.AsyncClient, email: str) -> str | None:
    found = (await members(client, search=email))["data"]
    return found[0]["role"] if found else None


async def give(client: httpx.AsyncClient, member: str | int, role: str) -> httpx.Response:
    return await client.put(f"/api/members/{member}", json={"role": role})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# Seeing


async def test_members_are_listed_page_by_page_in_the_order_asked_for(
    tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    for role in ("viewer", "collector", "reviewer"):
        await tenant.account(role)
    everybody = await members(admin, pageSize=100)
    emails = [each["email"] for each in everybody["data"]]
    assert emails == sorted(emails)
    assert everybody["meta"] == {"total": 4, "page": 1, "pageSize": 100, "totalPages": 1}
    second = await members(admin, pageSize=3, page=2, sort="-email")
    assert [each["email"] for each in second["data"]] == emails[:1]
    assert second["meta"] == {"total": 4, "page": 2, "pageSize": 3, "totalPages": 2}
    assert [each["role"] for each in (await members(admin, sort="role"))["data"]] == [
        "admin",
        "collector",
        "reviewer",
        "viewer",
    ]
    assert [each["role"] for each in (await members(admin, search="REVIEWER"))["data"]] == ["reviewer"]


async def test_nobody_of_another_tenant_is_listed(croft: Croft, admin: httpx.AsyncClient) -> None:
    other = await croft.tenant()
    email = await other.account("viewer")
    assert (await members(admin, search=email))["meta"]["total"] == 0


async def test_operator_among_the_members_is_shown_as_one(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    email = await tenant.account("viewer")
    assert [each["operator"] for each in (await members(admin, search=email))["data"]] == [False]
    await croft.operator.put(f"/api/users/{email}", json={"role": "ADMIN"})
    assert [each["operator"] for each in (await members(admin, search=email))["data"]] == [True]


@pytest.mark.parametrize("query", [{"sort": "password_hash"}, {"page": "x"}, {"search": "\0"}])
async def test_query_that_means_nothing_is_refused(admin: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert (await admin.get("/api/members", params=query)).status_code == 400


# Giving and taking


async def test_member_gets_another_role_by_number_or_address(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    email = await tenant.account("viewer")
    client = await of(tenant, email)
    assert (await client.get("/api/sync/quarantine")).status_code == 403
    answer = await give(admin, email.upper(), "reviewer")
    assert (answer.status_code, answer.json()["role"]) == (200, "reviewer")
    assert (await client.get("/api/sync/quarantine")).status_code == 200
    assert (await give(admin, answer.json()["userId"], "viewer")).status_code == 200
    assert await role_of(admin, email) == "viewer"


async def test_removed_member_is_out_at_once_and_stays_what_he_is_elsewhere(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    other = await croft.tenant()
    email = await tenant.account("viewer")
    memberships = [{"configId": each.config_id, "role": "viewer"} for each in (tenant, other)]
    await croft.operator.put(f"/api/users/{email}", json={"memberships": memberships})
    client = await croft.signed_in(email)
    assert (await admin.delete(f"/api/members/{email}")).status_code == 204
    for each, expected in ((tenant, 403), (other, 200)):
        assert (await client.get("/api/entities", params={"configId": each.config_id})).status_code == expected
    assert code_of(await admin.delete(f"/api/members/{email}")) == (404, "members.unknown")


async def test_removal_ends_what_the_tenants_provider_opened_and_nothing_else(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    email = await tenant.account("viewer")
    first, second = await of(tenant, email), await croft.signed_in(email)
    [(user, number)] = await rows(
        cluster,
        croft,
        "SELECT m.user_id, m.tenant_id FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.email = $1",
        email,
    )
    oldest = "SELECT id FROM sessions WHERE user_id = $1 ORDER BY created_at LIMIT 1"
    await rows(cluster, croft, f"UPDATE sessions SET tenant_id = $2 WHERE id = ({oldest})", user, number)
    identity = "INSERT INTO external_identities VALUES ($1, 'https://issuer.test', 'sub', $2)"
    await rows(cluster, croft, identity, number, user)
    assert (await admin.delete(f"/api/members/{email}")).status_code == 204
    left = await rows(cluster, croft, "SELECT tenant_id FROM sessions WHERE user_id = $1", user)
    assert [row["tenant_id"] for row in left] == [None]
    held = "SELECT user_id FROM external_identities WHERE tenant_id = $1"
    assert [row["user_id"] for row in await rows(cluster, croft, held, number)] == [None]
    assert (await first.get("/api/users/me")).status_code == 401
    assert (await second.get("/api/users/me")).json()["memberships"] == []


async def test_time_since_when_somebody_is_a_member_outlives_a_change_elsewhere(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    email = await tenant.account("viewer")
    [before] = (await members(admin, search=email))["data"]
    other = await croft.tenant()
    memberships = [{"configId": each.config_id, "role": "collector"} for each in (tenant, other)]
    await croft.operator.put(f"/api/users/{email}", json={"memberships": memberships})
    assert (await members(admin, search=email))["data"] == [{**before, "role": "collector"}]


@pytest.mark.parametrize("role", ["clerk", "Admin", "", "x" * 65, "admin "])
async def test_role_that_the_tenant_does_not_have_is_refused(
    tenant: TenantHandle, admin: httpx.AsyncClient, role: str
) -> None:
    email = await tenant.account("viewer")
    answer = await give(admin, email, role)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == ["role"]
    assert await role_of(admin, email) == "viewer"


async def test_operator_cannot_give_a_role_that_the_tenant_does_not_have(croft: Croft, tenant: TenantHandle) -> None:
    other = await croft.tenant()
    headers = {"X-Tenant-Id": other.config_id}
    made = await croft.operator.post(
        "/api/roles", json={"name": "clerk", "permissions": ["sync.pull"]}, headers=headers
    )
    assert made.status_code == 201, made.text
    email = await tenant.account("viewer")
    for wanted, paths in (
        ([(other, "clerk")], []),
        ([(tenant, "clerk")], ["memberships[0].role"]),
        ([(other, "king"), (tenant, "Admin")], ["memberships[0].role", "memberships[1].role"]),
    ):
        memberships = [{"configId": each.config_id, "role": role} for each, role in wanted]
        answer = await croft.operator.put(f"/api/users/{email}", json={"memberships": memberships})
        assert answer.status_code == (422 if paths else 200), answer.text
        assert [error["path"] for error in answer.json().get("errors", [])] == paths


# Nobody is found out


async def test_account_of_somebody_else_is_as_unknown_as_one_that_does_not_exist(
    croft: Croft, admin: httpx.AsyncClient
) -> None:
    other = await croft.tenant()
    strangers = [
        await other.account("viewer"),
        "nobody@nowhere.test",
        "1",
        "999999",
        "-1",
        "x",
        "0",
        "%00",
        "a%00@b.test",
    ]
    answers = []
    for stranger in strangers:
        both = (await give(admin, stranger, "viewer"), await admin.delete(f"/api/members/{stranger}"))
        answers += [(stranger, answer.status_code, answer.content) for answer in both]
    in_address = {(status, content) for stranger, status, content in answers if "%00" not in stranger}
    assert len(in_address) == 1
    assert {status for status, _ in in_address} == {404}
    assert {status for stranger, status, _ in answers if "%00" in stranger} <= {400, 404}


# Neither more than one has, nor against who has more


async def test_manager_gives_no_role_that_can_do_more_than_he(
    tenant: TenantHandle, manager: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await admin.post("/api/roles", json={"name": "reader", "permissions": ["entities.read"]})
    email = await tenant.account("reader")
    for role in ("admin", "reviewer", "viewer"):
        refused = await give(manager, email, role)
        assert code_of(refused) == (403, "roles.beyond-own-rights")
        assert [error["path"] for error in refused.json()["errors"]] == ["role"]
    assert (await give(manager, email, "manager")).status_code == 200
    assert (await give(manager, email, "reader")).status_code == 200


async def test_manager_cannot_make_himself_more(manager: httpx.AsyncClient) -> None:
    me = (await manager.get("/api/users/me")).json()["id"]
    assert code_of(await give(manager, me, "admin")) == (403, "roles.beyond-own-rights")


async def test_manager_neither_changes_nor_removes_who_can_do_more(
    tenant: TenantHandle, manager: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for role in ("admin", "viewer"):
        email = await tenant.account(role)
        assert code_of(await give(manager, email, "manager")) == (403, "roles.beyond-own-rights")
        assert code_of(await manager.delete(f"/api/members/{email}")) == (403, "roles.beyond-own-rights")
        assert await role_of(admin, email) == role


async def test_last_administrator_neither_leaves_nor_steps_down(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    me = (await admin.get("/api/users/me")).json()["id"]
    assert code_of(await give(admin, me, "viewer")) == (409, "members.last-administrator")
    assert code_of(await admin.delete(f"/api/members/{me}")) == (409, "members.last-administrator")
    await tenant.account("admin")
    assert (await give(admin, me, "viewer")).status_code == 200


async def test_two_administrators_who_remove_each_other_leave_one(tenant: TenantHandle, croft: Croft) -> None:
    for _ in range(3):
        other = await croft.tenant()
        emails = [await other.account("admin") for _ in range(2)]
        clients = [await of(other, email) for email in emails]
        answers = await asyncio.gather(
            clients[0].delete(f"/api/members/{emails[1]}"), clients[1].delete(f"/api/members/{emails[0]}")
        )
        assert sorted(answer.status_code for answer in answers) in ([204, 403], [204, 409])
        left = await croft.operator.get("/api/members", headers={"X-Tenant-Id": other.config_id})
        assert left.json()["meta"]["total"] == 1


async def test_operator_may_remove_the_last_administrator(croft: Croft, tenant: TenantHandle) -> None:
    email = await tenant.account("admin")
    headers = {"X-Tenant-Id": tenant.config_id}
    assert (await croft.operator.delete(f"/api/members/{email}", headers=headers)).status_code == 204


async def test_acts_on_members_are_on_record(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    email = await tenant.account("viewer")
    [member] = (await members(admin, search=email))["data"]
    await give(admin, email, "reviewer")
    await give(admin, email, "reviewer")
    await admin.delete(f"/api/members/{email}")
    acts = await actions(cluster, croft, f"user:{member['userId']}")
    assert acts[-3:] == ["member.added", "member.changed", "member.removed"]
