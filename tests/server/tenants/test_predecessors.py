"""What phones still hold for a deleted tenant does not enter the one that took its id over, whoever signs in there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from server.audit import Author
from server.db import Database
from server.kit.clock import utc_now
from server.tenants import lifecycle, predecessors
from tests.conftest import PASSWORD, Croft, TenantHandle, small_config
from tests.server.entities.records import event, fetch, person, push

LONG_AGO = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)
SEEDS = {"entityData": [{"name": "household", "data": [{"id": "h1", "name": "Okonkwo"}]}]}
BEFORE, OTHER = "event.before-log", "event.of-another-log"


def old(name: str, guid: str, minutes: int = 0) -> dict[str, Any]:
    """Somebody registered long ago."""
    return person(name, guid=guid, at=LONG_AGO + timedelta(minutes=minutes))


def edit(guid: str, **fields: Any) -> dict[str, Any]:
    """An update of a person, made now."""
    return event("update-individual", guid, fields, at=utc_now())


def join(household: str, guid: str) -> dict[str, Any]:
    """A new member of a household, made now."""
    return event("add-member", household, {"members": [{"guid": guid, "name": "Ada"}]}, at=utc_now())


async def replace(croft: Croft, tenant: TenantHandle, **parts: Any) -> int:
    """Deletes the tenant and makes another one of its id; answers the number of the first."""
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    await delete(croft, tenant)
    answer = await croft.operator.post("/api/apps", json={**small_config(tenant.config_id), **parts})
    assert answer.status_code == 200, answer.text
    return int(number)


async def delete(croft: Croft, tenant: TenantHandle) -> None:
    """Deletes the tenant that has the id now."""
    assert (await croft.operator.delete(f"/api/apps/{tenant.config_id}")).status_code == 200


async def admitted_again(croft: Croft, tenant: TenantHandle, email: str) -> httpx.AsyncClient:
    """The account, made a member of the tenant that has the id now, signed in anew."""
    change = {"memberships": [{"configId": tenant.config_id, "role": "collector"}]}
    assert (await croft.operator.put(f"/api/users/{email}", json=change)).status_code == 200
    return await croft.signed_in(email, PASSWORD)


async def codes_of(tenant: TenantHandle, *events: dict[str, Any], caller: httpx.AsyncClient | None = None) -> list[str]:
    """What became of each pushed event: its status, or the reason why it is in quarantine."""
    told = await push(tenant, *events, caller=caller)
    return [fate["code"] if fate["status"] == "quarantined" else fate["status"] for fate in told["events"]]


async def names(tenant: TenantHandle) -> list[str]:
    """Who is in the tenant."""
    return sorted(each["name"] for each in await fetch(tenant, "/api/entities"))


async def purge(croft: Croft, database: Database, number: int) -> None:
    """Destroys a deleted tenant."""
    async with database.shared() as db:
        await lifecycle.purge(db, number, timedelta(), Author("test"))


async def test_nothing_that_a_phone_holds_for_the_deleted_tenant_enters_its_successor(croft: Croft) -> None:
    first = await croft.tenant()
    email = await first.account()
    phone = await croft.signed_in(email)
    pushed = [old("Amina", "a-1"), event("create-group", "g-1", {"name": "House"}, at=LONG_AGO)]
    await push(first, *pushed, caller=phone)
    await replace(croft, first)
    phone = await admitted_again(croft, first, email)

    unsent = [old("Bilal", "b-1"), edit("a-1", phone="1"), join("g-1", "c-1"), edit("g-1", village="x")]
    assert await codes_of(first, *pushed, *unsent, caller=phone) == [BEFORE] * 3 + [OTHER] * 3
    assert await names(first) == []
    kept = await fetch(first, "/api/sync/quarantine")
    assert {entry["guid"] for entry in kept} == {each["guid"] for each in (*pushed, *unsent)}

    new = [person("Chidi", guid="n-1", at=utc_now()), edit("n-1", phone="2")]
    assert await codes_of(first, *new, caller=phone) == ["accepted", "accepted"]
    assert await names(first) == ["Chidi"]


async def test_seeds_with_the_same_ids_work_in_both(croft: Croft) -> None:
    tenant = await croft.tenant(SEEDS)
    number = await replace(croft, tenant, **SEEDS)
    assert await codes_of(tenant, join("h1", "p-1")) == ["accepted"]
    assert await names(tenant) == ["Ada", "Okonkwo"]
    new_id = f"{tenant.config_id}-old"
    await croft.operator.post(f"/api/tenants/{number}/restore", json={"newId": new_id})
    restored = TenantHandle(croft, new_id, croft.operator)
    assert await codes_of(restored, join("h1", "p-2")) == ["accepted"]


async def test_tenant_under_a_fresh_id_takes_events_of_any_age(croft: Croft) -> None:
    tenant = await croft.tenant()
    assert await codes_of(tenant, old("Amina", "a-2"), edit("a-2", phone="1")) == ["accepted", "accepted"]


async def test_third_tenant_of_an_id_knows_the_entities_of_the_first(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    await push(tenant, old("Amina", "a-3"))
    number = await replace(croft, tenant)
    await delete(croft, tenant)
    await purge(croft, database, number)
    await croft.operator.post("/api/apps", json=small_config(tenant.config_id))
    assert await codes_of(tenant, edit("a-3", phone="1")) == [OTHER]


async def test_what_is_older_than_the_successor_stays_out_after_the_purge_too(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    await delete(croft, tenant)
    await purge(croft, database, number)
    await croft.operator.post("/api/apps", json=small_config(tenant.config_id))
    assert await codes_of(tenant, old("Amina", "a-4")) == [BEFORE]


async def test_phones_of_a_tenant_that_was_restored_under_another_id_stay_out_of_its_old_one(croft: Croft) -> None:
    tenant = await croft.tenant()
    await push(tenant, old("Amina", "a-5"))
    await delete(croft, tenant)
    new_id = f"{tenant.config_id}-old"
    await croft.operator.post(f"/api/tenants/{tenant.config_id}/restore", json={"newId": new_id})
    await croft.operator.post("/api/apps", json=small_config(tenant.config_id))
    assert await codes_of(tenant, old("Bilal", "b-5"), edit("a-5", phone="1")) == [BEFORE, OTHER]
    assert await codes_of(TenantHandle(croft, new_id, croft.operator), edit("a-5", phone="1")) == ["accepted"]


async def test_restored_tenant_goes_on_and_keeps_out_what_was_its_successors(croft: Croft) -> None:
    tenant = await croft.tenant()
    await push(tenant, person("Amina", guid="a-6", at=utc_now()))
    number = await replace(croft, tenant)
    await push(tenant, person("Bilal", guid="b-6", at=utc_now()))
    await delete(croft, tenant)
    await croft.operator.post(f"/api/tenants/{number}/restore", json={})
    assert await codes_of(tenant, edit("a-6", phone="1"), edit("b-6", phone="1")) == ["accepted", OTHER]


async def test_guids_are_copied_to_the_last(croft: Croft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecessors, "_BATCH", 3)
    tenant = await croft.tenant()
    guids = [f"many-{number}" for number in range(10)]
    await push(tenant, *(old("Amina", guid) for guid in guids))
    await replace(croft, tenant)
    assert set(await codes_of(tenant, *(edit(guid, phone="1") for guid in guids))) == {OTHER}
