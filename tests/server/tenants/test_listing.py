"""Lists of apps and tenants."""

from typing import Any

import pytest

from tests.conftest import Croft, TenantHandle, small_config


@pytest.fixture(scope="module")
def names() -> list[str]:
    """The names of the tenants that this module lists, in their order."""
    return ["aldea Norte", "Bidibidi", "Cox's Bazar", "Dadaab 100%", "é-Goma"]


@pytest.fixture
async def apps(croft: Croft, names: list[str]) -> list[str]:
    """Tenants with one id prefix; made once."""
    ids = [f"list-{number}" for number in range(len(names))]
    if (await croft.operator.get("/api/apps/list-0")).status_code == 404:
        for number, (config_id, name) in enumerate(zip(ids, names, strict=True)):
            rows = [{"id": f"h{n}", "name": f"Family {n}"} for n in range(number)]
            seeds = [{"name": "household", "data": rows}]
            document = {**small_config(config_id), "name": name, "version": f"v{number}.list", "entityData": seeds}
            await croft.operator.post("/api/apps", json=document)
    return ids


async def listed(croft: Croft, **params: Any) -> dict[str, Any]:
    """The answer of the list of apps."""
    answer = await croft.operator.get("/api/apps", params={"search": "LIST-", **params})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_page_and_its_meta(croft: Croft, apps: list[str], names: list[str]) -> None:
    document = await listed(croft, page=2, pageSize=2)
    assert [app["name"] for app in document["data"]] == names[2:4]
    assert document["meta"] == {
        "total": 5,
        "page": 2,
        "pageSize": 2,
        "totalPages": 3,
        "sortBy": "name",
        "sortOrder": "asc",
        "search": "LIST-",
    }


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ({}, (1, 12)),
        ({"page": 99, "pageSize": 2}, (3, 2)),
        ({"page": 0}, (1, 12)),
        ({"page": -3, "pageSize": -1}, (1, 1)),
        ({"pageSize": 5000}, (1, 100)),
        ({"page": 10**30, "pageSize": 10**30}, (1, 100)),
    ],
)
async def test_numbers_out_of_range_are_brought_into_it(
    croft: Croft, apps: list[str], asked: dict[str, int], used: tuple[int, int]
) -> None:
    document = await listed(croft, **asked)
    assert (document["meta"]["page"], document["meta"]["pageSize"]) == used
    assert document["data"]


async def test_page_of_nothing_is_the_first(croft: Croft) -> None:
    document = await listed(croft, search="nothing is called so", page=4)
    assert document["data"] == []
    assert (document["meta"]["total"], document["meta"]["page"], document["meta"]["totalPages"]) == (0, 1, 1)


async def test_sorts(croft: Croft, apps: list[str], names: list[str]) -> None:
    by_id = await listed(croft, sortBy="id", sortOrder="desc")
    assert [app["id"] for app in by_id["data"]] == apps[::-1]
    by_count = await listed(croft, sortBy="entitiesCount", sortOrder="desc", pageSize=2)
    assert [app["entitiesCount"] for app in by_count["data"]] == [4, 3]
    by_name = await listed(croft)
    assert [app["name"] for app in by_name["data"]] == names


@pytest.mark.parametrize(
    ("search", "found"), [("BIDIB", [1]), ("%", [3]), ("_", []), ("list-2", [2]), ("V3.LIST", [3]), ("É-g", [4])]
)
async def test_search_is_a_part_in_any_case_and_no_pattern(
    croft: Croft, apps: list[str], search: str, found: list[int]
) -> None:
    answer = await croft.operator.get("/api/apps", params={"search": search, "pageSize": 100})
    ids = [app["id"] for app in answer.json()["data"] if app["id"].startswith("list-")]
    assert ids == [apps[number] for number in found]


@pytest.mark.parametrize("query", ["page=x", "sortBy=secret", "sortOrder=up", "search=%00"])
@pytest.mark.parametrize("path", ["/api/apps", "/api/tenants"])
async def test_query_that_means_nothing_is_refused(croft: Croft, path: str, query: str) -> None:
    assert (await croft.operator.get(f"{path}?{query}")).status_code == 400


async def test_users_see_their_own_tenants_that_are_in_use(croft: Croft) -> None:
    mine, _ = await croft.tenant(), await croft.tenant()
    caller = await mine.caller("viewer")
    assert await ids_seen(caller_of=mine, client=caller) == [mine.config_id]
    await croft.operator.post(f"/api/tenants/{mine.config_id}/suspend")
    assert await ids_seen(caller_of=mine, client=caller) == []


async def ids_seen(caller_of: TenantHandle, client: Any) -> list[str]:
    """The ids that a client's list of apps holds."""
    answer = await client.get("/api/apps")
    assert answer.status_code == 200, caller_of.config_id
    return [app["id"] for app in answer.json()["data"]]


async def test_operators_list_tenants_by_state(croft: Croft) -> None:
    kept, suspended, deleted = [await croft.tenant({"version": "by-state"}) for _ in range(3)]
    await croft.operator.post(f"/api/tenants/{suspended.config_id}/suspend")
    await croft.operator.delete(f"/api/tenants/{deleted.config_id}")

    async def ids(**params: str) -> set[str]:
        answer = await croft.operator.get("/api/tenants", params={"search": "by-state", **params})
        return {tenant["id"] for tenant in answer.json()["data"]}

    assert await ids() == {kept.config_id, suspended.config_id}
    assert await ids(state="active") == {kept.config_id}
    assert await ids(state="suspended") == {suspended.config_id}
    assert await ids(state="deleted") == {deleted.config_id}
    assert await ids(state="all") == {kept.config_id, suspended.config_id, deleted.config_id}
