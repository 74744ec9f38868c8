"""What a device does without a network."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.device import Device, DeviceError, InvalidEvent, NotHeld, NotSignedIn, Retrying, StoreInUse, StoreUnusable
from server.device import Unavailable as ServerUnavailable

NOWHERE = "http://127.0.0.1:9"
ONCE = Retrying(attempts=1)


def open_device(path: Path, **more: Any) -> Device:
    return Device(path, server=NOWHERE, tenant="north", **{"retrying": ONCE, **more})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "north.sqlite"


@pytest.fixture
def device(store: Path) -> Iterator[Device]:
    with open_device(store) as opened:
        opened.use_token("a token", user_id="7")
        yield opened


def test_what_was_recorded_is_there_when_the_store_is_opened_again(store: Path) -> None:
    with open_device(store) as device:
        device.use_token("a token", user_id="7")
        person = device.create("individual", "Grace", village="Kibera")
        identity = device.id
    with open_device(store) as device:
        grace = device.get(person)
        assert grace is not None
        assert (grace.name, grace.form, grace.data["village"], grace.unsynced) == (
            "Grace",
            "individual",
            "Kibera",
            True,
        )
        assert [event.type for event in device.outbox()] == ["create-individual"]
        assert device.id == identity


def test_changes_are_shown_at_once(device: Device) -> None:
    household = device.create_group("household", "Otieno", village="Kibera")
    person = device.create("individual", "Grace", phone="1")
    device.add_member(household, person)
    device.change(person, phone="2")
    shown, group = device.get(person), device.get(household)
    assert shown is not None
    assert group is not None
    assert shown.data == {"entityName": "individual", "name": "Grace", "phone": "2"}
    assert shown.parent_ids == [household]
    assert group.member_ids == [person]
    device.remove_member(household, person)
    assert device.get(household).member_ids == []  # type: ignore[union-attr]
    device.add_member(household, person)
    device.delete(household)
    assert device.get(household) is None
    assert device.get(person) is None
    assert [event.type for event in device.history(person)] == [
        "create-individual",
        "add-member",
        "update-individual",
        "remove-member",
        "add-member",
    ]


def test_people_are_found_by_parts_of_their_names(device: Device) -> None:
    device.create_group("household", "Otieno")
    grace = device.create("individual", "Grace Otieno", externalId="KE-1")
    device.create("individual", "ÉMILE")
    assert [each.name for each in device.find(name="OTIENO")] == ["Grace Otieno", "Otieno"]
    assert [each.name for each in device.find(name="émi")] == ["ÉMILE"]
    assert [each.guid for each in device.find(external_id="KE-1")] == [grace]
    assert [each.name for each in device.find(form="individual", limit=1)] == ["Grace Otieno"]
    assert [each.name for each in device.find(type="group")] == ["Otieno"]
    assert device.count() == len(list(device.entities())) == 3
    assert device.count(form="individual") == 2


def test_two_edits_of_one_millisecond_keep_their_order_also_when_the_clock_goes_back(store: Path) -> None:
    times = [datetime(2026, 1, 31, 8, 15, tzinfo=UTC)] * 2 + [datetime(2025, 1, 1, tzinfo=UTC)]
    with open_device(store, clock=iter(times).__next__) as device:
        device.use_token("a token", user_id="7")
        person = device.create("individual", "Grace")
        device.change(person, phone="1")
    with open_device(store, clock=lambda: times[2]) as device:
        device.change(person, phone="2")
        assert [event.timestamp for event in device.outbox()] == [
            "2026-01-31T08:15:00.000Z",
            "2026-01-31T08:15:00.001Z",
            "2026-01-31T08:15:00.002Z",
        ]


def test_clock_is_read_to_the_millisecond(store: Path) -> None:
    moment = datetime(2026, 1, 31, 8, 15, 0, 7_999, tzinfo=UTC) - timedelta(hours=0)
    with open_device(store, clock=lambda: moment) as device:
        device.use_token("a token", user_id="7")
        assert device.record("visit", "someone", {"note": "x"}).timestamp == "2026-01-31T08:15:00.007Z"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({}, "data"),
        ({"a": float("nan")}, "data.a"),
        ({"a": [2**53 + 1]}, "data.a[0]"),
        ({"a": {"b": "\ud800"}}, "data.a.b"),
        ({"a": "\0"}, "data.a"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "data.a"),
        ({1: "a"}, "data"),
        ({"members": "no list"}, "data.members"),
        ({"members": [{"name": "nobody"}]}, "data.members[0].guid"),
        ({"members": [{"guid": "a", "type": "group", "members": [3]}]}, "data.members[0].members[0]"),
    ],
)
def test_what_the_server_would_not_take_is_not_recorded(device: Device, data: Any, path: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        device.record("create-group", "a", data)
    assert refused.value.path == path
    assert device.outbox() == []


def test_what_is_not_held_cannot_be_changed(device: Device) -> None:
    person = device.create("individual", "Grace")
    for attempt in (
        lambda: device.change("nobody", phone="1"),
        lambda: device.add_member(person, person),
        lambda: device.remove_member("nobody", person),
        lambda: device.delete("nobody"),
        lambda: device.offer_again("nothing"),
    ):
        with pytest.raises(NotHeld):
            attempt()


def test_nobodys_events_are_not_recorded(store: Path) -> None:
    with open_device(store) as device, pytest.raises(NotSignedIn):
        device.create("individual", "Grace")


def test_what_belongs_together_is_recorded_as_a_whole_or_not_at_all(device: Device) -> None:
    def a_pair_of_which_one_is_bad() -> None:
        with device.together():
            device.create("individual", "Grace")
            device.create("individual", "Amina", phone=float("nan"))

    with pytest.raises(InvalidEvent):
        a_pair_of_which_one_is_bad()
    assert device.outbox() == []
    assert device.count() == 0
    with device.together():
        device.create("individual", "Grace")
        device.create("individual", "Amina")
        with pytest.raises(DeviceError, match="recorded together"):
            device.sync()
    assert len(device.outbox()) == 2


def test_sync_without_a_network_says_so_and_keeps_everything(device: Device) -> None:
    person = device.create("individual", "Grace")
    with pytest.raises(ServerUnavailable) as failure:
        device.sync()
    assert failure.value.report.pushed == 0
    assert len(device.outbox()) == 1
    assert device.get(person) is not None


def test_password_is_not_in_the_store_and_the_token_is_for_its_owner_alone(store: Path) -> None:
    def login(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"accessToken": "the-token", "refreshToken": "next", "userId": 7})

    old_mask = os.umask(0)
    try:
        with open_device(store, transport=httpx.MockTransport(login)) as device:
            device.sign_in("amina@north.test", "the-password")
            files = [each for each in store.parent.iterdir() if each.name.startswith(store.name)]
            held = b"".join(each.read_bytes() for each in files)
            assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    finally:
        os.umask(old_mask)
    assert b"the-token" in held
    assert b"the-password" not in held


def test_store_is_open_in_one_place_at_a_time(store: Path) -> None:
    with open_device(store):
        with pytest.raises(StoreInUse):
            open_device(store)
        opening = f"from server.device import Device; Device({str(store)!r}, server={NOWHERE!r}, tenant='north')"
        other = subprocess.run([sys.executable, "-c", opening], capture_output=True, text=True, check=False)
        assert "StoreInUse" in other.stderr
    open_device(store).close()


def test_file_of_something_else_is_left_alone(tmp_path: Path, store: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear Amina, " * 100)
    with pytest.raises(StoreUnusable):
        open_device(text)
    assert text.read_text() == "Dear Amina, " * 100
    other = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE ledger (entry TEXT)")
    before = other.read_bytes()
    with pytest.raises(StoreUnusable):
        open_device(other)
    assert other.read_bytes() == before
    open_device(store).close()
    with pytest.raises(StoreUnusable, match="tenant north"):
        Device(store, server=NOWHERE, tenant="south")
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreUnusable, match="newer"):
        open_device(store)


def test_recording_that_is_killed_leaves_whole_events(store: Path) -> None:
    program = f"""
from server.device import Device
device = Device({str(store)!r}, server={NOWHERE!r}, tenant="north")
device.use_token("a token", user_id="7")
while True:
    person = device.create("individual", "Grace")
    device.change(person, phone="1")
    print(person, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
    with open_device(store) as device:
        for person in told:
            shown = device.get(person)
            assert shown is not None
            assert shown.data["phone"] == "1"
        assert len(device.outbox()) == sum(len(device.history(each.guid)) for each in device.entities())
