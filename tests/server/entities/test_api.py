"""Entities over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from server.entities.paging import cursor
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import Json, event, fetch, person, push

PATH = "/api/entities"
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
NAMES = ["Amina Wanjiru", "Tomás Quispe", "José Ñandú", "山田太郎", "Leila Haddad", "Bo", "O'Brien", "amina Diallo"]


@pytest_asyncio.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowd(croft: Croft) -> TenantHandle:
    """Eight persons, one a minute from noon on and of two forms, and two groups an hour later."""
    tenant = await croft.tenant()
    people = [
        person(name, guid=f"p{number}", at=NOON + timedelta(minutes=number), entityName=("adult", "child")[number % 2])
        for number, name in enumerate(NAMES)
    ]
    groups = [
        event(
            "create-group",
            f"g{number}",
            {"name": f"Household {number}", "members": [{"guid": f"p{number}"}]},
            at=NOON + timedelta(hours=1, minutes=number),
        )
        for number in range(2)
    ]
    await push(tenant, *people, *groups)
    return tenant


async def ask(tenant: TenantHandle, **query: Any) -> httpx.Response:
    return await tenant.api.get(PATH, params={"configId": tenant.config_id, **query})


async def guids(tenant: TenantHandle, **query: Any) -> list[str]:
    return [each["guid"] for each in await fetch(tenant, PATH, **query)]


async def all_pages(tenant: TenantHandle, url: str) -> list[Json]:
    rows: list[Json] = []
    while url:
        answer = await tenant.api.get(url)
        assert answer.status_code == 200, answer.text
        rows += answer.json()
        url = answer.links.get("next", {}).get("url", "")
    return rows


# Lists


async def test_list_is_a_bare_array_of_what_the_contract_names(tenant: TenantHandle) -> None:
    made = person("Amina", at=NOON, entityName="adult", village="Nyeri", externalId="X-1")
    await push(tenant, made)
    guid = made["entityGuid"]
    assert await fetch(tenant, PATH) == [
        {
            "guid": guid,
            "id": guid,
            "name": "Amina",
            "entityName": "adult",
            "type": "individual",
            "data": made["data"],
            "version": 1,
            "lastUpdated": "2024-05-01T12:00:00.000Z",
            "externalId": "X-1",
        }
    ]


async def test_groups_tell_their_members(crowd: TenantHandle) -> None:
    groups = await fetch(crowd, PATH, type="group")
    assert [(each["guid"], each["memberIds"]) for each in groups] == [("g1", ["p1"]), ("g0", ["p0"])]


async def test_newest_come_first_unless_asked_otherwise(crowd: TenantHandle) -> None:
    newest_first = await guids(crowd)
    assert set(newest_first[:4]) == {"g0", "g1", "p0", "p1"}
    assert newest_first[4:] == ["p7", "p6", "p5", "p4", "p3", "p2"]
    assert await guids(crowd, order="asc") == newest_first[::-1]
    assert await guids(crowd, sort="lastUpdated", order="desc") == newest_first


async def test_names_come_from_a_to_z_unless_asked_otherwise(crowd: TenantHandle) -> None:
    by_name = await guids(crowd, sort="name")
    assert len(by_name) == 10
    assert by_name.index("p0") < by_name.index("p5") < by_name.index("g0") < by_name.index("p4") < by_name.index("p1")
    assert await guids(crowd, sort="name", order="desc") == by_name[::-1]


@pytest.mark.parametrize("sort", ["lastUpdated", "name"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 5, 10])
async def test_pages_by_link_and_by_number_hold_everything_once(
    crowd: TenantHandle, sort: str, order: str, limit: int
) -> None:
    whole = await guids(crowd, sort=sort, order=order)
    url = f"{PATH}?configId={crowd.config_id}&limit={limit}&sort={sort}&order={order}"
    assert [each["guid"] for each in await all_pages(crowd, url)] == whole
    numbered = [await guids(crowd, sort=sort, order=order, pageSize=limit, page=page) for page in range(1, 12)]
    assert [guid for page in numbered for guid in page] == whole


async def test_entities_of_one_moment_are_all_on_the_pages(tenant: TenantHandle) -> None:
    await push(tenant, *(person("Ana", at=NOON) for _ in range(25)))
    for sort in ("lastUpdated", "name"):
        rows = await all_pages(tenant, f"{PATH}?configId={tenant.config_id}&limit=4&sort={sort}")
        assert len({each["guid"] for each in rows}) == len(rows) == 25


async def test_page_keeps_the_filters_in_its_link(crowd: TenantHandle) -> None:
    url = f"{PATH}?configId={crowd.config_id}&limit=1&type=individual&form=adult&search=a&updatedSince=2024-05-01"
    assert {each["guid"] for each in await all_pages(crowd, url)} == {"p0", "p2", "p4"}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("amina", {"p0", "p7"}),
        ("AMINA W", {"p0"}),
        ("quis", {"p1"}),
        ("ÁS Q", {"p1"}),
        ("ñandú", {"p2"}),
        ("Ñ", {"p2"}),
        ("山", {"p3"}),
        ("田太", {"p3"}),
        ("bo", {"p5"}),
        ("o'b", {"p6"}),
        ("hous", {"g0", "g1"}),
        ("nima", set()),
        ("%", set()),
        ("_", set()),
        ("\\", set()),
        ("", {*(f"p{number}" for number in range(8)), "g0", "g1"}),
    ],
)
async def test_search_finds_a_part_of_the_name_in_any_case(crowd: TenantHandle, search: str, found: set[str]) -> None:
    assert set(await guids(crowd, search=search)) == found
    assert (await ask(crowd, search=search)).headers["X-Total-Count"] == str(len(found))


async def test_letters_of_a_part_have_to_stand_together(tenant: TenantHandle) -> None:
    await push(tenant, person("abcxbcd", guid="apart"), person("xabcdx", guid="together"))
    assert await guids(tenant, search="abcd") == ["together"]


async def test_search_goes_by_the_present_name(tenant: TenantHandle) -> None:
    await push(tenant, person("Leila", guid="leila"))
    await push(tenant, event("update-individual", "leila", {"name": "Layla"}))
    assert (await guids(tenant, search="leila"), await guids(tenant, search="layla")) == ([], ["leila"])


async def test_filters_narrow_the_list_together(crowd: TenantHandle) -> None:
    assert len(await guids(crowd, type="individual")) == 8
    assert set(await guids(crowd, form="child")) == {"p1", "p3", "p5", "p7"}
    assert set(await guids(crowd, form="child", search="amina")) == {"p7"}
    assert set(await guids(crowd, form="group")) == {"g0", "g1"}
    assert await guids(crowd, form="child", type="group") == []
    assert set(await guids(crowd, updatedSince="2024-05-01T13:00:00+00:00")) == {"p0", "p1", "g0", "g1"}
    assert await guids(crowd, updatedSince="2024-05-01T14:01:00") == []


async def test_total_of_everything_and_of_a_form_is_exact(crowd: TenantHandle) -> None:
    for query, total in (({}, 10), ({"form": "adult"}, 4), ({"form": "nothing"}, 0), ({"type": "group"}, 2)):
        answer = await ask(crowd, limit=1, **query)
        assert (answer.headers["X-Total-Count"], answer.headers["X-Total-Count-Relation"]) == (str(total), "eq")


async def test_limit_is_a_hundred_unless_given_and_a_thousand_at_most(tenant: TenantHandle) -> None:
    await push(tenant, *(person(f"Person {number}") for number in range(1001)))
    assert len(await guids(tenant)) == 100
    assert len(await guids(tenant, limit=2000)) == 1000
    assert len(await guids(tenant, limit=0)) == len(await guids(tenant, limit=-5)) == 1
    assert await guids(tenant, page=0, limit=3) == await guids(tenant, page=-1, limit=3) == await guids(tenant, limit=3)
    assert await guids(tenant, page=50) == []


@pytest.mark.parametrize(
    "query",
    [
        {"after": "nonsense"},
        {"after": cursor("name asc", "a", "b")},
        {"after": cursor("lastUpdated desc", "a", "b")},
        {"after": cursor("lastUpdated desc", 2**63, "b")},
        {"after": cursor("lastUpdated desc", 1, "b\0")},
        {"page": 10**30},
        {"page": 1002, "limit": 100},
        {"limit": "many"},
        {"type": "household"},
        {"sort": "age"},
        {"order": "up"},
        {"search": "a\0b"},
        {"form": "\0"},
        {"updatedSince": "yesterday"},
        {"search": "x" * 300},
    ],
)
async def test_query_that_cannot_be_answered_is_a_clear_error(tenant: TenantHandle, query: Json) -> None:
    answer = await ask(tenant, **query)
    assert answer.status_code == 400, answer.text
    assert [error["path"] for error in answer.json()["errors"]] == [next(iter(query))]


async def test_empty_parameters_count_as_absent(crowd: TenantHandle) -> None:
    empty = dict.fromkeys(["type", "form", "search", "order", "updatedSince", "after", "limit", "page"], "")
    assert await guids(crowd, **empty) == await guids(crowd)
    assert await guids(crowd, sort="", sortBy="name") == await guids(crowd, sort="name")


async def test_sort_and_order_have_other_names(crowd: TenantHandle) -> None:
    by_name = await guids(crowd, sort="name", order="desc")
    assert await guids(crowd, sortBy="name", sortOrder="desc") == by_name
    assert await guids(crowd, sort="name", sortBy="lastUpdated", sortOrder="desc") == by_name
    url = f"{PATH}?configId={crowd.config_id}&limit=3&sortBy=name&sortOrder=desc"
    assert [each["guid"] for each in await all_pages(crowd, url)] == by_name
    answer = await ask(crowd, sortBy="age")
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "sort")


# Counts


async def test_counts_follow_every_change(tenant: TenantHandle) -> None:
    async def counts() -> tuple[int, dict[str, int]]:
        return (await fetch(tenant, f"{PATH}/count"))["count"], await fetch(tenant, f"{PATH}/count-by-form")

    assert await counts() == (0, {})
    members = [{"guid": "m1", "name": "One", "entityName": "child"}, {"guid": "m2", "name": "Two"}]
    await push(tenant, event("create-group", "g", {"name": "Home", "members": members}), person("Ana", guid="ana"))
    assert await counts() == (4, {"group": 1, "child": 1, "individual": 2})
    await push(tenant, event("update-individual", "ana", {"entityName": "child"}))
    assert await counts() == (4, {"group": 1, "child": 2, "individual": 1})
    await push(tenant, event("delete-entity", "g", {"name": "Home"}))
    assert await counts() == (1, {"child": 1})


# One entity


@pytest.mark.parametrize(
    "guid", ["a/b", "/", "a?b=c", "100%", "a%2Fb", "a#b", "count/er", "events/", "a/../b", "über uns", "a\nb", "+ &"]
)
async def test_entity_is_found_by_any_guid(tenant: TenantHandle, guid: str) -> None:
    made = person("Ana", guid=guid)
    await push(tenant, made, event("update-individual", guid, {"name": "Anna"}))
    path = f"{PATH}/{quote(guid, safe='')}"
    assert (await fetch(tenant, path))["guid"] == guid
    told = await all_pages(tenant, f"{path}/events?configId={tenant.config_id}&limit=1")
    assert [each["data"]["name"] for each in told] == ["Ana", "Anna"]


async def test_counts_are_no_entities(tenant: TenantHandle) -> None:
    await push(tenant, person("Ana", guid="count"), person("Ben", guid="count-by-form"))
    assert await fetch(tenant, f"{PATH}/count") == {"count": 2}
    assert await fetch(tenant, f"{PATH}/count-by-form") == {"individual": 2}
    assert len(await fetch(tenant, f"{PATH}/count/events")) == 1


async def test_entity_tells_its_groups_members_and_state(tenant: TenantHandle) -> None:
    members = [{"guid": "m1", "name": "One"}]
    await push(tenant, event("create-group", "g", {"name": "Home", "members": members}, at=NOON))
    group, member = await fetch(tenant, f"{PATH}/g"), await fetch(tenant, f"{PATH}/m1")
    assert group == {
        "guid": "g",
        "id": "g",
        "name": "Home",
        "entityName": "",
        "type": "group",
        "data": {"name": "Home"},
        "memberIds": ["m1"],
        "parentIds": [],
        "externalId": None,
        "version": group["version"],
        "lastUpdated": "2024-05-01T12:00:00.000Z",
        "state": "live",
    }
    assert (member["memberIds"], member["parentIds"]) == ([], ["g"])


async def test_deleted_entity_is_shown_only_to_who_asks_for_it(tenant: TenantHandle) -> None:
    await push(tenant, person("Ana", guid="ana"), event("delete-entity", "ana", {"name": "gone"}))
    assert (await missing(tenant, "ana")) == "entities.unknown"
    assert (await fetch(tenant, f"{PATH}/ana", deleted=True))["state"] == "deleted"


async def test_entity_that_was_only_mentioned_is_unknown(tenant: TenantHandle) -> None:
    await push(tenant, event("remove-member", "g", {"memberId": "ana"}))
    for query in ({}, {"deleted": True}):
        assert (await missing(tenant, "g", **query)) == "entities.unknown"


@pytest.mark.parametrize("path", ["nobody", "nobody/events", "a%00b", "a%00b/events"])
async def test_unknown_entity_is_not_found(tenant: TenantHandle, path: str) -> None:
    assert (await missing(tenant, path)) == "entities.unknown"


async def missing(tenant: TenantHandle, path: str, **query: Any) -> str:
    answer = await tenant.api.get(f"{PATH}/{path}", params={"configId": tenant.config_id, **query})
    assert answer.status_code == 404, answer.text
    return str(answer.json()["code"])


@pytest.mark.parametrize("guid", ["O'Brien", "100%", "ключ", "🙂", "a b", "count?", "x" * 200])
async def test_entity_with_an_awkward_guid_is_found(tenant: TenantHandle, guid: str) -> None:
    await push(tenant, person("Ana", guid=guid))
    path = f"{PATH}/{quote(guid, safe='')}"
    assert (await fetch(tenant, path))["guid"] == guid
    assert len(await fetch(tenant, f"{path}/events")) == 1


async def test_data_comes_back_as_it_was_pushed(tenant: TenantHandle) -> None:
    data = {
        "name": "Ana",
        "n": 2**53,
        "f": 0.1,
        "text": '🙂 \u202e " \\',
        "list": [1, {"a": None}],
        "no": False,
        "": "x",
    }
    await push(tenant, event("create-individual", "ana", data))
    assert (await fetch(tenant, f"{PATH}/ana"))["data"] == data
    assert (await fetch(tenant, f"{PATH}/ana/events"))[0]["data"] == data


# Events


async def test_events_are_told_as_pushed_and_with_what_became_of_them(tenant: TenantHandle) -> None:
    made = person("Ana", guid="ana", at=NOON)
    caller = await tenant.caller()
    caller.headers["X-Device-Id"] = "tablet-7"
    me = (await caller.get("/api/users/me")).json()
    await push(tenant, made, caller=caller)
    [told] = await fetch(tenant, f"{PATH}/ana/events")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told.pop("receivedAt"))) < timedelta(minutes=1)
    assert told == {
        **made,
        "syncLevel": 1,
        "seq": 1,
        "account": str(me["id"]),
        "deviceId": "tablet-7",
        "outcome": "applied",
        "reason": "",
    }


async def test_events_come_in_the_order_of_the_fold_whenever_they_arrived(tenant: TenantHandle) -> None:
    data = {"name": "Ana"}
    kinds = ["create-individual", "update-individual", "delete-entity"]
    ordered = [event(kind, "ana", data, at=NOON, guid=f"{9 - rank}") for rank, kind in enumerate(kinds)]
    ordered.append(event("update-individual", "ana", data, at=NOON + timedelta(seconds=1), guid="0"))
    for each in reversed(ordered):
        await push(tenant, each)
    told = await fetch(tenant, f"{PATH}/ana/events")
    assert [each["guid"] for each in told] == [each["guid"] for each in ordered]
    assert [each["seq"] for each in told] == [4, 3, 2, 1]
    assert told[-1]["outcome"] == "without-effect"
    url = f"{PATH}/ana/events?configId={tenant.config_id}&limit=1"
    assert await all_pages(tenant, url) == told
    assert await fetch(tenant, f"{PATH}/ana/events", page=2, limit=3) == told[3:]


async def test_resolution_that_deletes_stands_after_changes_of_its_moment(tenant: TenantHandle) -> None:
    named = [{"entityGuid": "ana", "duplicateGuid": "other"}]
    last = event("resolve-duplicate", "ana", {"duplicates": named, "shouldDelete": True}, at=NOON, guid="0")
    kept = event("resolve-duplicate", "ana", {"duplicates": named, "shouldDelete": False}, at=NOON, guid="1")
    change = event("update-individual", "ana", {"name": "Ana"}, at=NOON, guid="2")
    await push(tenant, last, kept, change, person("Ana", guid="ana", at=NOON - timedelta(days=1)))
    told = [each["guid"] for each in await fetch(tenant, f"{PATH}/ana/events")]
    assert told[1:] == ["1", "2", "0"]


async def test_event_is_told_by_every_entity_it_speaks_of(tenant: TenantHandle) -> None:
    members = [{"guid": "m", "name": "One", "type": "group", "members": [{"guid": "below", "name": "Two"}]}]
    made = event("create-group", "g", {"name": "Home", "members": members})
    removed = event("remove-member", "g", {"memberId": "m"})
    await push(tenant, made, removed)
    assert [each["guid"] for each in await fetch(tenant, f"{PATH}/below/events")] == [made["guid"]]
    assert [each["guid"] for each in await fetch(tenant, f"{PATH}/m/events")] == [made["guid"], removed["guid"]]


async def test_what_counted_of_an_event_is_told_where_it_was_less(tenant: TenantHandle) -> None:
    device = await tenant.device()
    guid = device.create_individual({"name": "Ana", "village": "Puno"})
    for _ in range(2):
        await device.sync()
    device.update_individual(guid, {"name": "Ana", "village": "Nyeri"})
    await device.sync()
    made, changed = await fetch(tenant, f"{PATH}/{guid}/events")
    assert "applied" not in made
    assert (changed["data"]["name"], changed["applied"]) == ("Ana", {"village": "Nyeri"})


async def test_entity_waited_for_tells_the_events_that_wait(tenant: TenantHandle) -> None:
    await push(tenant, event("remove-member", "g", {"memberId": "ana"}))
    [told] = await fetch(tenant, f"{PATH}/g/events")
    assert told["outcome"] == "waiting"


@pytest.mark.parametrize(
    "after", ["x", cursor(1, 2, 3), cursor(1, 2, 3, 4), cursor(1, 2, 2**63, "a"), cursor(1, 2, 3, "\0")]
)
async def test_events_after_a_bad_cursor_are_a_clear_error(tenant: TenantHandle, after: str) -> None:
    answer = await tenant.api.get(f"{PATH}/ana/events", params={"configId": tenant.config_id, "after": after})
    assert (answer.status_code, answer.json()["code"]) == (400, "paging.bad-cursor")


# Who


async def test_every_member_reads_and_nobody_else_does(croft: Croft, tenant: TenantHandle) -> None:
    neighbour = await croft.tenant()
    guid = str(uuid4())
    await push(neighbour, person("Ana", guid=guid))
    stranger = await tenant.caller("admin")
    for path in ("", "/count", "/count-by-form", f"/{guid}", f"/{guid}/events"):
        for role in ("viewer", "collector", "reviewer", "admin"):
            await fetch(neighbour, PATH + path, caller=await neighbour.caller(role))
        refused = await stranger.get(PATH + path, params={"configId": neighbour.config_id})
        assert refused.status_code == 403
    for path in (f"/{guid}", f"/{guid}/events"):
        own = await stranger.get(PATH + path, params={"configId": tenant.config_id})
        assert own.status_code == 404
    assert await fetch(tenant, PATH) == []
