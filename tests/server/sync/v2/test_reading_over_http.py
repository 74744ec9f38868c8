"""Pull and snapshot as a device asks for them."""

from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import pytest_asyncio

from tests.conftest import Croft, TenantHandle

PULL = "/api/v2/sync/pull"
SNAPSHOT = "/api/v2/sync/snapshot"
LINES = {"Accept": "application/x-ndjson"}

Json = dict[str, Any]


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture(loop_scope="session")
async def device(tenant: TenantHandle) -> httpx.AsyncClient:
    """A collector's device."""
    client = await tenant.caller()
    client.headers.update({"X-Tenant-Id": tenant.config_id, "X-Device-Id": "tablet-1"})
    return client


def registration(number: int, form: str = "individual") -> Json:
    return {
        "guid": str(uuid4()),
        "entityGuid": f"person-{number}",
        "type": "create-individual",
        "data": {"name": f"Ñandú {number}", "entityName": form},
        "timestamp": f"2026-01-31T08:15:{number:02}.000Z",
        "userId": "7",
    }


async def push(client: httpx.AsyncClient, *events: Json, device: str = "tablet-1") -> None:
    answer = await client.post("/api/v2/sync/push", json={"events": events}, headers={"X-Device-Id": device})
    assert answer.status_code == 200, answer.text


def lines_of(answer: httpx.Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.content.splitlines()]


async def test_pages_lead_through_the_log(device: httpx.AsyncClient) -> None:
    pushed = [registration(number) for number in range(5)]
    await push(device, *pushed)
    first = (await device.get(PULL, params={"limit": 3})).json()
    assert [each["guid"] for each in first["events"]] == [each["guid"] for each in pushed[:3]]
    assert first["more"]
    assert "entities" not in first
    rest = (await device.get(PULL, params={"cursor": first["cursor"], "include": "events,entities"})).json()
    assert [each["seq"] for each in rest["events"]] == [4, 5]
    assert {each["guid"]: each["version"] for each in rest["entities"]} == {"person-3": 4, "person-4": 5}
    assert not rest["more"]
    assert rest["cursor"] == f"{rest['epoch']}.5"
    event = rest["events"][0]
    assert {key: event[key] for key in pushed[3]} == pushed[3]
    assert event["deviceId"] == "tablet-1"


async def test_answer_is_304_while_nothing_is_new(device: httpx.AsyncClient) -> None:
    await push(device, registration(1))
    first = await device.get(PULL)
    tag = first.headers["etag"]
    again = await device.get(PULL, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    streamed = await device.get(PULL, headers={**LINES, "If-None-Match": f'"other", {tag}'})
    assert streamed.status_code == 304
    await push(device, registration(2))
    changed = await device.get(PULL, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert len(changed.json()["events"]) == 2


async def test_who_accepts_ndjson_gets_a_stream(device: httpx.AsyncClient) -> None:
    await push(device, *(registration(number) for number in range(5)))
    lines = lines_of(await device.get(PULL, params={"include": "events,entities"}, headers=LINES))
    assert [line["event"]["seq"] for line in lines if "event" in line] == [1, 2, 3, 4, 5]
    assert len([line for line in lines if "entity" in line]) == 5
    assert lines[-1]["more"] is False
    some = lines_of(await device.get(PULL, params={"limit": 2}, headers=LINES))
    assert [next(iter(line)) for line in some] == ["event", "event", "cursor"]
    assert some[-1]["more"] is True
    refused = await device.get(PULL, headers={"Accept": "application/x-ndjson;q=0, application/json"})
    assert refused.headers["content-type"] == "application/json"


async def test_filters_leave_out_what_is_not_asked_for(device: httpx.AsyncClient) -> None:
    await push(device, registration(1), registration(2, form="household"))
    await push(device, registration(3), device="tablet-2")

    async def guids(**filters: str) -> list[str]:
        return [each["entityGuid"] for each in (await device.get(PULL, params=filters)).json()["events"]]

    assert await guids(form="household") == ["person-2"]
    assert await guids(entity="person-1") == ["person-1"]
    assert await guids(others="true") == ["person-3"]
    assert await guids(others="true", form="household") == []


async def test_snapshot_holds_every_live_entity(device: httpx.AsyncClient) -> None:
    await push(device, *(registration(number, form="household" if number else "") for number in range(3)))
    gone = {**registration(0), "type": "delete-entity", "timestamp": "2026-01-31T08:16:00.000Z"}
    await push(device, gone)
    first, *entities, last = lines_of(await device.get(SNAPSHOT))
    assert first["snapshot"]["total"] == 2
    assert [each["entity"]["guid"] for each in entities] == ["person-1", "person-2"]
    assert last == {"cursor": first["snapshot"]["cursor"], "done": True}
    assert len(lines_of(await device.get(SNAPSHOT, params={"form": "household"}))) == 4
    tail = (await device.get(PULL, params={"cursor": last["cursor"], "include": "entities"})).json()
    assert (tail["entities"], tail["more"]) == ([], False)


@pytest.mark.parametrize("path", [PULL, SNAPSHOT])
@pytest.mark.parametrize("named", ["", "session:1", "x" * 129])
async def test_device_has_to_say_which_it_is(device: httpx.AsyncClient, path: str, named: str) -> None:
    answer = await device.get(path, headers={"X-Device-Id": named})
    assert (answer.status_code, answer.json()["code"]) == (400, "sync.device-missing")


async def test_cursor_of_another_log_is_answered_with_the_epoch(
    croft: Croft, device: httpx.AsyncClient, tenant: TenantHandle
) -> None:
    await push(device, registration(1))
    known = (await device.get(PULL)).json()
    elsewhere = await croft.tenant()
    answer = await croft.operator.get(
        PULL, params={"cursor": known["cursor"]}, headers={"X-Tenant-Id": elsewhere.config_id, "X-Device-Id": "t"}
    )
    assert (answer.status_code, answer.json()["code"]) == (410, "sync.epoch-changed")
    assert answer.json()["epoch"] not in ("", known["epoch"])
    beyond = await device.get(PULL, params={"cursor": f"{known['epoch']}.2"})
    assert (beyond.status_code, beyond.json()["epoch"]) == (410, known["epoch"])
    streamed = await device.get(PULL, params={"cursor": f"{known['epoch']}.2"}, headers={**LINES, "If-None-Match": "x"})
    assert streamed.status_code == 410


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (PULL, {"cursor": "one"}, "sync.bad-cursor"),
        (PULL, {"cursor": "one.9999999999999999999"}, "sync.bad-cursor"),
        (PULL, {"include": "everything"}, "query.invalid"),
        (PULL, {"limit": "many"}, "query.invalid"),
        (PULL, {"form": "a\0b"}, "query.invalid"),
        (SNAPSHOT, {"resume": "xyz"}, "sync.bad-cursor"),
    ],
)
async def test_what_is_no_pull_is_refused(device: httpx.AsyncClient, path: str, query: Json, code: str) -> None:
    answer = await device.get(path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
