"""What a device does about a person who was erased on the server."""

import sqlite3
from pathlib import Path
from typing import Any

from server.device import queries
from server.device.erasing import erase
from server.device.model import Event
from server.device.receipts import digest, link, read_receipt, verify
from server.device.recording import row_of
from server.device.shapes import mentions
from server.device.store import Store, event_from


def event(guid: str, type_: str, entity: str, data: dict[str, Any], **more: Any) -> Event:
    return Event(
        guid=guid,
        entity_guid=entity,
        type=type_,
        data=data,
        timestamp="2026-01-31T08:00:00.000Z",
        user_id="7",
        **{"status": "accepted", "seq": 1, **more},
    )


def keep(store: Store, *events: Event, to_offer: bool = False) -> None:
    with store.transaction() as db:
        for each in events:
            found = mentions(each.type, each.entity_guid, each.data)
            queries.insert_event(db, row_of(each, to_offer=to_offer), found)


def held(store: Store, guid: str) -> Event:
    with store.transaction() as db:
        row = queries.find_event(db, guid)
    assert row is not None
    return event_from(row)


HERS = event("1", "create-individual", "her", {"name": "Ann"})
LISTED = event(
    "2",
    "create-group",
    "house",
    {"name": "House", "members": [{"guid": "her", "name": "Ann"}, {"guid": "him", "name": "Ben"}]},
)
PAIRED = event(
    "3",
    "resolve-duplicate",
    "him",
    {"duplicates": [{"entityGuid": "him", "duplicateGuid": "her", "name": "Ann"}], "shouldDelete": False, "why": "Ann"},
)
NESTED = event(
    "4",
    "add-member",
    "house",
    {"members": [{"guid": "inner", "type": "group", "members": [{"guid": "her", "name": "Ann"}]}], "n": 1},
)


def test_events_hold_nothing_of_her_and_all_of_others(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", "north", "device")
    keep(store, HERS, LISTED, PAIRED, NESTED)
    erase(store, "her")
    assert held(store, "1").data == {}
    assert held(store, "2").data == {"name": "House", "members": [{"guid": "her"}, {"guid": "him", "name": "Ben"}]}
    assert held(store, "3").data == {
        "duplicates": [{"entityGuid": "him", "duplicateGuid": "her"}],
        "shouldDelete": False,
    }
    assert held(store, "4").data["members"][0]["members"] == [{"guid": "her"}]
    for each in (HERS, LISTED, PAIRED, NESTED):
        assert held(store, each.guid).digest == digest(each).hex()
    store.close()


def test_what_waits_to_be_offered_is_left_until_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", "north", "device")
    keep(store, HERS, to_offer=True)
    erase(store, "her")
    assert held(store, "1").data == {"name": "Ann"}
    store.close()


def test_receipt_of_events_without_her_still_holds(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", "north", "device")
    keep(store, HERS)
    answer = {"epoch": "one", "first": 1, "last": 1, "hash": link("", 1, [HERS]), "previous": ""}
    erase(store, "her")
    assert verify(read_receipt(answer), [held(store, "1")], None).verified is True
    other = read_receipt({**answer, "hash": "00" * 32})
    assert verify(other, [held(store, "1")], None).verified is None
    assert verify(other, [HERS], None).verified is False
    store.close()


def test_store_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = Store(path, "north", "device")
    keep(store, HERS)
    store.close()
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE events DROP COLUMN digest")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    store = Store(path, "north", "device")
    assert held(store, "1") == HERS
    erase(store, "her")
    assert held(store, "1").data == {}
    store.close()
