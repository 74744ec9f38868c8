"""Pairs found at push and settled, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from server.duplicates.finding import rescan
from server.duplicates.queries import MOST_HOLDERS
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import Json, behind, event, fetch, person, push

TWIN: Json = {"name": "Fatuma Hassan", "dateOfBirth": "1990-03-17"}
PAIRS = "/api/potential-duplicates"


@pytest_asyncio.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


async def pairs(tenant: TenantHandle, **query: Any) -> list[tuple[str, str]]:
    return [(each["entityGuid"], each["duplicateGuid"]) for each in await fetch(tenant, PAIRS, **query)]


async def twins(tenant: TenantHandle, **fields: Any) -> tuple[str, str]:
    """Two records of one person: the guid of the earlier one and of the later one."""
    first, second = person(**{**TWIN, **fields}), person(**{**TWIN, **fields})
    await push(tenant, first)
    await push(tenant, second)
    return first["entityGuid"], second["entityGuid"]


async def resolve(tenant: TenantHandle, new: Any, existing: Any, *, delete: bool) -> Json:
    answer = await tenant.api.post(
        f"{PAIRS}/resolve",
        json={
            "newItem": new,
            "existingItem": existing,
            "shouldDeleteNewItem": delete,
            "configId": tenant.config_id,
        },
    )
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


async def events_of(tenant: TenantHandle, guid: str) -> list[Json]:
    told: list[Json] = await fetch(tenant, f"/api/entities/{guid}/events")
    return told


async def states(tenant: TenantHandle) -> dict[frozenset[str], str]:
    """Every pair there ever was, whichever way round, with its state."""
    async with behind(tenant) as db:
        rows = await db.fetch("SELECT entity_guid, duplicate_guid, state FROM duplicates")
    return {frozenset((row["entity_guid"], row["duplicate_guid"])): row["state"] for row in rows}


# Found


async def test_second_record_of_a_person_is_paired_with_the_first(tenant: TenantHandle) -> None:
    first, second = await twins(tenant)
    assert await pairs(tenant) == [(second, first)]


async def test_later_edit_of_the_first_record_does_not_make_it_the_later_one(tenant: TenantHandle) -> None:
    first, second = await twins(tenant, dateOfBirth="")
    await push(tenant, event("update-individual", second, {"dateOfBirth": "1990-03-17"}))
    await push(tenant, event("update-individual", first, {"dateOfBirth": "1990-03-17"}))
    assert await pairs(tenant) == [(second, first)]


async def test_twins_in_one_push_are_found(tenant: TenantHandle) -> None:
    one, two, other = person(**TWIN), person(**TWIN), person("Amina Wanjiru", dateOfBirth="1990-03-17")
    await push(tenant, one, two, other)
    assert await pairs(tenant) == [(two["entityGuid"], one["entityGuid"])]


async def test_members_of_groups_are_found_in_each_other(tenant: TenantHandle) -> None:
    groups = [
        event("create-group", str(uuid4()), {"name": f"Home {number}", "members": [{"guid": str(uuid4()), **TWIN}]})
        for number in range(2)
    ]
    await push(tenant, *groups)
    first, second = (group["data"]["members"][0]["guid"] for group in groups)
    assert await pairs(tenant) == [(second, first)]


async def test_detail_tells_rule_time_and_names(tenant: TenantHandle) -> None:
    first, second = await twins(tenant, phone="+254700123456")
    [told] = await fetch(tenant, PAIRS, detail=True)
    found_at = datetime.fromisoformat(told.pop("foundAt"))
    assert abs(datetime.now(UTC) - found_at) < timedelta(minutes=1)
    assert told == {
        "entityGuid": second,
        "duplicateGuid": first,
        "rule": "name + dateOfBirth; phone",
        "name": "Fatuma Hassan",
        "duplicateName": "Fatuma Hassan",
    }


async def test_records_that_match_no_longer_are_no_pair_until_they_match_again(tenant: TenantHandle) -> None:
    first, second = await twins(tenant)
    assert await pairs(tenant) == [(second, first)]
    await push(tenant, event("update-individual", second, {"dateOfBirth": "1991-01-01"}))
    assert await pairs(tenant) == []
    assert await states(tenant) == {frozenset((first, second)): "gone"}
    await push(tenant, event("update-individual", second, {"dateOfBirth": "1990-03-17"}))
    assert await pairs(tenant) == [(second, first)]


@pytest.mark.parametrize("deleted", [0, 1])
async def test_pair_goes_with_either_of_its_records(tenant: TenantHandle, deleted: int) -> None:
    both = await twins(tenant)
    assert await pairs(tenant) == [both[::-1]]
    await push(tenant, event("delete-entity", both[deleted], {"name": "gone"}))
    assert await pairs(tenant) == []
    assert await states(tenant) == {frozenset(both): "gone"}


async def test_record_deleted_with_its_group_is_in_no_pair(tenant: TenantHandle) -> None:
    [first] = [person(**TWIN)]
    group = event("create-group", str(uuid4()), {"name": "Home", "members": [{"guid": str(uuid4()), **TWIN}]})
    await push(tenant, first, group)
    assert len(await pairs(tenant)) == 1
    await push(tenant, event("delete-entity", group["entityGuid"], {"name": "gone"}))
    assert await pairs(tenant) == []


async def test_deleted_record_is_not_found(tenant: TenantHandle) -> None:
    first = person(**TWIN)
    await push(tenant, first, event("delete-entity", first["entityGuid"], {"name": "gone"}))
    await push(tenant, person(**TWIN))
    assert await pairs(tenant) == []


async def test_event_that_arrives_late_finds_what_it_makes_alike(tenant: TenantHandle) -> None:
    early = datetime(2024, 1, 1, tzinfo=UTC)
    first, second = await twins(tenant, dateOfBirth="")
    await push(tenant, event("update-individual", second, {"dateOfBirth": "1990-03-17"}, at=early + timedelta(days=90)))
    await push(tenant, event("update-individual", first, {"dateOfBirth": "1990-03-17"}, at=early))
    assert await pairs(tenant) == [(second, first)]


async def test_three_records_of_one_person_are_three_pairs(tenant: TenantHandle) -> None:
    people = [person(**TWIN) for _ in range(3)]
    for each in people:
        await push(tenant, each)
    one, two, three = (each["entityGuid"] for each in people)
    assert set(await pairs(tenant)) == {(two, one), (three, one), (three, two)}


async def test_value_that_very_many_share_pairs_nobody(tenant: TenantHandle) -> None:
    await push(tenant, *(person(f"Person {number}", phone="0700111222") for number in range(MOST_HOLDERS + 1)))
    assert await pairs(tenant) == []


async def test_pushing_the_same_again_opens_nothing_anew(tenant: TenantHandle) -> None:
    one, two = person(**TWIN), person(**TWIN)
    await push(tenant, one, two)
    await push(tenant, one, two)
    assert len(await pairs(tenant)) == 1


async def test_twins_pushed_at_the_same_moment_are_found(tenant: TenantHandle) -> None:
    callers = [await tenant.caller() for _ in range(4)]
    for turn in range(4):
        fields: Json = {"name": f"Person {turn}", "dateOfBirth": "1990-03-17"}
        await asyncio.gather(*(push(tenant, person(**fields), caller=caller) for caller in callers))
    assert len(await pairs(tenant)) == 4 * (4 * 3 // 2)


async def test_pair_is_seen_by_no_other_tenant(croft: Croft, tenant: TenantHandle) -> None:
    neighbour = await croft.tenant()
    await push(neighbour, person(**TWIN))
    await push(tenant, person(**TWIN))
    assert await pairs(tenant) == await pairs(neighbour) == []
    first, second = await twins(tenant, phone="0700333444")
    assert (second, first) in await pairs(tenant)
    assert await pairs(neighbour) == []


async def test_configured_rules_take_the_place_of_the_default_ones(croft: Croft) -> None:
    rules = [{"form": "individual", "fields": ["village", "plot"]}]
    tenant = await croft.tenant({"duplicates": {"rules": rules}})
    await twins(tenant)
    assert await pairs(tenant) == []
    first, second = await twins(tenant, village="San José", plot=12, entityName="individual")
    assert await pairs(tenant) == [(second, first)]


async def test_rescan_applies_changed_rules_to_what_is_there(croft: Croft, tenant: TenantHandle) -> None:
    by_birth = frozenset(await twins(tenant))
    by_village = frozenset(await twins(tenant, dateOfBirth="", village="Puno"))
    async with behind(tenant) as db:
        await db.execute(
            "INSERT INTO settings VALUES ('duplicates', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            '{"rules": [{"form": "individual", "fields": ["village", "name"]}]}',
        )
        at = datetime(2025, 1, 1, tzinfo=UTC)
        await rescan(db, at)
        rows = await db.fetch("SELECT entity_guid, duplicate_guid, found_at FROM duplicates WHERE state = 'open'")
        assert {frozenset((row["entity_guid"], row["duplicate_guid"])) for row in rows} == {by_village}
        assert rows[0]["found_at"] == at
        await db.execute("DELETE FROM settings")
        await rescan(db, at)
        rows = await db.fetch("SELECT entity_guid, duplicate_guid FROM duplicates WHERE state = 'open'")
        assert {frozenset((row["entity_guid"], row["duplicate_guid"])) for row in rows} == {by_birth}


# Settled


@pytest.mark.parametrize("is_later_one_new", [True, False])
@pytest.mark.parametrize("is_object", [True, False])
async def test_resolving_with_deletion_deletes_the_new_item(
    tenant: TenantHandle, is_later_one_new: bool, is_object: bool
) -> None:
    first, second = await twins(tenant)
    new, existing = (second, first) if is_later_one_new else (first, second)
    items: tuple[Any, Any] = ({"guid": new, "name": "x"}, {"guid": existing}) if is_object else (new, existing)
    assert await resolve(tenant, *items, delete=True) == {"status": "success"}
    assert await pairs(tenant) == []
    assert await states(tenant) == {frozenset((first, second)): "deleted"}
    assert [each["guid"] for each in await fetch(tenant, "/api/entities")] == [existing]


async def test_both_kept_are_never_a_pair_again(tenant: TenantHandle) -> None:
    first, second = await twins(tenant)
    await resolve(tenant, second, first, delete=False)
    assert await pairs(tenant) == []
    for guid in (first, second):
        await push(tenant, event("update-individual", guid, {"nationalId": "A1234567"}))
    assert await pairs(tenant) == []
    assert await states(tenant) == {frozenset((first, second)): "kept"}
    assert (await fetch(tenant, "/api/entities/count")) == {"count": 2}


async def test_resolution_is_an_event_of_the_account_that_made_it(tenant: TenantHandle) -> None:
    first, second = await twins(tenant)
    await resolve(tenant, second, first, delete=True)
    last = (await events_of(tenant, second))[-1]
    me = (await tenant.api.get("/api/users/me")).json()
    assert (last["type"], last["entityGuid"], last["syncLevel"]) == ("resolve-duplicate", second, 1)
    assert last["data"] == {"duplicates": [{"entityGuid": second, "duplicateGuid": first}], "shouldDelete": True}
    assert last["account"] == last["userId"] == str(me["id"])
    assert last["guid"] in {each["guid"] for each in await events_of(tenant, first)}


@pytest.mark.parametrize("delete", [True, False])
async def test_resolving_twice_is_harmless(tenant: TenantHandle, delete: bool) -> None:
    first, second = await twins(tenant)
    for _ in range(2):
        await resolve(tenant, second, first, delete=delete)
    assert await states(tenant) == {frozenset((first, second)): "deleted" if delete else "kept"}


async def test_pair_settled_as_kept_can_still_be_settled_by_deletion(tenant: TenantHandle) -> None:
    first, second = await twins(tenant)
    await resolve(tenant, second, first, delete=False)
    await resolve(tenant, second, first, delete=True)
    assert await states(tenant) == {frozenset((first, second)): "deleted"}


@pytest.mark.parametrize("is_turned_round", [True, False])
@pytest.mark.parametrize("delete", [True, False])
async def test_device_settles_a_pair_whichever_way_round_it_recorded_it(
    tenant: TenantHandle, is_turned_round: bool, delete: bool
) -> None:
    first, second = await twins(tenant)
    one, other = (first, second) if is_turned_round else (second, first)
    data = {"duplicates": [{"entityGuid": one, "duplicateGuid": other}], "shouldDelete": delete}
    await push(tenant, event("resolve-duplicate", one, data))
    assert await pairs(tenant) == []
    assert await states(tenant) == {frozenset((first, second)): "deleted" if delete else "kept"}


async def test_pair_settled_on_a_device_before_it_was_found_here_is_not_opened(tenant: TenantHandle) -> None:
    first, second = await twins(tenant, dateOfBirth="")
    data = {"duplicates": [{"entityGuid": second, "duplicateGuid": first}], "shouldDelete": False}
    await push(tenant, event("resolve-duplicate", second, data))
    for guid in (first, second):
        await push(tenant, event("update-individual", guid, {"dateOfBirth": "1990-03-17"}))
    assert await pairs(tenant) == []


async def test_one_event_settles_many_pairs_and_none_with_itself(tenant: TenantHandle) -> None:
    first, second = await twins(tenant)
    third = person(**TWIN)
    await push(tenant, third)
    named = [(third["entityGuid"], first), (third["entityGuid"], second), (first, third["entityGuid"]), (first, first)]
    data = {"duplicates": [{"entityGuid": a, "duplicateGuid": b} for a, b in named], "shouldDelete": True}
    await push(tenant, event("resolve-duplicate", third["entityGuid"], data))
    assert await pairs(tenant) == [(second, first)]


async def test_resolution_reaches_an_old_device_whichever_way_round_it_recorded_the_pair(tenant: TenantHandle) -> None:
    anna, ben = await tenant.device(), await tenant.device()
    annas, bens = anna.create_individual(dict(TWIN)), ben.create_individual(dict(TWIN))
    for device in (anna, ben, anna):
        await device.sync()
    [(later, earlier)] = await pairs(tenant)
    assert {later, earlier} == {annas, bens}
    await resolve(tenant, later, earlier, delete=True)
    for device in (anna, ben):
        await device.sync()
        assert device.open_pairs == []
        assert set(device.entities()) == {earlier}


# Refused


async def test_pair_of_entities_that_nobody_knows_cannot_be_resolved(tenant: TenantHandle) -> None:
    body = {"newItem": str(uuid4()), "existingItem": str(uuid4()), "configId": tenant.config_id}
    answer = await tenant.api.post(f"{PAIRS}/resolve", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "duplicates.unknown")


async def test_entity_that_nobody_knows_cannot_be_deleted(tenant: TenantHandle) -> None:
    first, _ = await twins(tenant)
    body = {"newItem": str(uuid4()), "existingItem": first, "shouldDeleteNewItem": True, "configId": tenant.config_id}
    answer = await tenant.api.post(f"{PAIRS}/resolve", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "duplicates.unknown")


async def test_entity_is_no_duplicate_of_itself(tenant: TenantHandle) -> None:
    first, _ = await twins(tenant)
    answer = await tenant.api.post(
        f"{PAIRS}/resolve", json={"newItem": first, "existingItem": {"guid": first}, "configId": tenant.config_id}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "duplicates.same")


@pytest.mark.parametrize("item", ["", None, 7, [], {}, {"guid": ""}, "a\u0000b", "x" * 257])
async def test_item_without_a_guid_is_refused(tenant: TenantHandle, item: Any) -> None:
    body = {"newItem": item, "existingItem": "b", "configId": tenant.config_id}
    answer = await tenant.api.post(f"{PAIRS}/resolve", json=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"]


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("collector", 403), ("reviewer", 200), ("admin", 200)])
async def test_reviewers_and_admins_settle_and_everybody_sees(tenant: TenantHandle, role: str, status: int) -> None:
    first, second = await twins(tenant)
    caller = await tenant.caller(role)
    assert len(await fetch(tenant, PAIRS, caller=caller)) == 1
    body = {"newItem": second, "existingItem": first, "shouldDeleteNewItem": False, "configId": tenant.config_id}
    assert (await caller.post(f"{PAIRS}/resolve", json=body)).status_code == status


# Listed


async def test_pairs_come_newest_first_page_by_page(tenant: TenantHandle) -> None:
    found = [await twins(tenant, name=f"Person {number}") for number in range(5)]
    expected = [(second, first) for first, second in reversed(found)]
    assert await pairs(tenant) == expected
    assert await pairs(tenant, order="asc") == expected[::-1]
    assert await pairs(tenant, limit=2, page=3) == expected[4:]
    url, seen = f"{PAIRS}?configId={tenant.config_id}&pageSize=2&detail=true", []
    async for page in pages(tenant, url):
        seen += [(each["entityGuid"], each["duplicateGuid"]) for each in page]
        assert all(each["rule"] == "name + dateOfBirth" for each in page)
    assert seen == expected


async def pages(tenant: TenantHandle, url: str | None) -> AsyncIterator[list[Json]]:
    while url:
        answer = await tenant.api.get(url)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Total-Count"] == "5"
        yield answer.json()
        url = answer.links.get("next", {}).get("url")


# Blocking


async def test_open_pair_stops_pull_only_where_the_config_asks_for_it(croft: Croft) -> None:
    open_, closed = await croft.tenant(), await croft.tenant({"duplicates": {"blockSync": True}})
    for tenant in (open_, closed):
        assert "error" not in await fetch(tenant, "/api/sync/pull")
        await twins(tenant)
    assert len((await fetch(open_, "/api/sync/pull"))["events"]) > 0
    blocked = await fetch(closed, "/api/sync/pull")
    assert blocked["error"].startswith("Duplicates exist!")
    assert (blocked["events"], blocked["nextCursor"]) == ([], None)
    [(second, first)] = await pairs(closed)
    await resolve(closed, second, first, delete=False)
    assert "error" not in await fetch(closed, "/api/sync/pull")
