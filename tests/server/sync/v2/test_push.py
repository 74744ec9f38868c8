"""Pushes of new clients over HTTP: fates, receipts, what is known, what is refused."""

import gzip
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import pytest_asyncio
import zstandard

from server.kit.strict_json import canonical_json
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import behind

PUSH = "/api/v2/sync/push"


def event(**changes: Any) -> dict[str, Any]:
    guid = str(uuid4())
    return {
        "guid": guid,
        "entityGuid": f"person {guid}",
        "type": "create-individual",
        "data": {"name": "Noy Phommachanh"},
        "timestamp": "2026-01-31T08:15:00.000Z",
        "userId": "7",
        **changes,
    }


@pytest_asyncio.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture
async def device(tenant: TenantHandle) -> httpx.AsyncClient:
    client = await tenant.caller("collector")
    client.headers.update({"X-Tenant-Id": tenant.config_id, "X-Device-Id": "phone of Noy"})
    return client


async def pushed(device: httpx.AsyncClient, *events: Any, epoch: str = "") -> dict[str, Any]:
    answer = await device.post(PUSH, json={"events": events}, params={"epoch": epoch})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_each_event_is_told_its_number_in_the_order_of_the_push(device: httpx.AsyncClient) -> None:
    events = [event(), event()]
    told = await pushed(device, *events)
    assert told["events"] == [
        {"guid": events[0]["guid"], "status": "accepted", "seq": 1},
        {"guid": events[1]["guid"], "status": "accepted", "seq": 2},
    ]


async def test_repeated_push_is_known_with_the_numbers_of_the_first(device: httpx.AsyncClient) -> None:
    events = [event(), event()]
    first = await pushed(device, *events)
    again = await pushed(device, *reversed(events), epoch=first["epoch"])
    assert again["receipt"] is None
    assert [(fate["status"], fate["seq"]) for fate in again["events"]] == [("known", 2), ("known", 1)]


async def test_guid_with_other_content_is_quarantined_and_the_first_one_stands(
    tenant: TenantHandle, device: httpx.AsyncClient
) -> None:
    first = event()
    await pushed(device, first)
    told = await pushed(device, {**first, "data": {"name": "Somebody else"}})
    assert told["events"] == [
        {
            "guid": first["guid"],
            "status": "quarantined",
            "code": "event.guid-reused",
            "path": "guid",
            "detail": "another event with other content has this guid",
        }
    ]
    entity = await tenant.api.get(f"/api/entities/{first['entityGuid']}", params={"configId": tenant.config_id})
    assert entity.json()["name"] == "Noy Phommachanh"


async def test_bad_event_is_refused_with_the_path_of_its_bad_place_and_the_others_are_taken(
    device: httpx.AsyncClient,
) -> None:
    bad = event(type="add-member", data={"members": [{"name": "nobody"}]})
    told = await pushed(device, bad, event(), event(baseVersion="three"))
    assert [(fate["status"], fate.get("path")) for fate in told["events"]] == [
        ("quarantined", "data.members[0].guid"),
        ("accepted", None),
        ("quarantined", "baseVersion"),
    ]


async def test_event_that_changes_nothing_says_why(device: httpx.AsyncClient) -> None:
    made, gone = event(), event(type="delete-entity", timestamp="2026-01-31T09:00:00.000Z", data={"reason": "left"})
    gone["entityGuid"] = made["entityGuid"]
    late = event(type="update-individual", entityGuid=made["entityGuid"], timestamp="2026-01-31T10:00:00.000Z")
    told = await pushed(device, made, gone, late)
    assert [(fate["status"], fate.get("code")) for fate in told["events"]] == [
        ("accepted", None),
        ("accepted", None),
        ("without-effect", "event.entity-deleted"),
    ]


async def test_receipt_is_the_hash_of_the_one_before_and_of_what_was_pushed(device: httpx.AsyncClient) -> None:
    one = (await pushed(device, event()))["receipt"]
    events = [event(baseVersion=1), event(data={"weight": 3.50, "name": "Zoë"})]
    two = (await pushed(device, *events))["receipt"]
    assert (two["first"], two["last"], two["previous"]) == (2, 3, one["hash"])
    keys = ("guid", "entityGuid", "type", "data", "timestamp", "userId")
    digests = [sha256(canonical_json({key: each[key] for key in keys})).digest() for each in events]
    link = sha256(bytes.fromhex(one["hash"]) + (2).to_bytes(8, "big") + b"".join(digests))
    assert two["hash"] == link.hexdigest()


async def test_receipt_can_be_asked_for_by_the_number_of_any_event_of_its_push(device: httpx.AsyncClient) -> None:
    receipts = [(await pushed(device, event(), event(), event()))["receipt"] for _ in range(3)]
    for seq in range(1, 10):
        answer = await device.get(f"/api/v2/sync/receipts/{seq}")
        assert answer.json() == receipts[(seq - 1) // 3]


@pytest.mark.parametrize("seq", ["0", "2", "9" * 15, "9" * 30, "-1", "one", "1.0", "٣"])
async def test_number_that_no_event_has_has_no_receipt(device: httpx.AsyncClient, seq: str) -> None:
    await pushed(device, event())
    answer = await device.get(f"/api/v2/sync/receipts/{seq}")
    assert (answer.status_code, answer.json()["code"]) == (404, "sync.unknown-seq")


async def test_push_for_another_epoch_is_told_the_new_one_and_nothing_is_taken(device: httpx.AsyncClient) -> None:
    epoch = (await pushed(device, event()))["epoch"]
    new = event()
    answer = await device.post(PUSH, json={"events": [new]}, params={"epoch": "another"})
    assert (answer.status_code, answer.json()["code"]) == (410, "sync.epoch-changed")
    assert answer.json()["epoch"] == epoch
    told = await pushed(device, new, epoch=epoch)
    assert told["events"] == [{"guid": new["guid"], "status": "accepted", "seq": 2}]


async def test_push_without_a_device_is_refused(tenant: TenantHandle) -> None:
    client = await tenant.caller("collector")
    answer = await client.post(PUSH, json={"events": [event()]}, headers={"X-Tenant-Id": tenant.config_id})
    assert (answer.status_code, answer.json()["code"]) == (400, "sync.device-missing")


async def test_what_a_change_was_based_on_is_kept(tenant: TenantHandle, device: httpx.AsyncClient) -> None:
    await pushed(device, event(baseVersion=17), event())
    async with behind(tenant) as db:
        rows = await db.fetch("SELECT base_seq FROM events ORDER BY seq")
    assert [row["base_seq"] for row in rows] == [17, None]


async def test_change_that_says_no_base_is_based_on_what_the_device_was_last_served(
    tenant: TenantHandle, device: httpx.AsyncClient
) -> None:
    await pushed(device, event(), event())
    await device.get("/api/v2/sync/pull")
    await pushed(device, event())
    async with behind(tenant) as db:
        rows = await db.fetch("SELECT base_seq FROM events ORDER BY seq")
    assert [row["base_seq"] for row in rows] == [None, None, 2]


async def test_events_come_as_lines_too(device: httpx.AsyncClient) -> None:
    events = [event(), event()]
    lines = b"\n".join(orjson.dumps(each) for each in events)
    answer = await device.post(PUSH, content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert [fate["status"] for fate in answer.json()["events"]] == ["accepted", "accepted"]


@pytest.mark.parametrize(("coding", "packed"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_packed_body_is_taken(device: httpx.AsyncClient, coding: str, packed: Any) -> None:
    body = packed(orjson.dumps({"events": [event() for _ in range(50)]}))
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await device.post(PUSH, content=body, headers=headers)
    assert answer.json()["receipt"]["last"] == 50


async def test_ten_thousand_events_are_taken_and_one_more_is_not(device: httpx.AsyncClient) -> None:
    events = [event() for _ in range(10_000)]
    assert (await pushed(device, *events))["receipt"]["last"] == 10_000
    answer = await device.post(PUSH, json={"events": [*events, event()]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "events"


async def test_empty_push_is_harmless(device: httpx.AsyncClient) -> None:
    told = await pushed(device)
    assert (told["receipt"], told["events"]) == (None, [])
