"""Service accounts and their keys, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from server.auth.service_accounts.keys import NEVER_OF_A_KEY, OF_A_KEY, is_secret_of, make_key, parts_of
from server.auth.service_accounts.model import MOST_ACCOUNTS, MOST_KEYS
from server.db.embedded import EmbeddedPostgres
from server.roles.permissions import OF_A_TENANT, Permission
from tests.conftest import Croft, new_database, start_croft
from tests.server.auth.factors import refused, shared_schema
from tests.server.auth.programs import ACCOUNTS, programs_of

# Accounts


async def test_service_account_is_made_shown_changed_and_deleted(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    made = (await programs.call("POST", name=" Payroll ", description="pays\nout", role="viewer")).json()
    assert (made["name"], made["description"], made["role"], made["keys"]) == ("Payroll", "pays\nout", "viewer", 0)
    assert (await programs.call("GET", f"/{made['id']}")).json() == made
    changed = await programs.call("PUT", f"/{made['id']}", role="collector", description="")
    assert changed.json() == {**made, "role": "collector", "description": ""}
    assert (await programs.call("DELETE", f"/{made['id']}")).status_code == 200
    assert refused(await programs.call("GET", f"/{made['id']}")) == (404, "service-accounts.unknown")
    assert await programs.acts(f"service-account:{made['id']}") == [
        "service-account.created",
        "service-account.changed",
        "service-account.deleted",
    ]


async def test_accounts_are_listed_by_page_order_and_search(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    for name, role in (("beta", "viewer"), ("Alpha", "collector"), ("gamma", "admin")):
        await programs.account(role, name=name, description=f"for {name}")
    listed = (await programs.call("GET")).json()
    assert [each["name"] for each in listed["data"]] == ["Alpha", "beta", "gamma"]
    assert listed["meta"]["total"] == 3
    second = (await programs.call("GET", page="2", pageSize="2", sortOrder="desc")).json()
    assert [each["name"] for each in second["data"]] == ["Alpha"]
    assert [each["name"] for each in (await programs.call("GET", search="FOR GA")).json()["data"]] == ["gamma"]
    by_role = (await programs.call("GET", sortBy="role")).json()
    assert [each["role"] for each in by_role["data"]] == ["admin", "collector", "viewer"]
    by_time = (await programs.call("GET", sortBy="createdAt")).json()
    assert [each["name"] for each in by_time["data"]] == ["beta", "Alpha", "gamma"]
    past = (await programs.call("GET", page="9", pageSize="2")).json()
    assert (past["meta"]["page"], past["meta"]["totalPages"]) == (2, 2)


async def test_no_two_accounts_of_a_tenant_have_one_name(croft: Croft) -> None:
    programs, elsewhere = await programs_of(await croft.tenant()), await programs_of(await croft.tenant())
    await programs.account(name="Payroll")
    other = await programs.account()
    taken = (409, "service-accounts.name-taken")
    assert refused(await programs.call("POST", name="PAYROLL", role="viewer")) == taken
    assert refused(await programs.call("PUT", f"/{other}", name="payroll")) == taken
    await elsewhere.account(name="Payroll")


async def test_role_has_to_be_one_of_the_tenant(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    assert refused(await programs.call("POST", name="P", role="wizard")) == (422, "roles.cannot-be-given")
    account = await programs.account()
    assert refused(await programs.call("PUT", f"/{account}", role="wizard")) == (422, "roles.cannot-be-given")


async def test_tenant_has_so_many_accounts_and_no_more(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    async with shared_schema(croft) as db:
        await db.execute(
            "INSERT INTO service_accounts (tenant_id, name, role, created_by) "
            "SELECT t.id, 'p' || n, 'viewer', '1' FROM tenants t, generate_series(1, $2) n WHERE t.config_id = $1",
            programs.tenant.config_id,
            MOST_ACCOUNTS,
        )
    assert refused(await programs.call("POST", name="One more", role="viewer")) == (409, "service-accounts.too-many")


# Keys


def test_key_names_itself_and_keeps_its_secret() -> None:
    made = make_key()
    prefix, secret = parts_of(made.key)
    assert prefix == made.prefix
    assert is_secret_of(made.digest, secret)
    assert not is_secret_of(made.digest, secret[:-1])
    assert secret.encode() not in made.digest
    assert len({make_key().key for _ in range(100)}) == 100


async def test_key_is_shown_once_and_opens_what_it_was_made_for(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account("collector")
    made = await programs.key(account, "entities.read", "sync.pull")
    assert made["scopes"] == ["sync.pull", "entities.read"]
    assert made["key"].startswith(f"croft_{made['prefix']}_")
    listed = await programs.call("GET", f"/{account}/keys")
    assert made["key"].rpartition("_")[2] not in listed.text
    assert listed.json()["data"] == [{name: value for name, value in made.items() if name != "key"}]
    client = croft.client(made["key"])
    assert (await client.get("/api/entities")).status_code == 200, "its own tenant need not be named"
    assert (await client.get("/api/sync/pull", params=programs.here)).status_code == 200
    push = await client.post("/api/sync/push", json={"events": []}, params=programs.here)
    assert refused(push) == (403, "access.forbidden")


async def test_key_is_worth_less_when_its_role_is(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account("collector")
    client = croft.client((await programs.key(account, "sync.pull", "entities.read"))["key"])
    assert (await client.get("/api/sync/pull")).status_code == 200
    await programs.call("PUT", f"/{account}", role="viewer")
    assert refused(await client.get("/api/sync/pull")) == (403, "access.forbidden")
    assert (await client.get("/api/entities")).status_code == 200


async def test_revoked_key_opens_nothing_at_once_and_stays_in_the_list(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account()
    made, other = await programs.key(account), await programs.key(account)
    path = f"/{account}/keys/{made['id']}"
    assert (await programs.call("DELETE", path)).status_code == 200
    assert refused(await croft.client(made["key"]).get("/api/entities")) == (401, "auth.required")
    assert (await croft.client(other["key"]).get("/api/entities")).status_code == 200
    assert refused(await programs.call("DELETE", path)) == (404, "api-keys.unknown")
    shown = {each["id"]: each["revokedAt"] for each in (await programs.call("GET", f"/{account}/keys")).json()["data"]}
    assert shown[made["id"]] is not None
    assert shown[other["id"]] is None
    assert (await programs.call("GET", f"/{account}")).json()["keys"] == 1
    assert await programs.acts(f"api-key:{made['id']}") == ["api-key.created", "api-key.revoked"]


async def test_key_opens_nothing_after_its_end(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account()
    made = await programs.key(account, expiresAt=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    client = croft.client(made["key"])
    assert (await client.get("/api/entities")).status_code == 200
    async with shared_schema(croft) as db:
        await db.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", made["id"])
    assert refused(await client.get("/api/entities")) == (401, "auth.required")
    past = {"name": "Key", "scopes": ["entities.read"], "expiresAt": datetime.now(UTC).isoformat()}
    assert refused(await programs.call("POST", f"/{account}/keys", **past)) == (422, "auth.over-already")


async def test_deleted_account_takes_its_keys_along(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account()
    client = croft.client((await programs.key(account))["key"])
    await programs.call("DELETE", f"/{account}")
    assert refused(await client.get("/api/entities")) == (401, "auth.required")


async def test_key_goes_with_its_tenant(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    client = await programs.client()
    tenant = f"/api/tenants/{programs.tenant.config_id}"
    assert (await croft.operator.post(f"{tenant}/suspend")).status_code == 200
    assert refused(await client.get("/api/entities")) == (403, "tenants.suspended")
    assert (await client.get("/api/apps")).json()["data"] == []
    await croft.operator.post(f"{tenant}/resume")
    assert (await client.get("/api/entities")).status_code == 200
    await croft.operator.delete(tenant)
    assert refused(await client.get("/api/entities")) == (401, "auth.required")


async def test_scopes_are_permissions_of_the_role(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account("viewer")
    beyond = await programs.call("POST", f"/{account}/keys", name="Key", scopes=["entities.read", "sync.push"])
    assert refused(beyond) == (422, "api-keys.beyond-role")
    assert "sync.push" in beyond.json()["detail"]
    for scopes in ([], ["entities.write"], ["users.manage"], ["own-account"], ["signed-in"], ["public"], [""]):
        answer = await programs.call("POST", f"/{account}/keys", name="Key", scopes=scopes)
        assert answer.status_code == 422, scopes


def test_what_a_key_can_be_given_and_what_not_is_everything_in_a_tenant() -> None:
    assert OF_A_KEY | NEVER_OF_A_KEY == OF_A_TENANT
    assert not OF_A_KEY & NEVER_OF_A_KEY
    assert sorted(NEVER_OF_A_KEY) == [
        "config.write",
        "members.manage",
        "persons.erase",
        "roles.manage",
        "security.manage",
        "service-accounts.manage",
    ]


@pytest.mark.parametrize("permission", sorted(NEVER_OF_A_KEY))
async def test_no_key_is_given_what_changes_who_may_do_what(croft: Croft, permission: Permission) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account("admin")
    answer = await programs.call("POST", f"/{account}/keys", name="Key", scopes=[permission])
    assert answer.status_code == 422


async def test_account_has_so_many_keys_that_hold_and_no_more(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account()
    async with shared_schema(croft) as db:
        await db.execute(
            "INSERT INTO api_keys (service_account_id, name, prefix, digest, scopes, created_by, revoked_at) "
            "SELECT $1::text::bigint, 'k', $1::text || '-' || n, ''::bytea, '{}', '1', CASE WHEN n = 1 THEN now() END "
            "FROM generate_series(1, $2) n",
            str(account),
            MOST_KEYS,
        )
    made = await programs.key(account)
    body = {"name": "Key", "scopes": ["entities.read"]}
    assert refused(await programs.call("POST", f"/{account}/keys", **body)) == (409, "api-keys.too-many")
    await programs.call("DELETE", f"/{account}/keys/{made['id']}")
    await programs.key(account)


async def test_keys_are_listed_by_page_order_and_search(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    account = await programs.account()
    made = [await programs.key(account, name=name) for name in ("plum", "Quince", "medlar")]

    async def names(**query: str) -> list[str]:
        answer = await programs.call("GET", f"/{account}/keys", **query)
        return [each["name"] for each in answer.json()["data"]]

    assert await names() == ["medlar", "Quince", "plum"], "the newest first"
    assert await names(sortBy="name", sortOrder="asc") == ["medlar", "plum", "Quince"]
    assert await names(pageSize="2", page="2") == ["plum"]
    assert await names(search="QUIN") == ["Quince"]
    assert await names(search=made[0]["prefix"]) == ["plum"]


# What a key sees


async def test_key_lists_its_own_tenant_and_no_other_app(croft: Croft) -> None:
    await croft.tenant()
    programs = await programs_of(await croft.tenant())
    client = await programs.client()
    listed = (await client.get("/api/apps")).json()
    assert [each["id"] for each in listed["data"]] == [programs.tenant.config_id]
    assert listed["meta"]["total"] == 1


async def test_key_signs_nobody_in_or_out(croft: Croft) -> None:
    programs = await programs_of(await croft.tenant())
    client = await programs.client()
    assert (await client.get("/api/users/check-token")).status_code == 200
    assert (await client.post("/api/users/logout")).status_code == 200
    assert (await client.get("/api/users/check-token")).status_code == 200
    for path in ("/api/v2/account/app-passwords", "/api/v2/account/second-factor"):
        assert refused(await client.get(path)) == (403, "access.own-login-needed")


async def test_when_a_key_was_used_last_is_noted_behind_the_requests(cluster: EmbeddedPostgres) -> None:
    addresses = await new_database(cluster)
    before = datetime.now(UTC)
    async with start_croft(addresses) as croft:
        programs = await programs_of(await croft.tenant())
        account = await programs.account()
        used, unused = await programs.key(account), await programs.key(account)
        assert (await croft.client(used["key"]).get("/api/entities")).status_code == 200
    async with start_croft(addresses) as croft:
        query = {"configId": programs.tenant.config_id}
        keys = (await croft.operator.get(f"{ACCOUNTS}/{account}/keys", params=query)).json()["data"]
        noted = {each["id"]: each["lastUsedAt"] for each in keys}
        shown = (await croft.operator.get(f"{ACCOUNTS}/{account}", params=query)).json()
    assert before <= datetime.fromisoformat(noted[used["id"]]) <= datetime.now(UTC)
    assert noted[unused["id"]] is None
    assert shown["lastUsedAt"] == noted[used["id"]]


# Nobody gives more than he has


async def manager_of(croft: Croft, config_id: str, *permissions: str) -> str:
    """The e-mail address of a member whose role lets him manage service accounts, and do what is named besides."""
    role = {"name": "integrator", "permissions": ["service-accounts.manage", *permissions]}
    answer = await croft.operator.post("/api/roles", params={"configId": config_id}, json=role)
    assert answer.is_success, answer.text
    email = f"integrator@{config_id}.test"
    membership = {"configId": config_id, "role": "integrator"}
    body = {"email": email, "password": "Correct-Horse-7", "role": "USER", "memberships": [membership]}
    answer = await croft.operator.post("/api/users", json=body)
    assert answer.status_code == 201, answer.text
    return email


async def test_who_manages_service_accounts_gives_none_more_than_he_has(croft: Croft) -> None:
    tenant = await croft.tenant()
    by_admin = await programs_of(tenant)
    strong = await by_admin.account("admin")
    by_admin.admin = await croft.signed_in(await manager_of(croft, tenant.config_id, "entities.read"))
    beyond = (403, "roles.beyond-own-rights")
    assert refused(await by_admin.call("POST", name="P", role="collector")) == beyond
    assert refused(await by_admin.call("PUT", f"/{strong}", role="viewer")) == beyond
    assert refused(await by_admin.call("DELETE", f"/{strong}")) == beyond
    push = {"name": "Key", "scopes": ["sync.push"]}
    assert refused(await by_admin.call("POST", f"/{strong}/keys", **push)) == beyond
    own = await by_admin.key(strong, "entities.read")
    assert (await croft.client(own["key"]).get("/api/entities")).status_code == 200
    assert (await by_admin.call("DELETE", f"/{strong}/keys/{own['id']}")).status_code == 200
