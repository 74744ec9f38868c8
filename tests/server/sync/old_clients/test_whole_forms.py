"""Two phones hold one record and send it whole: each changes what its person changed, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.kit.clock import iso_ms
from server.sync.old_clients.feed import pull
from server.sync.old_clients.receive import receive
from server.sync.old_clients.whole_forms import changed_fields
from server.sync.push import Source
from tests.server.sync.conftest import AT, Log

TOLERANCE = timedelta(days=1)
FORM = {"name": "Ann", "village": 1, "age": 30, "home": {"street": "a"}, "notes": []}


async def send(log: Log, device: str, type_: str, data: dict[str, Any], *, minute: int, entity: str = "ann") -> str:
    """A phone pushes one event of that minute; answers what became of it."""
    event = {
        "guid": f"{device} {type_} {entity} {minute}",
        "entityGuid": entity,
        "type": type_,
        "data": data,
        "timestamp": iso_ms(AT + timedelta(minutes=minute)),
        "userId": device,
    }
    async with log.inside() as db:
        (fate,) = (await receive(db, [event], Source(device, device, AT), TOLERANCE)).fates
    return fate.status


async def create(log: Log, data: dict[str, Any] | None = None) -> None:
    await send(log, "office", "create-individual", data or FORM, minute=0)


async def serve(log: Log, *devices: str) -> None:
    for device in devices:
        async with log.inside() as db:
            await pull(db, "", Source(device, device, AT))


async def data_of(log: Log, guid: str = "ann") -> dict[str, Any]:
    return (await log.entities())[guid].data


async def test_two_people_who_edit_different_fields_both_keep_their_edit(log: Log) -> None:
    await create(log)
    await serve(log, "ben's", "cleo's")
    await send(log, "ben's", "update-individual", {**FORM, "village": 2}, minute=10)
    await send(log, "cleo's", "update-individual", {**FORM, "age": 31}, minute=11)
    assert await data_of(log) == {**FORM, "village": 2, "age": 31}


async def test_edit_that_comes_late_keeps_what_others_wrote_since(log: Log) -> None:
    await create(log)
    await serve(log, "ben's", "cleo's")
    await send(log, "cleo's", "update-individual", {**FORM, "age": 31}, minute=11)
    await send(log, "ben's", "update-individual", {**FORM, "village": 2}, minute=10)
    assert await data_of(log) == {**FORM, "village": 2, "age": 31}


async def test_of_one_field_the_later_edit_wins(log: Log) -> None:
    await create(log)
    await serve(log, "ben's", "cleo's")
    await send(log, "cleo's", "update-individual", {**FORM, "age": 31}, minute=11)
    await send(log, "ben's", "update-individual", {**FORM, "age": 32}, minute=10)
    assert await data_of(log) == {**FORM, "age": 31}


async def test_phones_own_edits_are_part_of_what_it_has_seen(log: Log) -> None:
    await create(log)
    await serve(log, "ben's", "cleo's")
    await send(log, "ben's", "update-individual", {**FORM, "village": 2}, minute=10)
    await send(log, "cleo's", "update-individual", {**FORM, "village": 3}, minute=11)
    await send(log, "ben's", "update-individual", {**FORM, "village": 2, "age": 31}, minute=12)
    assert await data_of(log) == {**FORM, "village": 3, "age": 31}


async def test_edit_back_to_what_was_served_is_an_edit(log: Log) -> None:
    await create(log)
    await serve(log, "ben's")
    await send(log, "ben's", "update-individual", {**FORM, "age": 31}, minute=10)
    await send(log, "ben's", "update-individual", FORM, minute=11)
    assert await data_of(log) == FORM


async def test_form_as_it_was_served_changes_nothing(log: Log) -> None:
    await create(log)
    await serve(log, "ben's")
    assert await send(log, "ben's", "update-individual", FORM, minute=10) == "without-effect"
    (row,) = await log.fetch("SELECT data::text AS data, applied::text AS applied FROM events WHERE seq = 2")
    assert (row["applied"], "village" in row["data"]) == ("{}", True)


async def test_phone_that_was_never_served_is_taken_at_its_word(log: Log) -> None:
    await create(log)
    await send(log, "ben's", "update-individual", {"name": "Anna", "village": 1}, minute=10)
    assert await log.fetchval("SELECT applied FROM events WHERE seq = 2") is None
    assert await data_of(log) == {**FORM, "name": "Anna"}


async def test_record_that_the_phone_made_itself_is_known_to_it(log: Log) -> None:
    await serve(log, "ben's", "cleo's")
    await send(log, "ben's", "create-individual", FORM, minute=1)
    await serve(log, "cleo's")
    await send(log, "cleo's", "update-individual", {**FORM, "age": 31}, minute=5)
    await send(log, "ben's", "update-individual", {**FORM, "village": 2}, minute=6)
    assert await data_of(log) == {**FORM, "village": 2, "age": 31}


async def test_members_of_a_group_are_no_fields_and_always_count(log: Log) -> None:
    camp = {"name": "Camp", "village": 1}
    await send(log, "office", "create-group", camp, minute=0, entity="camp")
    await serve(log, "ben's")
    form = {**camp, "members": [{"guid": "ann", "name": "Ann"}]}
    assert await send(log, "ben's", "update-group", form, minute=5, entity="camp") == "accepted"
    entities = await log.entities()
    assert (entities["camp"].member_ids, entities["camp"].data) == (["ann"], camp)


async def test_deleted_record_stays_deleted(log: Log) -> None:
    await create(log)
    await serve(log, "ben's")
    await send(log, "office", "delete-entity", {"guid": "ann"}, minute=5)
    assert await send(log, "ben's", "update-individual", {**FORM, "age": 31}, minute=10) == "without-effect"
    assert await data_of(log) == {}


edits = st.dictionaries(st.sampled_from(("name", "village", "age")), st.integers(100, 110), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.data(), edits, edits, st.booleans())
async def test_every_field_ends_as_its_last_editor_left_it(
    shared_log: Log, data: st.DataObject, bens: dict[str, Any], cleos: dict[str, Any], cleo_is_later: bool
) -> None:
    await shared_log.empty()
    await create(shared_log)
    await serve(shared_log, "ben's", "cleo's")
    minutes = {"ben's": 10, "cleo's": 11 if cleo_is_later else 9}
    for device in data.draw(st.permutations(["ben's", "cleo's"])):
        form = {**FORM, **(bens if device == "ben's" else cleos)}
        await send(shared_log, device, "update-individual", form, minute=minutes[device])
    expected = {**FORM, **bens, **cleos} if cleo_is_later else {**FORM, **cleos, **bens}
    assert await data_of(shared_log) == expected


@pytest.mark.parametrize(
    ("whole", "seen", "changed"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": None}, {}, {"a": None}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a": [1, 2]}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
        ({"a": 1.0, "b": "1"}, {"a": 1, "b": 1}, {"b": "1"}),
        ({"a": True, "b": False}, {"a": 1, "b": 0}, {"a": True, "b": False}),
    ],
)
def test_fields_count_as_changed_when_their_json_is_another(
    whole: dict[str, Any], seen: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert changed_fields(whole, seen) == changed
