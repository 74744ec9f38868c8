"""Who may write the config does not thereby decide who may enter and see what."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.conftest import PASSWORD, Croft, TenantHandle, small_config

PROVIDER = {"type": "keycloak", "fields": {"url": "https://id.example.org", "realm": "field", "clientId": "phones"}}


def config_of(tenant: TenantHandle, **changes: Any) -> dict[str, Any]:
    return {**small_config(tenant.config_id), "authConfigs": [PROVIDER], **changes}


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    tenant = await croft.tenant()
    assert (await croft.operator.post("/api/apps", json=config_of(tenant))).status_code == 200
    return tenant


@pytest_asyncio.fixture(loop_scope="session")
async def editor(croft: Croft, tenant: TenantHandle) -> httpx.AsyncClient:
    """A member whose role may write the config and nothing else."""
    names = {"configId": tenant.config_id}
    role = {"name": "editor", "permissions": ["config.read", "config.write"]}
    assert (await croft.operator.post("/api/roles", params=names, json=role)).status_code == 201
    email = f"{uuid4().hex}@croft.test"
    memberships = [{"configId": tenant.config_id, "role": "editor"}]
    body = {"email": email, "password": PASSWORD, "role": "USER", "memberships": memberships}
    assert (await croft.operator.post("/api/users", json=body)).status_code == 201
    return await croft.signed_in(email)


def forms_for(*roles: str) -> list[dict[str, Any]]:
    return [{"name": "household", "title": "Household", "formio": {}, "roles": [*roles]}]


CHANGES: list[dict[str, Any]] = [
    {"authConfigs": []},
    {"authConfigs": [PROVIDER, {**PROVIDER, "type": "mine"}]},
    {"authConfigs": [{**PROVIDER, "fields": {**PROVIDER["fields"], "url": "https://evil.example"}}]},  # type: ignore[dict-item]
    {"entityForms": forms_for("editor")},
]


@pytest.mark.parametrize("change", CHANGES)
async def test_rules_of_access_are_not_for_who_may_only_write_the_config(
    editor: httpx.AsyncClient, tenant: TenantHandle, change: dict[str, Any]
) -> None:
    whole = await editor.post("/api/apps", json=config_of(tenant, **change))
    part = await editor.put(f"/api/apps/{tenant.config_id}", json={"id": tenant.config_id, **change})
    for answer in (whole, part):
        assert (answer.status_code, answer.json()["code"]) == (403, "app-configs.rules-of-access")
        assert answer.json()["errors"]


async def test_all_else_in_the_config_is(editor: httpx.AsyncClient, tenant: TenantHandle) -> None:
    change = {"name": "Another name", "description": "More words"}
    assert (await editor.post("/api/apps", json=config_of(tenant, **change))).status_code == 200
    forms = [*small_config(tenant.config_id)["entityForms"], {"name": "visit", "title": "Visit", "formio": {}}]
    part = {"id": tenant.config_id, "entityForms": forms}
    assert (await editor.put(f"/api/apps/{tenant.config_id}", json=part)).status_code == 200


async def test_version_with_other_rules_is_not_brought_back_by_who_may_only_write_the_config(
    editor: httpx.AsyncClient, tenant: TenantHandle
) -> None:
    rolled_back = await editor.post(f"/api/apps/{tenant.config_id}/rollback", json={"number": 1})
    assert (rolled_back.status_code, rolled_back.json()["code"]) == (403, "app-configs.rules-of-access")
    assert (await editor.post(f"/api/apps/{tenant.config_id}/rollback", json={"number": 2})).status_code == 200


async def test_administrator_sets_the_rules(tenant: TenantHandle) -> None:
    admin = await tenant.caller("admin")
    answer = await admin.post("/api/apps", json=config_of(tenant, authConfigs=[], entityForms=forms_for("reviewer")))
    assert answer.status_code == 200, answer.text
