"""Settling pairs over real HTTP: what may be settled, and what would lose a record."""

import httpx

from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import fetch, person, push


async def resolve(tenant: TenantHandle, new: str, existing: str, *, delete: bool) -> httpx.Response:
    return await tenant.api.post(
        "/api/potential-duplicates/resolve",
        json={
            "newItem": new,
            "existingItem": existing,
            "shouldDeleteNewItem": delete,
            "configId": tenant.config_id,
        },
    )


async def two_of_one_name(tenant: TenantHandle) -> tuple[str, str]:
    one, other = person("Amina Diallo", dateOfBirth="1990-05-01"), person("Amina Diallo", dateOfBirth="1990-05-01")
    await push(tenant, one, other)
    return one["entityGuid"], other["entityGuid"]


async def test_mistyped_guid_deletes_nothing(croft: Croft) -> None:
    tenant = await croft.tenant()
    one, other = await two_of_one_name(tenant)
    answer = await resolve(tenant, other, "mistyped", delete=True)
    assert (answer.status_code, answer.json()["code"]) == (404, "duplicates.unknown")
    assert [each["path"] for each in answer.json()["errors"]] == ["existingItem"]
    assert (await fetch(tenant, "/api/entities/count"))["count"] == 2
    assert (await resolve(tenant, "mistyped", one, delete=False)).status_code == 404


async def test_settling_a_pair_by_deletion_from_both_ends_leaves_one_record(croft: Croft) -> None:
    tenant = await croft.tenant()
    one, other = await two_of_one_name(tenant)
    assert (await resolve(tenant, other, one, delete=True)).status_code == 200
    answer = await resolve(tenant, one, other, delete=True)
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicates.nothing-left")
    assert [each["guid"] for each in await fetch(tenant, "/api/entities")] == [one]


async def test_settling_the_same_again_is_harmless(croft: Croft) -> None:
    tenant = await croft.tenant()
    one, other = await two_of_one_name(tenant)
    for _ in range(2):
        assert (await resolve(tenant, other, one, delete=True)).status_code == 200
    assert (await fetch(tenant, "/api/entities/count"))["count"] == 1
    assert await fetch(tenant, "/api/potential-duplicates") == []
