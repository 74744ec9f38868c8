"""Suspending, deleting, restoring and purging tenants."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.audit import Author
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.duplicates.finding import load_and_find_pairs
from server.kit.problem import Problem
from server.starting import Addresses, install_shared_schema
from server.tenants import lifecycle
from server.tenants.migrating import migrate_tenants
from server.tenants.uploading import apply_config
from tests.conftest import KEYRING, PASSWORD, Croft, TenantHandle, new_database, small_config
from tests.server.tenants.conftest import standing

SEEDS = {"entityData": [{"name": "household", "data": [{"id": "h1", "name": "Okonkwo"}]}]}


def actor() -> Author:
    """Who acts in these tests."""
    return Author("test")


async def number_of(croft: Croft, tenant: TenantHandle) -> int:
    """The tenant's number."""
    answer = await croft.operator.get(f"/api/tenants/{tenant.config_id}")
    return int(answer.json()["tenantId"])


async def tenant_of(croft: Croft, name: object) -> dict[str, Any]:
    """What operators are told of a tenant."""
    answer = await croft.operator.get(f"/api/tenants/{name}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_suspension_keeps_everybody_but_operators_out(croft: Croft) -> None:
    tenant = await croft.tenant()
    caller = await tenant.caller("admin")
    path = f"/api/apps/{tenant.config_id}"
    suspended = await croft.operator.post(f"/api/tenants/{tenant.config_id}/suspend")
    assert suspended.json()["state"] == "suspended"
    assert (await caller.get(path)).status_code == 403
    assert (await croft.operator.get(path)).status_code == 200
    assert (await croft.operator.post(f"/api/tenants/{tenant.config_id}/suspend")).status_code == 200
    resumed = await croft.operator.post(f"/api/tenants/{tenant.config_id}/resume")
    assert resumed.json()["state"] == "active"
    assert (await caller.get(path)).status_code == 200


async def test_delete_succeeds_also_when_there_is_none(croft: Croft) -> None:
    tenant = await croft.tenant()
    for config_id in (tenant.config_id, tenant.config_id, "never-was", "a%00b"):
        answer = await croft.operator.delete(f"/api/apps/{config_id}")
        assert (answer.status_code, answer.json()) == (200, {"status": "success"})


async def test_number_in_place_of_a_config_id_deletes_nothing(croft: Croft) -> None:
    tenant = await croft.tenant()
    number = await number_of(croft, tenant)
    assert (await croft.operator.delete(f"/api/apps/{number}")).status_code == 200
    assert (await tenant_of(croft, tenant.config_id))["state"] == "active"


async def test_delete_hides_the_tenant_and_ends_memberships_and_sessions(croft: Croft) -> None:
    tenant, other = await croft.tenant(), await croft.tenant()
    only_here = await tenant.caller("collector")
    email = await tenant.account("reviewer")
    user = next(each for each in (await croft.operator.get("/api/users")).json() if each["email"] == email)
    both = [{"configId": each.config_id, "role": "reviewer"} for each in (tenant, other)]
    changed = await croft.operator.put(
        f"/api/users/{user['id']}", json={"email": email, "password": "", "role": "USER", "memberships": both}
    )
    assert changed.status_code == 200, changed.text
    in_both = await croft.signed_in(email)
    number = await number_of(croft, tenant)

    await croft.operator.delete(f"/api/apps/{tenant.config_id}")

    assert (await only_here.get("/api/users/check-token")).status_code == 401
    assert (await in_both.get("/api/users/check-token")).status_code == 200
    assert (await in_both.get(f"/api/apps/{tenant.config_id}")).status_code == 404
    assert (await in_both.get(f"/api/apps/{other.config_id}")).status_code == 200
    assert (await croft.operator.get(f"/api/apps/{tenant.config_id}")).status_code == 404
    assert (await croft.operator.get("/api/users/check-token")).status_code == 200
    deleted = await tenant_of(croft, number)
    assert (deleted["state"], deleted["id"]) == ("deleted", tenant.config_id)
    assert deleted["deletedAt"].endswith("Z")
    await croft.operator.post(f"/api/tenants/{number}/restore", json={})
    again = await croft.signed_in(email)
    assert (await again.get(f"/api/apps/{tenant.config_id}")).status_code == 403, "memberships do not come back"


async def test_deleted_id_can_be_used_anew_and_both_keep_their_data(croft: Croft) -> None:
    first = await croft.tenant(SEEDS)
    number = await number_of(croft, first)
    await croft.operator.delete(f"/api/apps/{first.config_id}")
    await croft.operator.post("/api/apps", json={**small_config(first.config_id), "name": "Successor"})
    assert (await tenant_of(croft, first.config_id))["name"] == "Successor"
    assert (await tenant_of(croft, number))["state"] == "deleted"

    taken = await croft.operator.post(f"/api/tenants/{number}/restore", json={})
    assert (taken.status_code, taken.json()["code"]) == (409, "tenants.id-taken")
    new_id = f"{first.config_id}-old"
    restored = await croft.operator.post(f"/api/tenants/{number}/restore", json={"newId": new_id})
    assert (restored.status_code, restored.json()["state"], restored.json()["id"]) == (200, "active", new_id)
    assert (await croft.operator.get(f"/api/apps/{new_id}")).json()["id"] == new_id
    assert (await croft.operator.get(f"/api/apps/{first.config_id}")).json()["name"] == "Successor"
    listed = await croft.operator.get("/api/apps", params={"search": first.config_id, "sortBy": "id"})
    counts = {app["id"]: app["entitiesCount"] for app in listed.json()["data"]}
    assert counts[new_id] == 1
    assert counts[first.config_id] == 0


async def test_restore_needs_no_body(croft: Croft) -> None:
    tenant = await croft.tenant()
    await croft.operator.delete(f"/api/tenants/{tenant.config_id}")
    path = f"/api/tenants/{tenant.config_id}/restore"
    assert (await croft.operator.post(path, content=b"no JSON")).status_code == 400
    restored = await croft.operator.post(path)
    assert (restored.status_code, restored.json()["state"]) == (200, "active")


async def test_restore_of_what_is_not_deleted_is_refused(croft: Croft) -> None:
    tenant = await croft.tenant()
    answer = await croft.operator.post(f"/api/tenants/{tenant.config_id}/restore", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "tenants.wrong-state")
    assert (await croft.operator.post("/api/tenants/never-was/restore", json={})).status_code == 404
    await croft.operator.delete(f"/api/tenants/{tenant.config_id}")
    bad = await croft.operator.post(f"/api/tenants/{tenant.config_id}/restore", json={"newId": "no/slash"})
    assert bad.status_code == 422


@pytest.mark.parametrize("act", ["suspend", "resume"])
async def test_deleted_tenant_is_neither_suspended_nor_resumed(croft: Croft, act: str) -> None:
    tenant = await croft.tenant()
    number = await number_of(croft, tenant)
    await croft.operator.delete(f"/api/tenants/{number}")
    assert (await croft.operator.post(f"/api/tenants/{number}/{act}")).json()["code"] == "tenants.wrong-state"
    assert (await croft.operator.post(f"/api/tenants/never-was/{act}")).status_code == 404


async def test_purge_is_not_offered_over_http(croft: Croft) -> None:
    tenant = await croft.tenant()
    answer = await croft.operator.post(f"/api/tenants/{tenant.config_id}/purge", json={})
    assert answer.status_code in (404, 405)


async def test_purge_leaves_nothing_but_the_record(croft: Croft, database: Database) -> None:
    async with database.shared() as db:
        before = await standing(db)
    tenant = await croft.tenant(SEEDS)
    number = await number_of(croft, tenant)
    await croft.operator.delete(f"/api/apps/{tenant.config_id}")
    async with database.shared() as db:
        await lifecycle.purge(db, number, timedelta(), actor())
    async with database.shared() as db:
        after = await standing(db)
        acts = await db.fetch("SELECT action FROM audit WHERE subject = $1 ORDER BY id", f"tenant:{number}")
    assert (after.schemas, after.roles, after.grants) == (before.schemas, before.roles, before.grants)
    assert after.rows[:3] == before.rows[:3]
    assert [row["action"] for row in acts] == ["tenant.provisioned", "tenant.deleted", "tenant.purged"]
    assert (await croft.operator.get(f"/api/tenants/{number}")).status_code == 404


async def test_purge_before_its_time_or_of_a_living_tenant_is_refused(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    number = await number_of(croft, tenant)
    with pytest.raises(Problem, match="wrong-state"):
        async with database.shared() as db:
            await lifecycle.purge(db, number, timedelta(), actor())
    await croft.operator.delete(f"/api/apps/{tenant.config_id}")
    with pytest.raises(Problem, match="still-kept"):
        async with database.shared() as db:
            await lifecycle.purge(db, number, timedelta(days=30), actor())
    async with database.shared() as db:
        restored = await lifecycle.restore(db, str(number), None, actor(), load_and_find_pairs, KEYRING)
    assert restored.state == "active"


async def test_upload_to_a_tenant_that_is_behind_waits_for_its_migration(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    async with database.shared() as db:
        await db.execute("UPDATE tenants SET schema_version = '0001' WHERE config_id = $1", tenant.config_id)
    try:
        answer = await croft.operator.post("/api/apps", json=small_config(tenant.config_id))
        assert (answer.status_code, answer.json()["code"]) == (503, "tenants.not-migrated")
        assert "croft migrate" in answer.json()["message"]
        listed = await croft.operator.get("/api/apps", params={"search": tenant.config_id})
        assert listed.status_code == 200
    finally:
        await croft.operator.delete(f"/api/apps/{tenant.config_id}")


async def test_serving_login_that_owns_nothing_can_do_all_of_it(cluster: EmbeddedPostgres) -> None:
    made = await new_database(cluster)
    superuser = cluster.superuser_dsn(urlsplit(made.direct).path.removeprefix("/"))
    await install_shared_schema(Addresses(made.serving, superuser))
    async with Database(made.serving, size=1) as serving:
        async with serving.shared() as db:
            document = {**small_config("owned"), **SEEDS}
            tenant = (await apply_config(db, document, actor(), load_and_find_pairs, KEYRING)).tenant
        async with serving.shared() as db:
            await db.execute("UPDATE tenants SET schema_version = ''")
        assert (await migrate_tenants(superuser)).migrated == ("owned",)
        async with serving.shared() as db:
            await lifecycle.delete(db, tenant.id, actor())
            await lifecycle.restore(db, "owned", None, actor(), load_and_find_pairs, KEYRING)
            await lifecycle.delete(db, tenant.id, actor())
            await lifecycle.restore(db, "owned", "owned-2", actor(), load_and_find_pairs, KEYRING)
            await lifecycle.delete(db, tenant.id, actor())
            await lifecycle.purge(db, tenant.id, timedelta(), actor())


async def test_password_of_these_tests_is_not_in_the_record(database: Database) -> None:
    async with database.shared() as db:
        found = await db.fetchval("SELECT count(*) FROM audit WHERE details::text LIKE '%' || $1 || '%'", PASSWORD)
    assert found == 0
