"""Conflicts over HTTP: who is told what, and what becomes of a choice."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.conftest import Croft, TenantHandle
from tests.old_client import OldClient
from tests.server.entities.records import Json, behind, event, fetch, person, push

CONFLICTS = "/api/conflicts"


@pytest_asyncio.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@dataclass
class Device:
    """A new client that says what it had seen."""

    tenant: TenantHandle
    name: str

    async def push(self, *events: Json) -> int:
        """Answers the number of the last event."""
        answer = await self.tenant.api.post(
            "/api/v2/sync/push",
            params={"configId": self.tenant.config_id},
            headers={"X-Device-Id": self.name},
            json={"events": list(events)},
        )
        assert answer.status_code == 200, answer.text
        seq: int = answer.json()["events"][-1]["seq"]
        return seq

    async def edit(self, guid: str, data: Json, base: int, type_: str = "update-individual") -> int:
        return await self.push({**event(type_, guid, data), "baseVersion": base})


@dataclass
class Disputed:
    """A record about whose village two devices differ: first 1, then 2. `id` is the conflict's."""

    tenant: TenantHandle
    guid: str
    base: int
    devices: list[Device]
    id: int

    async def choose(self, choice: Json, caller: httpx.AsyncClient | None = None) -> httpx.Response:
        path = f"{CONFLICTS}/{self.id}/choose"
        return await (caller or self.tenant.api).post(path, json={**choice, "configId": self.tenant.config_id})

    async def village(self) -> Any:
        return (await fetch(self.tenant, f"/api/entities/{self.guid}"))["data"]["village"]


async def disputed(tenant: TenantHandle, *, name: str = "Ann", **fields: Any) -> Disputed:
    devices = [Device(tenant, device) for device in ("first", "second", "third")]
    creation = person(name, **fields)
    guid = creation["entityGuid"]
    base = await devices[0].push(creation)
    for value, device in enumerate(devices[:2], 1):
        await device.edit(guid, {"village": value}, base)
    [found] = await fetch(tenant, CONFLICTS, entity=guid)
    return Disputed(tenant, guid, base, devices, found["id"])


# Listed


async def test_conflict_says_who_when_both_values_and_which_stands(tenant: TenantHandle) -> None:
    case = await disputed(tenant, entityName="individual")
    [told] = await fetch(tenant, CONFLICTS)
    events = await fetch(tenant, f"/api/entities/{case.guid}/events")
    sides = {
        side: {
            "value": value,
            "event": pushed["guid"],
            "at": pushed["timestamp"],
            "receivedAt": pushed["receivedAt"],
            "account": pushed["account"],
            "deviceId": device,
            "userId": "somebody",
        }
        for side, value, device, pushed in (("other", 1, "first", events[1]), ("standing", 2, "second", events[2]))
    }
    assert told.pop("foundAt") == events[2]["receivedAt"]
    assert told == {
        "id": case.id,
        "entityGuid": case.guid,
        "entityName": "Ann",
        "form": "individual",
        "field": "village",
        "state": "open",
        **sides,
        "current": 2,
        "settledAt": None,
        "settledBy": None,
        "settledWith": None,
    }


async def test_present_value_may_be_neither_of_the_two(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    await push(tenant, event("update-individual", case.guid, {"village": 3}))
    [told] = await fetch(tenant, CONFLICTS)
    assert (told["standing"]["value"], told["other"]["value"], told["current"]) == (2, 1, 3)


async def test_list_is_narrowed_by_entity_form_and_state(tenant: TenantHandle) -> None:
    ann = await disputed(tenant, entityName="individual")
    house = await disputed(tenant, name="House", entityName="household")
    assert (await ann.choose({"value": 5})).status_code == 200

    async def ids(**query: Any) -> list[int]:
        return [each["id"] for each in await fetch(tenant, CONFLICTS, **query)]

    assert await ids() == [house.id]
    assert await ids(state="chosen") == [ann.id]
    assert await ids(entity=house.guid) == await ids(form="household") == [house.id]
    assert await ids(entity=ann.guid) == await ids(form="individual") == await ids(state="gone") == []
    assert await ids(entity=ann.guid, state="chosen", form="individual") == [ann.id]


async def test_pages_lead_from_the_newest_to_the_oldest(tenant: TenantHandle) -> None:
    cases = [await disputed(tenant, name=f"Person {number} {uuid4()}") for number in range(3)]
    url, seen = f"{CONFLICTS}?limit=2&configId={tenant.config_id}", []
    for _ in range(2):
        answer = await tenant.api.get(url)
        assert (answer.headers["X-Total-Count"], answer.headers["X-Total-Count-Relation"]) == ("3", "eq")
        seen += [each["id"] for each in answer.json()]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == [case.id for case in reversed(cases)]
    assert url == ""


async def test_large_records_make_short_pages(tenant: TenantHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [await disputed(tenant, notes="".join(uuid4().hex for _ in range(12))) for _ in range(3)]
    monkeypatch.setattr("server.conflicts.api.MOST_BYTES", 1_200)
    first = await tenant.api.get(CONFLICTS, params={"configId": tenant.config_id})
    assert [each["id"] for each in first.json()] == [cases[2].id, cases[1].id]
    rest = await tenant.api.get(first.links["next"]["url"])
    assert [each["id"] for each in rest.json()] == [cases[0].id]


# Chosen


async def test_choosing_the_other_value_makes_it_stand_for_everybody(tenant: TenantHandle) -> None:
    phone = await tenant.device()
    case = await disputed(tenant)
    await phone.sync()
    assert phone.entities()[case.guid]["data"]["village"] == 2
    [told] = await fetch(tenant, CONFLICTS)
    admin = await tenant.caller("reviewer")
    answer = await case.choose({"event": told["other"]["event"]}, admin)
    assert answer.status_code == 200, answer.text
    me = str((await admin.get("/api/users/me")).json()["id"])
    chosen = answer.json()
    assert (chosen["state"], chosen["current"], chosen["settledBy"]) == ("chosen", 1, me)
    assert await case.village() == 1
    assert await fetch(tenant, CONFLICTS) == []
    await phone.sync()
    assert phone.entities()[case.guid]["data"]["village"] == 1
    events = await fetch(tenant, f"/api/entities/{case.guid}/events")
    assert (events[-1]["guid"], events[-1]["type"]) == (chosen["settledWith"], "update-individual")
    assert (events[-1]["data"], events[-1]["userId"], events[-1]["outcome"]) == ({"village": 1}, me, "applied")


@pytest.mark.parametrize("value", [None, 0, {"a": [1]}, "third"])
async def test_any_value_may_be_chosen(tenant: TenantHandle, value: Any) -> None:
    case = await disputed(tenant)
    assert (await case.choose({"value": value})).json()["current"] == value
    assert await case.village() == value


async def test_field_of_a_group_is_chosen_for_the_group(tenant: TenantHandle) -> None:
    device, other = Device(tenant, "first"), Device(tenant, "second")
    creation = event(
        "create-group", str(uuid4()), {"name": "House", "members": [{"guid": str(uuid4()), "name": "Ann"}]}
    )
    base = await device.push(creation)
    for value, each in enumerate((device, other)):
        await each.edit(creation["entityGuid"], {"roof": value}, base, "update-group")
    [told] = await fetch(tenant, CONFLICTS)
    case = Disputed(tenant, creation["entityGuid"], base, [], told["id"])
    assert (await case.choose({"event": told["other"]["event"]})).status_code == 200
    house = await fetch(tenant, f"/api/entities/{case.guid}")
    assert (house["data"]["roof"], len(house["memberIds"])) == (0, 1)


async def test_choosing_the_same_again_is_answered_the_same(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    first = await case.choose({"value": 1})
    assert (await case.choose({"value": 1.0})).json() == first.json()
    assert (await case.choose({"event": first.json()["other"]["event"]})).json() == first.json()
    again = await case.choose({"value": 2})
    assert (again.status_code, again.json()["code"]) == (409, "conflicts.settled")
    assert len(await fetch(tenant, f"/api/entities/{case.guid}/events")) == 4


async def test_what_later_work_has_settled_cannot_be_chosen(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    await case.devices[2].edit(case.guid, {"village": 3}, base=case.base + 2)
    assert (await case.choose({"value": 3})).json()["code"] == "conflicts.settled"
    assert [each["state"] for each in await fetch(tenant, CONFLICTS, state="superseded")] == ["superseded"]


async def test_choice_settles_every_conflict_about_the_field(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    await case.devices[2].edit(case.guid, {"village": 3, "age": 3}, base=case.base)
    await case.devices[1].edit(case.guid, {"age": 4}, base=case.base)
    assert [each["field"] for each in await fetch(tenant, CONFLICTS)] == ["age", "village", "village"]
    assert (await case.choose({"value": 1})).status_code == 200
    assert [each["field"] for each in await fetch(tenant, CONFLICTS)] == ["age"]
    assert await case.village() == 1


async def test_choice_stands_over_a_change_whose_clock_is_ahead(tenant: TenantHandle) -> None:
    phones = [await tenant.device(skew_minutes=4), await tenant.device(skew_minutes=3)]
    guid = phones[0].create_individual({"name": "Ann"})
    for phone in (*phones, phones[1]):
        await phone.sync()
    for value, phone in enumerate(phones):
        phone.whole_form_update(guid, village=value)
    for phone in phones:
        await phone.push_only()
    [told] = await fetch(tenant, CONFLICTS)
    case = Disputed(tenant, guid, 0, [], told["id"])
    assert (await case.choose({"event": told["other"]["event"]})).json()["current"] == told["other"]["value"]
    assert await case.village() == told["other"]["value"]


async def test_of_two_who_choose_at_once_one_is_told_that_it_is_settled(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    admins = [await tenant.caller("admin") for _ in range(2)] * 3
    answers = await asyncio.gather(*(case.choose({"value": index % 2}, admin) for index, admin in enumerate(admins)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [409] * 3
    assert len(await fetch(tenant, f"/api/entities/{case.guid}/events")) == 4


async def test_choosing_beside_pushes_neither_fails_nor_deadlocks(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    ways: list[Awaitable[Any]] = [case.choose({"value": 1})]
    ways += [device.edit(case.guid, {"village": 9}, base=case.base) for device in case.devices]
    answer, *_ = await asyncio.gather(*ways)
    # Who comes after the devices finds that they have written over it.
    assert answer.status_code == 200 or answer.json()["code"] == "conflicts.settled", answer.text


async def delete_by_a_device(case: Disputed) -> None:
    await push(case.tenant, event("delete-entity", case.guid, {"guid": case.guid}))


async def delete_as_a_duplicate(case: Disputed) -> None:
    twin = person("Ann")
    await push(case.tenant, twin)
    body = {"newItem": case.guid, "existingItem": twin["entityGuid"], "shouldDeleteNewItem": True}
    path = "/api/potential-duplicates/resolve"
    answer = await case.tenant.api.post(path, json={**body, "configId": case.tenant.config_id})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("delete", [delete_by_a_device, delete_as_a_duplicate])
async def test_conflict_of_a_deleted_record_is_gone(
    tenant: TenantHandle, delete: Callable[[Disputed], Awaitable[None]]
) -> None:
    case = await disputed(tenant)
    await delete(case)
    assert await fetch(tenant, CONFLICTS) == []
    assert [each["state"] for each in await fetch(tenant, CONFLICTS, state="gone")] == ["gone"]
    answer = await case.choose({"value": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflicts.entity-deleted")


@pytest.mark.parametrize("number", ["0", "nothing", "-1", "9" * 30, "%00", "²"])
async def test_unknown_conflict_is_answered_as_such(tenant: TenantHandle, number: str) -> None:
    path = f"{CONFLICTS}/{number}/choose"
    answer = await tenant.api.post(path, json={"value": 1, "configId": tenant.config_id})
    assert (answer.status_code, answer.json()["code"]) == (404, "conflicts.unknown")


async def test_event_of_neither_side_is_refused(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    answer = await case.choose({"event": "another"})
    assert (answer.status_code, answer.json()["code"]) == (422, "conflicts.not-its-event")
    for choice in ({}, {"event": "one", "value": 1}):
        assert (await case.choose(choice)).status_code == 422
    assert [each["id"] for each in await fetch(tenant, CONFLICTS)] == [case.id]


# Installed phones


async def two_phones(tenant: TenantHandle) -> tuple[OldClient, OldClient, str]:
    """Two phones that both have a record."""
    ben, cleo = await tenant.device(), await tenant.device()
    guid = ben.create_individual({"name": "Ann", "village": 0, "age": 30})
    for phone in (ben, cleo, ben):
        await phone.sync()
    return ben, cleo, guid


async def test_two_installed_phones_that_change_one_field_are_in_conflict(tenant: TenantHandle) -> None:
    ben, cleo, guid = await two_phones(tenant)
    ben.whole_form_update(guid, village=1)
    cleo.clock.follow(ben.clock)
    cleo.whole_form_update(guid, village=2)
    await cleo.sync()
    await ben.sync()
    [told] = await fetch(tenant, CONFLICTS)
    assert (told["field"], told["standing"]["value"], told["other"]["value"]) == ("village", 2, 1)
    assert (told["standing"]["userId"], told["other"]["userId"]) == (cleo.user_id, ben.user_id)


async def test_two_installed_phones_that_change_different_fields_are_in_no_conflict(tenant: TenantHandle) -> None:
    ben, cleo, guid = await two_phones(tenant)
    ben.whole_form_update(guid, village=1)
    cleo.whole_form_update(guid, age=31)
    await ben.sync()
    await cleo.sync()
    assert await fetch(tenant, CONFLICTS) == []


async def test_installed_phone_that_had_the_change_is_in_no_conflict_with_it(tenant: TenantHandle) -> None:
    ben, cleo, guid = await two_phones(tenant)
    ben.whole_form_update(guid, village=1)
    await ben.sync()
    await cleo.sync()
    cleo.whole_form_update(guid, village=2)
    await cleo.sync()
    assert await fetch(tenant, CONFLICTS) == []


# How it is stored


async def test_values_are_kept_in_the_log_alone(tenant: TenantHandle) -> None:
    """So that what has to be erased stands in one place."""
    case = await disputed(tenant, mark="mark")
    await case.devices[2].edit(case.guid, {"village": "a secret"}, base=case.base)
    async with behind(tenant) as db:
        rows = await db.fetch("SELECT c::text AS row FROM conflicts c")
    assert len(rows) == 2
    assert not [row for row in rows if "a secret" in row["row"]]
