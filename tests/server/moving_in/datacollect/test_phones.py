"""A phone that synced with the other server goes on with this one, and notices nothing."""

from typing import Any

import pytest
import pytest_asyncio

from server.db import Database
from tests.conftest import Croft
from tests.old_client import REMOTE, OldClient, SyncFailed
from tests.server.moving_in.datacollect.moving import inside, move
from tests.server.moving_in.datacollect.reference import ARTIFACT, PASSWORD, Reference

LAST_SYNC = "2024-02-01T12:00:00.000Z"


def history() -> list[dict[str, Any]]:
    """What the field had recorded: two families, somebody who moved, somebody who is gone."""
    told: list[tuple[str, str, dict[str, Any]]] = [
        ("create-group", "hills", {"name": "Hills", "members": [{"guid": "ann", "name": "Ann", "serial": 1}]}),
        ("create-group", "coast", {"name": "Coast", "serial": 2}),
        ("create-individual", "ben", {"name": "Ben", "serial": 3, "phone": "07 1", "village": "Old"}),
        ("add-member", "coast", {"members": [{"guid": "cleo", "name": "Cleo", "serial": 4}]}),
        ("update-individual", "ben", {"village": "Middle"}),
        ("update-individual", "ben", {"village": "New"}),
        ("create-individual", "gone", {"name": "Gone", "serial": 5}),
        ("delete-entity", "gone", {"guid": "gone"}),
    ]
    return [
        {
            "guid": f"h-{number}",
            "entityGuid": entity,
            "type": kind,
            "data": data,
            "timestamp": f"2024-01-01T08:00:{number:02d}.000Z",
            "userId": "7",
            "syncLevel": REMOTE,
        }
        for number, (kind, entity, data) in enumerate(told)
    ]


async def fill(reference: Reference) -> None:
    await reference.config("field", ARTIFACT)
    await reference.user("ann@field.test")
    for event in history():
        await reference.event(
            "field", event["guid"], event["entityGuid"], event["type"], event["data"], event["timestamp"], "7"
        )
    # Of the two updates that server kept the first.
    await reference.entity("field", "ben", {**history()[2]["data"], "village": "Middle"}, version=2)


@pytest_asyncio.fixture(loop_scope="session")
async def phone(reference: Reference, fresh_croft: Croft) -> OldClient:
    """Signed in on the other server once, with all of its events, its time of the last push and its position there."""
    await fill(reference)
    client = OldClient(fresh_croft.url, "field")
    fresh_croft.devices.append(client)
    for event in history():
        client.submit(event)
    client.events.last_push = LAST_SYNC
    client.events.next_since = history()[-1]["timestamp"]
    client.token = "a token of the other server"
    return client


async def move_to(croft: Croft, reference: Reference) -> None:
    async with Database(croft.addresses.serving, size=2) as database:
        await move(reference, database)


async def fresh_phone(croft: Croft) -> OldClient:
    client = OldClient(croft.url, "field")
    croft.devices.append(client)
    await client.login("ann@field.test", PASSWORD)
    for _ in range(2):
        await client.sync()
    return client


def shown(client: OldClient) -> dict[str, Any]:
    """What a person sees on the phone: names, fields and members."""
    return {
        guid: (entity["type"], entity["name"], entity["data"], sorted(entity.get("memberIds", [])))
        for guid, entity in client.entities().items()
    }


async def test_phone_goes_on_and_shows_what_a_fresh_one_shows(
    phone: OldClient, reference: Reference, fresh_croft: Croft
) -> None:
    offline = phone.create_individual({"name": "Made between the servers", "serial": 9})
    phone.update_individual("ann", {"phone": "07 2"})
    await move_to(fresh_croft, reference)

    with pytest.raises(SyncFailed, match=r" 401 "):
        await phone.sync()
    await phone.login("ann@field.test", PASSWORD)
    for _ in range(2):
        await phone.sync()

    assert shown(phone) == shown(await fresh_phone(fresh_croft))
    records = phone.entities()
    assert records["ben"]["data"]["village"] == "New"
    assert records["ann"]["data"]["phone"] == "07 2"
    assert records["coast"]["memberIds"] == ["cleo"]
    assert offline in records
    assert "gone" not in records


async def test_nothing_that_a_phone_offers_again_is_doubled_or_put_aside(
    phone: OldClient, reference: Reference, fresh_croft: Croft
) -> None:
    await move_to(fresh_croft, reference)
    await phone.login("ann@field.test", PASSWORD)
    phone.events.last_push = ""  # as after a push that failed: it offers everything again
    await phone.sync()
    async with Database(fresh_croft.addresses.serving, size=2) as database:
        events = await inside(database, "field", "SELECT guid FROM events")
        aside = await inside(database, "field", "SELECT guid FROM quarantine")
    assert sorted(row["guid"] for row in events) == sorted(event["guid"] for event in history())
    assert aside == []


async def test_edit_made_before_the_move_and_pushed_after_it_counts_by_its_time(
    phone: OldClient, reference: Reference, fresh_croft: Croft
) -> None:
    phone.update_individual("ben", {"phone": "07 3"})
    await reference.event("field", "h-later", "ben", "update-individual", {"name": "Benjamin"}, "2024-03-01T00:00:00Z")
    await move_to(fresh_croft, reference)
    await phone.login("ann@field.test", PASSWORD)
    for _ in range(2):
        await phone.sync()
    ben = phone.entities()["ben"]["data"]
    assert (ben["name"], ben["phone"], ben["village"]) == ("Benjamin", "07 3", "New")
