"""What has to hold when everybody is online and nothing is new to anybody."""

import time
from datetime import datetime
from typing import Any

from tests.journeys.convergence.actors import Modern, Phone
from tests.journeys.convergence.oracle import Data, Fact, Oracle
from tests.journeys.convergence.server_side import StoredEvent
from tests.journeys.convergence.world import World

_TOLERANCE_MS = 15 * 60 * 1000
_KEPT = frozenset({"accepted", "waiting", "without-effect", "known"})


def judge(world: World) -> None:
    """Raises AssertionError where anything is not as the oracle says."""
    log = world.run(world.server.events())
    _judge_log(world, log)
    _judge_quarantine(world)
    _judge_fold(world, log)
    _, entities = world.run(world.server.entities())
    live = {guid: each for guid, each in entities.items() if each["state"] == "live"}
    for modern in world.modern:
        _judge_device(world, modern, live)
        _judge_receipts(world, modern)
    for phone in world.phones:
        _judge_phone(phone, live)
    world.run(world.server.prove())


# The log


def _judge_log(world: World, log: list[StoredEvent]) -> None:
    assert [each.seq for each in log] == list(range(1, len(log) + 1)), "the numbers of the log have a gap"
    stored = {each.content["guid"]: each for each in log}
    assert stored.keys() == world.recorded.keys(), f"lost or made up: {stored.keys() ^ world.recorded.keys()}"
    for guid, each in stored.items():
        contents = [recorded.content for recorded in world.recorded[guid]]
        assert each.content in contents, f"{guid} is stored as {each.content}, and was recorded as {contents}"
        _judge_time(world, each)
        _judge_cut(world, each)


def _judge_time(world: World, event: StoredEvent) -> None:
    """It arrived between now and when it was recorded, and counts for its own time but not past its arrival."""
    arrival = round(event.received_at.timestamp() * 1000)
    first = min(each.at_ms for each in world.recorded[event.content["guid"]])
    assert first - 1 <= arrival <= time.time() * 1000 + 1, f"{event} arrived at another time"
    latest = int(event.received_at.timestamp() * 1000) + _TOLERANCE_MS
    effective = min(_own_ms(event), latest)
    assert abs(event.effective_ms - effective) <= 1, f"{event} counts for another time than {effective}"


def _own_ms(event: StoredEvent) -> int:
    return round(datetime.fromisoformat(event.content["timestamp"]).timestamp() * 1000)


def _judge_cut(world: World, event: StoredEvent) -> None:
    """Nothing is cut but from phones' whole forms, and of these nothing that the person meant."""
    if event.applied is None:
        return
    (recorded,) = (each for each in world.recorded[event.content["guid"]] if each.content == event.content)
    assert recorded.by.startswith("old"), f"{event} was cut"
    data = event.content["data"]
    assert event.applied == {key: data[key] for key in data if key in event.applied}, f"{event} was altered"
    assert recorded.meant <= event.applied.keys(), f"{event} lost what was meant: {recorded.meant}"


def _judge_quarantine(world: World) -> None:
    found = world.run(world.server.quarantine())
    twins = {(guid, "event.guid-reused") for guid, each in world.recorded.items() if len(each) > 1}
    assert set(found) <= world.intruders | twins, f"put aside: {set(found) - world.intruders - twins}"
    if not world.was_restored:
        assert set(found) == world.intruders | twins, f"not put aside: {(world.intruders | twins) - set(found)}"


# The entities


def _judge_fold(world: World, log: list[StoredEvent]) -> None:
    oracle = Oracle(_fact(each) for each in log)
    _, entities = world.run(world.server.entities())
    assert entities.keys() == oracle.beings.keys(), "entities differ from those that events speak of"
    for guid, being in oracle.beings.items():
        expected = {
            "state": being.state,
            "type": being.type,
            "form": being.form or being.type,
            "name": being.name,
            "externalId": being.external_id,
            "data": being.data,
            "memberIds": sorted(being.members),
            "parentIds": sorted(oracle.parents_of(guid)),
            "updated_ms": being.updated_ms,
        }
        found = {key: entities[guid][key] for key in expected}
        assert found == expected, f"{guid} is\n{found}\nand should be\n{expected}"
    for each in log:
        guid = each.content["guid"]
        assert each.outcome == oracle.outcomes[guid], f"{each} should have come to {oracle.outcomes[guid]}"


def _fact(event: StoredEvent) -> Fact:
    content = event.content
    return Fact(
        guid=content["guid"],
        entity=content["entityGuid"],
        type=content["type"],
        data=content["data"],
        applied=event.applied,
        own_ms=_own_ms(event),
        effective_ms=event.effective_ms,
    )


# The devices


def _judge_device(world: World, modern: Modern, live: dict[str, Data]) -> None:
    device, name = modern.device, modern.name
    assert device.outbox() == [], f"{name} has not sent everything"
    shown = {each.guid: each for each in device.entities()}
    assert shown.keys() == live.keys(), f"{name} differs by {shown.keys() ^ live.keys()}"
    assert device.count() == len(live), f"{name} counts otherwise"
    for guid, each in shown.items():
        assert not each.unsynced, f"{name}: {guid} is not synced"
        found: dict[str, Any] = {
            "version": each.version,
            "type": each.type,
            "form": each.form,
            "name": each.name,
            "externalId": each.external_id,
            "data": each.data,
            "memberIds": each.member_ids,
            "parentIds": each.parent_ids,
        }
        expected = {key: live[guid][key] for key in found}
        assert found == expected, f"{name} shows {guid} as\n{found}\nand the server as\n{expected}"
    own = {guid for guid, each in world.recorded.items() if any(recorded.by == name for recorded in each)}
    assert all(modern.holds(guid) for guid in own), f"{name} has lost events of its own"
    twins = {guid for guid, each in world.recorded.items() if len(each) > 1}
    refused = {event.guid for event in device.refused()}
    assert refused <= twins, f"{name} was refused {refused - twins}"


def _judge_receipts(world: World, modern: Modern) -> None:
    receipts = modern.device.receipts()
    assert all(each.verified is not False for each in receipts), f"{modern.name}: {receipts}"
    if world.was_restored:
        return
    links = world.run(world.server.links())
    for each in receipts:
        assert (each.epoch, each.first, each.last, each.hash) in links, (
            f"{modern.name} has a receipt of nothing: {each}"
        )
    if world.epochs_begun:
        return
    signed = {seq for each in receipts for seq in range(each.first, each.last + 1)}
    own = [event for guid in world.names.guids for event in modern.device.history(guid) if event.own]
    missing = {event.guid for event in own if event.status in _KEPT and event.seq not in signed}
    assert not missing, f"{modern.name} has no receipt for {missing}"


def _judge_phone(phone: Phone, live: dict[str, Data]) -> None:
    shown = phone.client.entities()
    assert shown.keys() == live.keys(), f"{phone.name} differs by {shown.keys() ^ live.keys()}"
    for guid, entity in live.items():
        found = {"type": shown[guid]["type"], "name": shown[guid]["name"], "externalId": shown[guid].get("externalId")}
        found |= {"memberIds": sorted(shown[guid].get("memberIds") or ()), "data": dict(shown[guid]["data"])}
        expected = {key: entity[key] for key in found} | {"data": dict(entity["data"])}
        _forgive(found, expected)
        assert found == expected, f"{phone.name} shows {guid} as\n{found}\nand the server as\n{expected}"
    assert phone.client.open_pairs == [], f"{phone.name} has open pairs"


def _forgive(found: Data, expected: Data) -> None:
    """What a phone cannot but add: a name where there is none, and the mark of a group inside another."""
    if not expected["data"].get("name"):
        for each in (found, expected):
            each.pop("name")
            each["data"].pop("name", None)
    if expected["type"] == "group" and found["data"].get("type") == "group":
        for each in (found, expected):
            each["data"].pop("type", None)
