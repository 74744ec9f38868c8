"""What the history of a record tells, over HTTP."""

from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.conftest import Croft, TenantHandle
from tests.server.conflicts.devices import told
from tests.server.conflicts.test_api import Device, disputed
from tests.server.entities.records import Json, event, fetch, person, push

Written = dict[str, list[Json]]


@pytest_asyncio.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


async def history(tenant: TenantHandle, guid: str, **query: Any) -> Json:
    told: Json = await fetch(tenant, f"/api/entities/{guid}/history", **query)
    return told


async def test_each_value_says_who_wrote_it_when_and_whether_it_stood(tenant: TenantHandle) -> None:
    case = await disputed(tenant)
    answer = await case.choose({"value": 3})
    events = await fetch(tenant, f"/api/entities/{case.guid}/events")
    fields: Written = (await history(tenant, case.guid))["fields"]
    first, second = events[1]["guid"], events[2]["guid"]
    assert told(fields["village"], "value", "stood", "unseen", "conflict") == [
        (1, False, [], case.id),
        (2, False, [first], case.id),
        (3, True, [], None),
    ]
    keys = ("event", "seq", "at", "receivedAt", "account", "deviceId", "userId", "outcome", "reason")
    pushed = [{**each, "event": each["guid"], "at": each["timestamp"]} for each in events]
    assert told(fields["village"], *keys) == told(pushed[1:], *keys)
    assert told(fields["village"], "deviceId", "event") == [
        ("first", first),
        ("second", second),
        ("server", answer.json()["settledWith"]),
    ]
    assert told(fields["name"], "value", "stood") == [("Ann", True)]


async def test_values_stand_in_the_order_in_which_they_count(tenant: TenantHandle) -> None:
    creation = person("Ann")
    guid = creation["entityGuid"]
    early = event("update-individual", guid, {"village": 1})
    late = event("update-individual", guid, {"village": 2})
    for each in (creation, late, early):
        await push(tenant, each)
    assert told((await history(tenant, guid))["fields"]["village"], "value", "stood") == [(1, False), (2, True)]


async def test_change_before_the_creation_counts_right_after_it(tenant: TenantHandle) -> None:
    guid = str(uuid4())
    early = event("update-individual", guid, {"name": "Annabel"})
    await push(tenant, early, person("Ann", guid=guid))
    assert (await fetch(tenant, f"/api/entities/{guid}"))["name"] == "Annabel"
    assert told((await history(tenant, guid))["fields"]["name"], "value", "stood") == [
        ("Ann", False),
        ("Annabel", True),
    ]


async def test_what_was_without_effect_is_told_with_its_reason(tenant: TenantHandle) -> None:
    creation = person("Ann")
    guid = creation["entityGuid"]
    deletion = event("delete-entity", guid, {"guid": guid})
    await push(tenant, creation, deletion, event("update-individual", guid, {"village": 1}))
    answer = await history(tenant, guid)
    assert told(answer["fields"]["village"], "value", "outcome", "reason", "stood") == [
        (1, "without-effect", "entity-deleted", False)
    ]
    assert told(answer["fields"]["name"], "value", "stood") == [("Ann", False)]
    assert told(answer["deletions"], "event", "outcome") == [(deletion["guid"], "applied")]
    revival = event("create-individual", guid, {"name": "Ann"})
    await push(tenant, revival)
    assert told((await history(tenant, guid))["fields"]["name"], "event", "stood") == [
        (creation["guid"], False),
        (revival["guid"], True),
    ]


async def test_memberships_are_told_by_the_group_and_by_the_member(tenant: TenantHandle) -> None:
    ann, ben = str(uuid4()), str(uuid4())
    house = event("create-group", str(uuid4()), {"name": "House", "members": [{"guid": ann, "name": "Ann", "age": 3}]})
    guid = house["entityGuid"]
    await push(
        tenant,
        house,
        event("add-member", guid, {"members": [{"guid": ben, "name": "Ben"}]}),
        event("remove-member", guid, {"memberId": ann}),
        event("remove-member", guid, {"memberId": ann}),
    )
    of_house = (await history(tenant, guid))["memberships"]
    assert told(of_house, "group", "change", "members", "outcome") == [
        (guid, "added", [ann], "applied"),
        (guid, "added", [ben], "applied"),
        (guid, "removed", [ann], "applied"),
        (guid, "removed", [ann], "without-effect"),
    ]
    of_ben = await history(tenant, ben)
    assert told(of_ben["memberships"], "group", "change", "members") == [(guid, "added", [ben])]
    assert told(of_ben["fields"]["name"], "value", "stood") == [("Ben", True)]
    assert told((await history(tenant, ann))["fields"]["age"], "value", "event") == [(3, house["guid"])]


async def test_numbers_beyond_exact_integers_are_told_as_they_were_written(tenant: TenantHandle) -> None:
    creation = person("Ann", far=1e16, tiny=5e-324)
    await push(tenant, creation)
    fields = (await history(tenant, creation["entityGuid"]))["fields"]
    assert told(fields["far"], "value", "stood") == [(1e16, True)]
    assert told(fields["tiny"], "value", "stood") == [(5e-324, True)]


async def test_pages_make_up_the_whole(tenant: TenantHandle) -> None:
    device = Device(tenant, "first")
    creation = person("Ann", village=0)
    guid = creation["entityGuid"]
    base = await device.push(creation)
    for number in range(1, 6):
        await device.edit(guid, {"village" if number % 2 else "age": number}, base)
    whole = await history(tenant, guid)
    assert (whole["more"], whole["after"]) == (False, None)
    found: Written = {}
    after: Json = {}
    for _ in range(3):
        page = await history(tenant, guid, limit=2, **after)
        for name, writes in page["fields"].items():
            found[name] = found.get(name, []) + writes
        after = {"after": page["after"]}
    assert not page["more"]
    assert found == whole["fields"]


async def test_large_records_make_short_pages(tenant: TenantHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    creation = person("Ann", village=0)
    guid = creation["entityGuid"]
    await push(tenant, creation, *(event("update-individual", guid, {"village": number}) for number in range(1, 4)))
    monkeypatch.setattr("server.conflicts.history.MOST_WRITES", 2)
    first = await history(tenant, guid)
    assert told(first["fields"]["village"], "value", "stood") == [(0, False)]
    second = await history(tenant, guid, after=first["after"])
    assert told(second["fields"]["village"], "value", "stood") == [(1, False), (2, False)]
    third = await history(tenant, guid, after=second["after"])
    assert told(third["fields"]["village"], "value", "stood") == [(3, True)]
    assert not third["more"]


@pytest.mark.parametrize("guid", ["nobody", "%00", "a/b"])
async def test_history_of_nobody_is_unknown(tenant: TenantHandle, guid: str) -> None:
    answer = await tenant.api.get(f"/api/entities/{guid}/history", params={"configId": tenant.config_id})
    assert (answer.status_code, answer.json()["code"]) == (404, "entities.unknown")


async def test_cursor_of_another_list_is_refused(tenant: TenantHandle) -> None:
    creation = person("Ann")
    await push(tenant, creation)
    path = f"/api/entities/{creation['entityGuid']}/history"
    answer = await tenant.api.get(path, params={"configId": tenant.config_id, "after": "WzFd"})
    assert (answer.status_code, answer.json()["code"]) == (400, "paging.bad-cursor")
