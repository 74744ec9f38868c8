"""Unmodified old devices, whatever their history and clock, end at the server's state."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol, Self
from uuid import uuid4

import httpx
import pytest

from tests.old_client import Entity, OldClient, OpenDuplicates, SyncFailed

serials = count(1)


class Tenant(Protocol):
    config_id: str
    api: httpx.AsyncClient

    async def device(self, skew_minutes: float = 0) -> OldClient: ...


class Croft(Protocol):
    url: str

    async def tenant(self, config: dict[str, Any] | None = None) -> Tenant: ...


# Who takes part


@dataclass
class Crew:
    """Four people of one tenant: two with good clocks, one ten minutes ahead, one ten minutes behind."""

    tenant: Tenant
    anna: OldClient
    ben: OldClient
    ahead: OldClient
    behind: OldClient

    @classmethod
    async def of(cls, tenant: Tenant) -> Self:
        return cls(
            tenant,
            anna=await tenant.device(),
            ben=await tenant.device(),
            ahead=await tenant.device(skew_minutes=10),
            behind=await tenant.device(skew_minutes=-10),
        )

    @property
    def devices(self) -> list[OldClient]:
        return [self.anna, self.ben, self.ahead, self.behind]

    async def settle(self, rounds: int = 3) -> None:
        """Everybody syncs in turn, often enough for everything to have come round."""
        for _ in range(rounds):
            for device in self.devices:
                await device.sync()

    async def converge(self) -> dict[str, Entity]:
        """Settle, let a fresh device in, and demand that all of them show what the server shows; answers that."""
        await self.settle()
        fresh = await self.tenant.device()
        for _ in range(2):
            await fresh.sync()
        expected = await server_state(self.tenant)
        for name, device in zip(("anna", "ben", "ahead", "behind", "fresh"), (*self.devices, fresh), strict=True):
            assert_shows(name, device, expected)
        return expected


@pytest.fixture
async def crew(croft: Croft) -> Crew:
    return await Crew.of(await croft.tenant())


# What they record. The serial keeps devices from taking two people for duplicates.


def person(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "serial": next(serials), **fields}


def member(name: str, **fields: Any) -> dict[str, Any]:
    return {"guid": str(uuid4()), "type": "individual", **person(name, **fields)}


def subgroup(name: str, members: Iterable[Mapping[str, Any]] = (), **fields: Any) -> dict[str, Any]:
    return {"guid": str(uuid4()), "type": "group", **person(name, **fields), "members": list(members)}


# What they must show


async def server_state(tenant: Tenant) -> dict[str, Entity]:
    """Every entity of the tenant; groups and bearers of an externalId from their own page, with members and all."""
    listed = await listed_entities(tenant)
    detailed = [guid for guid, entity in listed.items() if entity["type"] == "group" or "externalId" in entity["data"]]
    for guid in detailed:
        listed[guid] = await answered(tenant, f"/api/entities/{guid}")
    return listed


async def listed_entities(tenant: Tenant) -> dict[str, Entity]:
    listed: dict[str, Entity] = {}
    total = (await answered(tenant, "/api/entities/count"))["count"]
    for page in range(1, total // 1000 + 2):
        rows = await answered(tenant, "/api/entities", limit=1000, page=page)
        listed.update((entity["guid"], entity) for entity in rows)
    assert len(listed) == total
    return listed


async def answered(tenant: Tenant, path: str, **query: str | int) -> Any:
    response = await tenant.api.get(path, params={"configId": tenant.config_id, **query})
    assert response.status_code == 200, response.text
    return response.json()


def assert_shows(name: str, device: OldClient, expected: Mapping[str, Entity]) -> None:
    """The device has exactly the server's entities, field by field and member by member, and can go on syncing."""
    shown = device.entities()
    assert shown.keys() == expected.keys(), f"{name}: {shown.keys() ^ expected.keys()}"
    for guid, entity in expected.items():
        assert comparable(shown[guid]) == comparable(entity), f"{name}: {guid}"
    assert device.open_pairs == [], name


def comparable(entity: Entity) -> dict[str, Any]:
    data = dict(entity["data"])
    if entity["type"] == "group" and data.get("type") == "group":
        # A group that reached the device as a member entry has this key in its data, any other has not.
        del data["type"]
    return {
        "type": entity["type"],
        "name": entity["name"],
        "data": data,
        "memberIds": set(entity.get("memberIds") or ()),
        "externalId": entity.get("externalId"),
    }


def members_of(state: Mapping[str, Entity], guid: str) -> set[str]:
    return set(state[guid]["memberIds"])


# Both ways


async def test_updates_travel_both_ways(crew: Crew) -> None:
    amina = crew.anna.create_individual(person("Amina Wanjiru", village="Nyeri"))
    tomas = crew.ben.create_individual(person("Tomás Quispe", village="Puno"))
    await crew.settle()
    crew.anna.update_individual(tomas, {"phone": "+51 951 000 111"})
    crew.ben.update_individual(amina, {"village": "Karatina"})
    state = await crew.converge()
    assert state[amina]["data"]["village"] == "Karatina"
    assert state[tomas]["data"]["phone"] == "+51 951 000 111"


async def test_updates_of_one_record_by_everybody_in_turn_end_in_the_last(crew: Crew) -> None:
    guid = crew.anna.create_individual(person("Amina Wanjiru", visits=0))
    await crew.settle()
    for visits in range(1, 4):
        for device in (crew.anna, crew.ben):
            device.clock.follow(crew.anna.clock)
            device.update_individual(guid, {"visits": visits, "seen_by": device.user_id})
            await crew.settle(rounds=1)
    state = await crew.converge()
    assert (state[guid]["data"]["visits"], state[guid]["data"]["seen_by"]) == (3, crew.ben.user_id)


async def test_a_clock_ten_minutes_off_neither_hides_nor_loses_anything(crew: Crew) -> None:
    guid = crew.behind.create_individual(person("Leila Haddad", village="Zahle"))
    await crew.settle()
    fields = ["phone", "trade", "roof", "well"]
    for device, key in zip(crew.devices, fields, strict=True):
        device.update_individual(guid, {key: f"told to {key}"})
    await crew.settle()
    crew.ahead.update_individual(guid, {"village": "Baalbek"})
    crew.ahead.update_individual(guid, {"goats": 4})
    await crew.settle()
    crew.behind.update_individual(guid, {"sheep": 5})
    state = await crew.converge()
    assert {key: state[guid]["data"][key] for key in fields} == {key: f"told to {key}" for key in fields}
    assert (state[guid]["data"]["goats"], state[guid]["data"]["sheep"]) == (4, 5)


async def test_both_directions_at_the_same_moment(crew: Crew) -> None:
    shared = crew.anna.create_individual(person("Shared"))
    camp = crew.anna.create_group(person("Camp"))
    await crew.settle()
    own: list[str] = []
    for turn in range(4):
        for place, device in enumerate(crew.devices):
            device.update_individual(shared, {f"field{place}": turn})
            added = member(f"Child {turn}")
            device.add_member(camp, added)
            own.append(added["guid"])
            own.extend(device.create_individual(person(f"Own {turn}")) for _ in range(6))
        await asyncio.gather(*(device.sync() for device in crew.devices))
    state = await crew.converge()
    assert set(own) <= state.keys()
    assert {f"field{place}": state[shared]["data"][f"field{place}"] for place in range(4)} == {
        f"field{place}": 3 for place in range(4)
    }
    assert len(members_of(state, camp)) == 16


# Members and groups


async def test_members_are_added_and_removed(crew: Crew) -> None:
    otieno, akinyi = member("Otieno"), member("Akinyi")
    home = crew.anna.create_group(person("Household Ouma"), [otieno, akinyi])
    await crew.settle()
    baby = crew.ben.add_member(home, member("Baby"))
    crew.anna.remove_member(home, otieno["guid"])
    await crew.settle()
    crew.ahead.remove_member(home, baby)
    back = crew.behind.add_member(home, member("Returned"))
    state = await crew.converge()
    assert members_of(state, home) == {akinyi["guid"], back}
    assert {otieno["guid"], baby} <= state.keys()


async def test_eight_members_added_offline_by_two_devices_are_all_there(crew: Crew) -> None:
    home = crew.anna.create_group(person("Household Rahmani"))
    await crew.settle()
    added = [device.add_member(home, member("Child")) for _ in range(4) for device in (crew.anna, crew.ben)]
    state = await crew.converge()
    assert members_of(state, home) == set(added)


async def test_removal_and_addition_of_different_members_both_hold(crew: Crew) -> None:
    leaving, staying = member("Leaving"), member("Staying")
    home = crew.anna.create_group(person("Household Silva"), [leaving, staying])
    await crew.settle()
    crew.anna.remove_member(home, leaving["guid"])
    arriving = crew.ben.add_member(home, member("Arriving"))
    state = await crew.converge()
    assert members_of(state, home) == {staying["guid"], arriving}


@pytest.mark.parametrize("is_readded", [True, False])
async def test_of_removal_and_addition_of_one_member_the_later_holds(crew: Crew, is_readded: bool) -> None:
    joao = member("João")
    home = crew.anna.create_group(person("Household Silva"), [joao])
    await crew.settle()
    if is_readded:
        crew.anna.remove_member(home, joao["guid"])
        crew.ben.clock.follow(crew.anna.clock)
        crew.ben.add_member(home, joao)
    else:
        crew.ben.add_member(home, joao)
        crew.anna.clock.follow(crew.ben.clock)
        crew.anna.remove_member(home, joao["guid"])
    state = await crew.converge()
    assert members_of(state, home) == ({joao["guid"]} if is_readded else set())
    assert joao["guid"] in state


async def test_groups_in_groups_reach_everybody_whole(crew: Crew) -> None:
    leaf = subgroup("Family", [member("Nour"), member("Sami")])
    street = subgroup("Street", [leaf, member("Warden")])
    village = crew.anna.create_group(person("Village"), [street, member("Chief")])
    await crew.settle()
    newborn = crew.ben.add_member(leaf["guid"], member("Newborn"))
    second = subgroup("Second street", [member("Hana")])
    crew.ahead.add_member(village, second)
    crew.behind.update_group(street["guid"], {"lamps": 7})
    state = await crew.converge()
    assert {street["guid"], second["guid"]} < members_of(state, village)
    assert newborn in members_of(state, leaf["guid"])
    assert members_of(state, second["guid"]) == {second["members"][0]["guid"]}
    assert state[street["guid"]]["data"]["lamps"] == 7


async def test_a_group_taken_out_of_a_group_goes_with_all_below_it(crew: Crew) -> None:
    leaf = subgroup("Family", [member("Nour")])
    street = subgroup("Street", [leaf])
    village = crew.anna.create_group(person("Village"), [street, member("Chief")])
    await crew.settle()
    crew.ben.remove_member(village, street["guid"])
    state = await crew.converge()
    assert len(state) == 2
    assert street["guid"] not in members_of(state, village)


# Deletion


async def test_a_deletion_reaches_everybody_and_a_group_takes_its_members(crew: Crew) -> None:
    alone = crew.anna.create_individual(person("Alone"))
    home = crew.anna.create_group(person("Household Dlamini"), [member("Thandi"), subgroup("Wing", [member("Sipho")])])
    kept = crew.ben.create_individual(person("Kept"))
    await crew.settle()
    crew.ben.delete(home)
    crew.behind.delete(alone)
    state = await crew.converge()
    assert state.keys() == {kept}


@pytest.mark.parametrize("is_deleted_first", [True, False])
async def test_a_deletion_outlives_an_update_made_elsewhere(crew: Crew, is_deleted_first: bool) -> None:
    gone = crew.anna.create_individual(person("Gone"))
    kept = crew.anna.create_individual(person("Kept"))
    await crew.settle()
    if is_deleted_first:
        crew.anna.delete(gone)
        crew.ben.clock.follow(crew.anna.clock)
    crew.ben.update_individual(gone, {"phone": "1"})
    crew.ben.update_individual(gone, {"phone": "2"})
    crew.ahead.update_individual(gone, {"phone": "3"})
    crew.behind.whole_form_update(gone, phone="4")
    if not is_deleted_first:
        crew.anna.clock.follow(crew.ben.clock)
        crew.anna.delete(gone)
    state = await crew.converge()
    assert state.keys() == {kept}


async def test_opening_a_group_whose_member_was_deleted_does_the_group_no_harm(crew: Crew) -> None:
    thandi, sipho = member("Thandi"), member("Sipho")
    home = crew.anna.create_group(person("Household Dlamini"), [thandi, sipho])
    await crew.settle()
    crew.anna.delete(thandi["guid"])
    crew.anna.load_group(home)
    nomsa = crew.ben.add_member(home, member("Nomsa"))
    state = await crew.converge()
    assert members_of(state, home) == {sipho["guid"], nomsa}
    assert state[home]["data"].keys() == {"name", "serial"}


async def test_an_external_id_passes_on_from_a_deleted_record(crew: Crew) -> None:
    old = crew.anna.create_individual(person("Old card", externalId="CARD-7"))
    await crew.settle()
    crew.anna.delete(old)
    await crew.anna.sync()
    new = crew.anna.create_individual(person("New card", externalId="CARD-7"))
    state = await crew.converge()
    assert state.keys() == {new}
    assert state[new]["externalId"] == "CARD-7"


# Late, many and at once


async def test_twenty_five_events_with_one_timestamp_all_arrive(crew: Crew) -> None:
    with crew.anna.clock.frozen():
        guids = [crew.anna.create_individual(person("Imported")) for _ in range(25)]
    state = await crew.converge()
    assert state.keys() == set(guids)


async def test_an_event_made_earlier_but_synced_later_is_seen_by_all(crew: Crew) -> None:
    shared = crew.ben.create_individual(person("Shared", village="Kitale"))
    await crew.settle()
    early = crew.anna.create_individual(person("Early"))
    crew.anna.update_individual(shared, {"village": "Eldoret", "roof": "tin"})
    crew.ben.clock.follow(crew.anna.clock)
    late = crew.ben.create_individual(person("Late"))
    crew.ben.update_individual(shared, {"village": "Iten"})
    for device in (crew.ben, crew.ahead, crew.behind, crew.ben):
        await device.sync()
    state = await crew.converge()
    assert {early, late} <= state.keys()
    assert (state[shared]["data"]["village"], state[shared]["data"]["roof"]) == ("Iten", "tin")


async def test_two_people_offline_at_once_miss_nothing_of_each_other(crew: Crew) -> None:
    made = [device.create_individual(person("Seen")) for _ in range(20) for device in (crew.anna, crew.ben)]
    await crew.ben.sync()
    await crew.anna.sync()
    await crew.ben.sync()
    assert crew.anna.entities().keys() == crew.ben.entities().keys() == set(made)
    assert (await crew.converge()).keys() == set(made)


@pytest.mark.slow
async def test_five_updates_of_three_hundred_people_are_seen_whole(crew: Crew) -> None:
    guids = [crew.anna.create_individual(person("Person", round=0)) for _ in range(300)]
    await crew.anna.sync()
    await crew.ben.sync()
    assert len(crew.ben.entities()) == 300
    for turn in range(1, 6):
        for guid in guids:
            crew.anna.update_individual(guid, {"round": turn, f"answer{turn}": f"yes {turn}"})
    await crew.anna.sync()
    state = await crew.converge()
    assert {entity["data"]["round"] for entity in state.values()} == {5}
    assert all(entity["data"][f"answer{turn}"] == f"yes {turn}" for entity in state.values() for turn in range(1, 6))


@pytest.mark.slow
async def test_five_thousand_events_reach_everybody(crew: Crew) -> None:
    people = {device: [device.create_individual(person("Person")) for _ in range(500)] for device in crew.devices[:2]}
    for turn in range(4):
        for device, guids in people.items():
            for guid in guids:
                device.whole_form_update(guid, **{f"answer{turn}": turn})
    assert sum(len(device.events) for device in people) == 5000
    await crew.anna.push_only()
    await crew.ben.push_only()
    state = await crew.converge()
    assert len(state) == 1000
    assert all(entity["data"][f"answer{turn}"] == turn for entity in state.values() for turn in range(4))


# Whole forms


async def test_two_people_editing_different_fields_with_whole_forms_both_keep_their_edit(crew: Crew) -> None:
    guid = crew.anna.create_individual(person("Mei Lin", phone="1", village="Dali", trade="weaver"))
    await crew.settle()
    crew.anna.whole_form_update(guid, phone="2")
    crew.ben.whole_form_update(guid, village="Lijiang")
    crew.anna.whole_form_update(guid, trade="dyer")
    state = await crew.converge()
    data = state[guid]["data"]
    assert (data["phone"], data["village"], data["trade"]) == ("2", "Lijiang", "dyer")


async def test_whole_forms_of_four_people_with_different_clocks_all_count(crew: Crew) -> None:
    guid = crew.anna.create_individual(person("Mei Lin", village="Dali"))
    await crew.settle()
    for turn in ("first", "second"):
        for place, device in enumerate(crew.devices):
            device.whole_form_update(guid, **{f"answer{place}": turn})
        await crew.settle()
    data = (await crew.converge())[guid]["data"]
    assert [data[f"answer{place}"] for place in range(4)] == ["second"] * 4


# A line that drops


class DroppedLine(httpx.AsyncBaseTransport):
    """The network until `good_pushes` pushes went through; after that none is answered.

    With `is_answer_lost` they still reach the server.
    """

    def __init__(self, good_pushes: int, is_answer_lost: bool) -> None:
        self._network = httpx.AsyncHTTPTransport()
        self._good_pushes = good_pushes
        self._is_answer_lost = is_answer_lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_push = request.url.path == "/api/sync/push"
        if not is_push or self._good_pushes > 0:
            self._good_pushes -= is_push
            return await self._network.handle_async_request(request)
        if self._is_answer_lost:
            response = await self._network.handle_async_request(request)
            await response.aread()
            await response.aclose()
        raise httpx.ReadError("the line is down", request=request)

    async def aclose(self) -> None:
        await self._network.aclose()


@pytest.mark.parametrize("is_answer_lost", [True, False])
async def test_an_upload_broken_off_in_the_middle_is_finished_later(crew: Crew, is_answer_lost: bool) -> None:
    home = crew.anna.create_group(person("Household Khan"))
    await crew.settle()
    added = [crew.anna.add_member(home, member("Child")) for _ in range(15)]
    made = [crew.anna.create_individual(person("Met")) for _ in range(20)]
    await crew.anna.reconnect(DroppedLine(good_pushes=2, is_answer_lost=is_answer_lost))
    with pytest.raises(SyncFailed):
        await crew.anna.sync()
    await crew.ben.sync()
    crew.ben.update_individual(added[0], {"school": "Lahore"})
    crew.anna.update_individual(added[0], {"shoes": 31})
    await crew.ben.sync()
    await crew.anna.reconnect()
    state = await crew.converge()
    assert state.keys() == {home, *added, *made}
    assert members_of(state, home) == set(added)
    assert (state[added[0]]["data"]["school"], state[added[0]]["data"]["shoes"]) == ("Lahore", 31)


async def test_a_device_that_synced_with_a_reference_server_is_repaired(crew: Crew) -> None:
    guid = crew.anna.create_individual(person("Drifted", village="old"))
    gone = crew.anna.create_individual(person("Gone"))
    await crew.settle()
    crew.anna.update_individual(guid, {"village": "new"})
    crew.anna.delete(gone)
    await crew.anna.sync()
    crew.ben.events.next_since = stamp(datetime.now(UTC) + timedelta(hours=1))
    state = await crew.converge()
    assert state[guid]["data"]["village"] == "new"
    assert gone not in state


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Awkward text


AWKWARD = [
    "Aoife O'Brien",
    "Robert'); DROP TABLE entities;--",
    'Dwayne "The Rock" \\ Johnson',
    "Zoë 👩‍👩‍👧‍👦 🇰🇪 family",
    "محمد عبد الله",
    "שרה ‏בת‎ אברהם",
    "Nguyễn Thị Ánh",
    "Nguye\u0302\u0303n, decomposed",
    "山田 太郎",
    "50% + 1 & more = ? #hash",
    "<b onclick=alert(1)>Bold</b>",
    "line one\nline two\ttab\r\n",
    "$1 %s {0} ${name} {{name}}",
    "\u2028\u2029\ufeff\u200b\U0010ffff",
    "x" * 20_000,
]


async def test_awkward_text_arrives_as_it_was_written(crew: Crew) -> None:
    written = {
        crew.anna.create_individual(person(text, note=text, nested={text: [text, {"deep": text}]})): text
        for text in AWKWARD
    }
    home = crew.anna.create_group(person("O'Brien's"), [member(text) for text in AWKWARD])
    await crew.settle()
    crew.ben.whole_form_update(next(iter(written)), note="It's changed: ' \" \\")
    state = await crew.converge()
    for guid, text in written.items():
        assert (state[guid]["name"], state[guid]["data"]["nested"]) == (text, {text: [text, {"deep": text}]})
    assert len(members_of(state, home)) == len(AWKWARD)


async def test_awkward_keys_and_values_arrive_as_they_were_written(crew: Crew) -> None:
    odd = {
        "__proto__": "x", "constructor": "y", "a.b": "dotted", "": "empty key", "naïve 🙂": 1, "zero": 0, "no": False,
        "nothing": None, "tiny": 1e-9, "big": 2**53 - 1, "minus": -0.5, "list": [], "object": {}, "type": "other",
    }  # fmt: skip
    guid = crew.anna.create_individual({**person("Odd"), **odd})
    listed = member("Listed", guid_of_card="G1", members=["not a member"], type="individual")
    crew.anna.create_group(person("Home"), [listed])
    state = await crew.converge()
    assert {key: state[guid]["data"][key] for key in odd} == odd


@pytest.mark.parametrize("odd", [{"guid": "a field of the form"}, {"type": "group"}])
async def test_a_person_whose_form_has_fields_named_guid_or_type_arrives_whole(crew: Crew, odd: dict[str, Any]) -> None:
    guid = crew.anna.create_individual({**person("Odd"), **odd})
    await crew.settle()
    crew.ben.update_individual(guid, {"village": "Puno"})
    state = await crew.converge()
    assert state[guid]["type"] == "individual"
    assert state[guid]["data"].items() >= {**odd, "village": "Puno"}.items()


async def test_a_nul_is_a_clear_error_that_names_its_place(crew: Crew) -> None:
    event = {
        "guid": str(uuid4()),
        "entityGuid": str(uuid4()),
        "type": "create-individual",
        "data": {"name": "Nul \u0000 here"},
        "timestamp": stamp(datetime.now(UTC)),
        "userId": "1",
        "syncLevel": 0,
    }
    body = {"events": [event], "configId": crew.tenant.config_id}
    response = await crew.tenant.api.post("/api/sync/push", json=body)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"].startswith("application/problem+json")
    problem = response.json()
    assert problem["message"] == problem["detail"]
    assert [error["path"] for error in problem["errors"]] == ["events[0].data.name"]
    assert await crew.converge() == {}


# Duplicates


TWIN = {"name": "Fatuma Hassan", "dateOfBirth": "1990-03-17", "phone": "+254700123456", "nationalId": "A1234567"}


async def open_pairs(tenant: Tenant) -> list[dict[str, str]]:
    pairs: list[dict[str, str]] = await answered(tenant, "/api/potential-duplicates")
    return pairs


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_a_duplicate_found_by_the_server_is_settled_there(crew: Crew, is_deleted: bool) -> None:
    twins = {device.create_individual(person(**TWIN)) for device in (crew.anna, crew.ben)}
    await crew.settle()
    pair = (await open_pairs(crew.tenant))[0]
    assert set(pair.values()) == twins
    body = {
        "newItem": pair["entityGuid"],
        "existingItem": pair["duplicateGuid"],
        "shouldDeleteNewItem": is_deleted,
        "configId": crew.tenant.config_id,
    }
    response = await crew.tenant.api.post("/api/potential-duplicates/resolve", json=body)
    assert (response.status_code, response.json()["status"]) == (200, "success")
    state = await crew.converge()
    assert state.keys() == ({pair["duplicateGuid"]} if is_deleted else twins)
    assert await open_pairs(crew.tenant) == []


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_a_duplicate_flagged_by_a_device_is_settled_on_it(crew: Crew, is_deleted: bool) -> None:
    annabel = crew.anna.create_individual({"name": "Annabel Mwangi", "village": "Nyeri town"})
    await crew.settle()
    ann = crew.ben.create_individual({"name": "Ann", "village": "Nyeri"})
    with pytest.raises(OpenDuplicates):
        await crew.ben.sync()
    crew.ben.resolve_duplicate(ann, annabel, should_delete=is_deleted)
    state = await crew.converge()
    assert state.keys() == ({annabel} if is_deleted else {ann, annabel})


@pytest.mark.parametrize("is_known_first", [True, False])
async def test_a_group_called_like_part_of_a_person_stops_no_device(crew: Crew, is_known_first: bool) -> None:
    camp = crew.anna.create_group({"name": "Camp"})
    if is_known_first:
        await crew.anna.sync()
    people = [crew.ben.create_individual({"name": f"Camp{number} -"}) for number in range(3)]
    await crew.ben.sync()
    await crew.anna.sync()
    crew.ahead.create_group(person("Elsewhere"))
    state = await crew.converge()
    assert {camp, *people} < state.keys()
