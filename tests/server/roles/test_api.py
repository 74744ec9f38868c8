"""A tenant's own roles, over HTTP."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from server.roles.permissions import OF_A_TENANT, ROLES
from tests.conftest import Croft, TenantHandle
from tests.past_the_server import actions

ROLES_MANAGER = ["roles.manage", "members.read", "members.manage", "entities.read", "config.read"]


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture(loop_scope="session")
async def admin(tenant: TenantHandle) -> httpx.AsyncClient:
    return await of(tenant, await tenant.account("admin"))


async def of(tenant: TenantHandle, email: str) -> httpx.AsyncClient:
    """A client of the account that names the tenant in each request."""
    client = await tenant.croft.signed_in(email)
    client.headers["X-Tenant-Id"] = tenant.config_id
    return client


async def make(client: httpx.AsyncClient, name: str, permissions: Iterable[str], **more: Any) -> httpx.Response:
    return await client.post("/api/roles", json={"name": name, "permissions": list(permissions), **more})


async def made(client: httpx.AsyncClient, name: str, permissions: Iterable[str]) -> None:
    answer = await make(client, name, permissions)
    assert answer.status_code == 201, answer.text


async def with_role(tenant: TenantHandle, admin: httpx.AsyncClient, name: str, rights: Iterable[str]) -> Any:
    """A client whose account has a new role."""
    await made(admin, name, rights)
    return await of(tenant, await tenant.account(name))


async def listed(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    answer = await client.get("/api/roles")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_every_permission_of_a_tenant_is_listed_with_what_it_is_for(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/api/permissions")
    assert answer.status_code == 200, answer.text
    assert {each["name"] for each in answer.json()} == {each.value for each in OF_A_TENANT}
    assert all(each["description"] for each in answer.json())


async def test_built_in_roles_are_listed_first_with_who_has_them(
    tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await tenant.account("viewer")
    await made(admin, "clerk", ["entities.read"])
    roles = await listed(admin)
    assert list(roles) == [*ROLES, "clerk"]
    assert {name: role["builtIn"] for name, role in roles.items()} == {**dict.fromkeys(ROLES, True), "clerk": False}
    assert {name: role["members"] for name, role in roles.items()} == {
        "admin": 1,
        "reviewer": 0,
        "collector": 0,
        "viewer": 1,
        "clerk": 0,
    }


async def test_role_gives_what_it_holds_from_the_next_request_on(
    tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    clerk = await with_role(tenant, admin, "clerk", ["entities.read"])
    assert (await clerk.get("/api/entities")).status_code == 200
    assert (await clerk.get("/api/conflicts")).status_code == 403
    changed = await admin.put("/api/roles/clerk", json={"permissions": ["conflicts.read"]})
    assert (changed.status_code, changed.json()["permissions"]) == (200, ["conflicts.read"])
    assert (await clerk.get("/api/entities")).status_code == 403
    assert (await clerk.get("/api/conflicts")).status_code == 200


async def test_what_a_change_does_not_name_stays(admin: httpx.AsyncClient) -> None:
    await make(admin, "clerk", ["entities.read"], description="Types forms in")
    await admin.put("/api/roles/clerk", json={"permissions": ["sync.pull"]})
    await admin.put("/api/roles/clerk", json={"description": None})
    role = (await listed(admin))["clerk"]
    assert (role["description"], role["permissions"]) == ("Types forms in", ["sync.pull"])


async def test_role_of_one_tenant_is_none_of_another(croft: Croft, admin: httpx.AsyncClient) -> None:
    await made(admin, "clerk", ["entities.read"])
    other = await croft.tenant()
    elsewhere = await of(other, await other.account("admin"))
    assert "clerk" not in await listed(elsewhere)
    assert code_of(await elsewhere.put("/api/roles/clerk", json={})) == (404, "roles.unknown")
    assert code_of(await elsewhere.delete("/api/roles/clerk")) == (404, "roles.unknown")
    await made(elsewhere, "clerk", ["sync.pull"])
    assert (await listed(admin))["clerk"]["permissions"] == ["entities.read"]


@pytest.mark.parametrize(
    "name", ["admin", "Admin", "VIEWER", "", "-clerk", "a b", "clerk\n", "clérk", "x" * 65, "a/b", "a.b", "'"]
)
async def test_name_that_is_no_name_or_a_built_in_one_is_refused(admin: httpx.AsyncClient, name: str) -> None:
    answer = await make(admin, name, ["entities.read"])
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == ["name"]


@pytest.mark.parametrize(
    ("permissions", "path"),
    [
        ([], "permissions"),
        (["entities.read", "entities.destroy"], "permissions[1]"),
        (["tenants.manage"], "permissions[0]"),
        (["public"], "permissions[0]"),
        (["own-account"], "permissions[0]"),
        (["entities.read"] * 27, "permissions"),
        ("entities.read", "permissions"),
        (None, "permissions"),
    ],
)
async def test_permission_that_no_role_can_hold_is_named(admin: httpx.AsyncClient, permissions: Any, path: str) -> None:
    answer = await admin.post("/api/roles", json={"name": "clerk", "permissions": permissions})
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == [path]


async def test_name_is_taken_in_any_case(admin: httpx.AsyncClient) -> None:
    await made(admin, "Clerk", ["entities.read"])
    for name in ("Clerk", "clerk", "CLERK"):
        assert code_of(await make(admin, name, ["entities.read"])) == (409, "roles.name-taken")


async def test_name_is_given_once_when_asked_for_at_the_same_time(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(make(admin, name, ["entities.read"]) for name in ("clerk", "Clerk") * 3))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


async def test_tenant_makes_a_hundred_roles_and_no_more(admin: httpx.AsyncClient) -> None:
    for number in range(100):
        await made(admin, f"role{number}", ["entities.read"])
    assert code_of(await make(admin, "one-more", ["entities.read"])) == (409, "roles.too-many")
    assert (await admin.delete("/api/roles/role7")).status_code == 204
    await made(admin, "one-more", ["entities.read"])


@pytest.mark.parametrize("name", [*ROLES, "Admin"])
async def test_built_in_role_can_neither_be_changed_nor_removed(admin: httpx.AsyncClient, name: str) -> None:
    assert code_of(await admin.put(f"/api/roles/{name}", json={"permissions": ["sync.pull"]})) == (
        409,
        "roles.built-in",
    )
    assert code_of(await admin.delete(f"/api/roles/{name}")) == (409, "roles.built-in")


async def test_role_that_somebody_has_is_not_removed(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    await made(admin, "clerk", ["entities.read"])
    email = await tenant.account("clerk")
    assert code_of(await admin.delete("/api/roles/clerk")) == (409, "roles.in-use")
    assert (await admin.delete(f"/api/members/{email}")).status_code == 204
    assert (await admin.delete("/api/roles/clerk")).status_code == 204
    assert "clerk" not in await listed(admin)


async def test_role_that_a_program_has_is_not_removed(admin: httpx.AsyncClient) -> None:
    await made(admin, "machine", ["entities.read"])
    answer = await admin.post("/api/service-accounts", json={"name": "Dashboard", "role": "machine"})
    assert answer.status_code == 201, answer.text
    assert code_of(await admin.delete("/api/roles/machine")) == (409, "roles.in-use")
    assert (await admin.delete(f"/api/service-accounts/{answer.json()['id']}")).status_code == 200
    assert (await admin.delete("/api/roles/machine")).status_code == 204


async def test_role_is_not_removed_while_it_is_given_to_somebody(
    tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    """Whoever comes first: nobody is left with a role that is gone."""
    for number in range(5):
        name = f"clerk{number}"
        await made(admin, name, ["entities.read"])
        email = await tenant.account("viewer")
        given, removed = await asyncio.gather(
            admin.put(f"/api/members/{email}", json={"role": name}), admin.delete(f"/api/roles/{name}")
        )
        assert (given.status_code, removed.status_code) in {(200, 409), (422, 204)}
        assert (name in await listed(admin)) is (given.status_code == 200)


# Nobody gives what he has not


async def test_role_cannot_hold_what_its_author_does_not(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    manager = await with_role(tenant, admin, "manager", ROLES_MANAGER)
    refused = await make(manager, "stronger", ["entities.read", "persons.erase"])
    assert code_of(refused) == (403, "roles.beyond-own-rights")
    assert "persons.erase" in refused.json()["detail"]
    await made(manager, "weaker", ["entities.read"])
    for path in ("weaker", "manager"):
        answer = await manager.put(f"/api/roles/{path}", json={"permissions": [*ROLES_MANAGER, "config.write"]})
        assert code_of(answer) == (403, "roles.beyond-own-rights")
    assert (await listed(admin))["manager"]["permissions"] == (await listed(manager))["manager"]["permissions"]


async def test_stronger_role_is_neither_weakened_nor_removed_by_who_holds_less(
    tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await made(admin, "auditor", ["audit.read", "entities.read"])
    manager = await with_role(tenant, admin, "manager", ROLES_MANAGER)
    weakened = await manager.put("/api/roles/auditor", json={"permissions": ["entities.read"]})
    assert code_of(weakened) == (403, "roles.beyond-own-rights")
    assert code_of(await manager.delete("/api/roles/auditor")) == (403, "roles.beyond-own-rights")
    assert (await listed(admin))["auditor"]["permissions"] == ["audit.read", "entities.read"]


async def test_role_that_a_form_names_is_made_only_by_who_sees_the_form(croft: Croft) -> None:
    forms = [{"name": "medical", "title": "Medical", "roles": ["nurse"], "formio": {}}]
    tenant = await croft.tenant({"entityForms": forms})
    admin = await of(tenant, await tenant.account("admin"))
    manager = await with_role(tenant, admin, "manager", ROLES_MANAGER)
    refused = await make(manager, "Nurse", ["entities.read"])
    assert code_of(refused) == (403, "roles.beyond-own-rights")
    await made(admin, "nurse", ["entities.read"])
    email = await tenant.account("viewer")
    given = await manager.put(f"/api/members/{email}", json={"role": "nurse"})
    assert code_of(given) == (403, "roles.beyond-own-rights")
    assert (await admin.put(f"/api/members/{email}", json={"role": "nurse"})).status_code == 200


async def test_acts_on_roles_are_on_record(croft: Croft, cluster: EmbeddedPostgres, admin: httpx.AsyncClient) -> None:
    name = f"clerk-{uuid4().hex}"
    await made(admin, name, ["entities.read"])
    await admin.put(f"/api/roles/{name}", json={"permissions": ["entities.read", "sync.pull"]})
    await admin.put(f"/api/roles/{name}", json={"permissions": ["entities.read", "sync.pull"]})
    await admin.delete(f"/api/roles/{name}")
    assert await actions(cluster, croft, f"role:{name}") == ["role.created", "role.changed", "role.deleted"]
