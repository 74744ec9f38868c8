"""What is noted as a conflict when a push arrives, what is not, and what settles it."""

import pytest

from server.conflicts.finding import LONGEST_FIELD
from server.conflicts.queries import MOST_OF_ENTITY
from server.db import Connection
from server.sync.event import (
    ADD_MEMBER,
    CREATE_GROUP,
    CREATE_INDIVIDUAL,
    DELETE_ENTITY,
    UPDATE_GROUP,
    UPDATE_INDIVIDUAL,
)
from tests.server.conflicts.devices import Noted, create, edit, noted, open_pairs, push
from tests.server.sync.conftest import Log


async def village_of(log: Log) -> object:
    return (await log.entities())["ann"].data.get("village")


# Found


async def test_two_devices_that_change_one_field_from_the_same_base_are_in_conflict(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen, guid="b"))
    await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=seen, guid="c"))
    assert await noted(log) == [Noted("ann", "village", ("c", "b"), "open")]
    assert await village_of(log) == 2


async def test_different_fields_are_no_conflict(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {"age": 2}, at=2, base=seen))
    assert await noted(log) == []


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 1.0), ({"a": 1, "b": [None]}, {"b": [None], "a": 1.0})])
async def test_the_same_value_is_no_conflict(log: Log, one: object, other: object) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": one}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {"village": other}, at=2, base=seen))
    assert await noted(log) == []


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, "1"), (None, 0), ([1, 2], [2, 1])])
async def test_values_that_only_look_alike_are_in_conflict(log: Log, one: object, other: object) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": one}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {"village": other}, at=2, base=seen))
    assert len(await open_pairs(log)) == 1


async def test_who_had_seen_the_other_change_is_in_no_conflict_with_it(log: Log) -> None:
    seen = await create(log)
    first = await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=first.events[0].seq))
    assert await noted(log) == []


async def test_nothing_is_claimed_where_it_is_not_known_what_the_device_had_seen(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=None))
    assert await noted(log) == []


async def test_a_devices_own_changes_are_in_no_conflict_with_each_other(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    await push(log, "ben", edit("ann", {"village": 2}, at=2, base=seen))
    assert await noted(log) == []


async def test_change_that_arrives_late_is_noted_though_it_does_not_stand(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=5, base=seen, guid="b"))
    await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=seen, guid="c"))
    assert await open_pairs(log) == [("c", "b")]
    assert await village_of(log) == 1


async def test_third_device_is_in_conflict_with_the_value_that_stood(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=5, base=seen, guid="b"))
    await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=seen, guid="c"))
    await push(log, "dina", edit("ann", {"village": 3}, at=9, base=seen, guid="d"))
    assert await open_pairs(log) == [("c", "b"), ("d", "b")]


async def test_of_one_push_the_last_value_of_a_field_counts(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen, guid="b"))
    twice = [edit("ann", {"village": value}, at=at, base=seen, guid=f"c{value}") for value, at in ((2, 3), (1, 2))]
    await push(log, "cleo", *twice)
    assert await open_pairs(log) == [("c2", "b")]


async def test_each_field_has_a_conflict_of_its_own(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1, "age": 1, "name": "Ann"}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {"village": 2, "age": 2, "name": "Ann"}, at=2, base=seen))
    assert sorted(each.field for each in await noted(log)) == ["age", "village"]


async def test_of_a_whole_form_only_what_was_changed_counts(log: Log) -> None:
    seen = await create(log)
    form = {"village": 1, "age": 1}
    await push(log, "ben", edit("ann", {"village": 7, "age": 1}, at=1, base=seen, applied={"village": 7}))
    await push(log, "cleo", edit("ann", {**form, "age": 8}, at=2, base=seen, applied={"age": 8}))
    assert await noted(log) == []


async def test_change_without_effect_is_in_no_conflict(log: Log) -> None:
    seen = await create(log)
    deleted = await push(log, "ben", edit("ann", {"guid": "ann"}, at=1, base=seen, type_=DELETE_ENTITY))
    await push(log, "cleo", edit("ann", {"village": 1}, at=2, base=seen))
    await push(log, "dina", edit("ann", {"village": 2}, at=3, base=seen))
    assert deleted.outcomes
    assert await noted(log) == []


async def test_what_a_deletion_took_away_is_in_no_conflict_with_the_record_made_again(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    await push(log, "ben", edit("ann", {"guid": "ann"}, at=2, base=seen, type_=DELETE_ENTITY))
    await push(log, "ben", edit("ann", {"name": "Ann"}, at=3, base=seen, type_=CREATE_INDIVIDUAL))
    await push(log, "cleo", edit("ann", {"village": 2}, at=4, base=seen))
    assert await noted(log) == []
    assert await village_of(log) == 2


async def test_group_that_lists_a_member_is_in_conflict_with_who_edits_the_member(log: Log) -> None:
    seen = await create(log)
    listing = {"name": "Home", "members": [{"guid": "ann", "village": 1}]}
    await push(log, "ben", edit("home", listing, at=1, base=seen, type_=CREATE_GROUP, guid="b"))
    await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=seen, guid="c"))
    assert await noted(log) == [Noted("ann", "village", ("c", "b"), "open")]


@pytest.mark.parametrize("type_", [UPDATE_GROUP, ADD_MEMBER])
async def test_who_lists_members_claims_nothing_about_having_seen_them(log: Log, type_: str) -> None:
    seen = await create(log)
    home = await push(log, "office", edit("home", {"name": "Home"}, at=0, base=None, type_=CREATE_GROUP))
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    nested = {"guid": "dorm", "type": "group", "members": [{"guid": "ann", "village": 2}]}
    listing = edit(
        "home", {"members": [nested, {"guid": "ann", "village": 3}]}, at=2, base=home.events[0].seq, type_=type_
    )
    await push(log, "cleo", listing)
    assert await noted(log) == []


async def test_each_change_of_a_push_is_judged_by_what_its_maker_had_seen_then(log: Log) -> None:
    seen = await create(log)
    fields = ("village", "age", "height")
    for number, name in enumerate(fields):
        await push(log, "ben", edit("ann", {name: 1}, at=1 + number, base=seen + number))
    early = edit("ann", {"village": 2}, at=5, base=seen)
    late = edit("ann", {"age": 2, "height": 2}, at=6, base=seen + 2)
    await push(log, "cleo", early, late)
    assert sorted(each.field for each in await noted(log)) == ["height", "village"]


async def test_field_of_an_endless_name_holds_up_no_push(log: Log) -> None:
    seen = await create(log)
    name = "n" * (LONGEST_FIELD + 1)
    await push(log, "ben", edit("ann", {name: 1, name[:-1]: 1}, at=1, base=seen))
    await push(log, "cleo", edit("ann", {name: 2, name[:-1]: 2}, at=2, base=seen))
    assert [each.field for each in await noted(log)] == [name[:-1]]


async def test_only_the_newest_of_very_many_unseen_changes_are_looked_at(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    await push(
        log, "ben", *(edit("ann", {"age": number}, at=2 + number, base=seen) for number in range(MOST_OF_ENTITY))
    )
    late = edit("ann", {"village": 2, "age": -1}, at=2 * MOST_OF_ENTITY, base=seen)
    await push(log, "cleo", late)
    assert [each.field for each in await noted(log)] == ["age"]


async def test_push_of_new_records_asks_the_database_for_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(db: Connection, *values: object, **named: object) -> None:
        raise AssertionError("asked")

    for name in ("list_open_of", "list_unseen", "settle", "insert_conflicts"):
        monkeypatch.setattr(f"server.conflicts.queries.{name}", refuse)
    await create(log)
    with pytest.raises(AssertionError, match="asked"):
        await push(log, "ben", edit("ann", {"village": 1}, at=1, base=0))


# Settled


async def conflict(log: Log) -> int:
    """Ben's change at 3 against Cleo's at 4; answers the number of the latter."""
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=3, base=seen, guid="b"))
    pushed = await push(log, "cleo", edit("ann", {"village": 2}, at=4, base=seen, guid="c"))
    assert await open_pairs(log) == [("c", "b")]
    return pushed.events[0].seq


async def test_who_writes_the_field_having_seen_both_settles_the_conflict(log: Log) -> None:
    last = await conflict(log)
    await push(log, "dina", edit("ann", {"village": 3}, at=5, base=last, guid="d"))
    assert await noted(log) == [Noted("ann", "village", ("c", "b"), "superseded")]
    row = (await log.fetch("SELECT settled_by, settled_with, settled_at FROM conflicts"))[0]
    assert (row["settled_by"], row["settled_with"]) == ("dina's account", "d")
    assert row["settled_at"] is not None


async def test_who_writes_another_field_settles_nothing(log: Log) -> None:
    last = await conflict(log)
    await push(log, "dina", edit("ann", {"age": 3}, at=5, base=last))
    assert await open_pairs(log) == [("c", "b")]


async def test_who_writes_the_field_having_seen_both_but_does_not_stand_settles_nothing(log: Log) -> None:
    last = await conflict(log)
    await push(log, "dina", edit("ann", {"village": 3}, at=2, base=last))
    assert await village_of(log) == 2
    assert await open_pairs(log) == [("c", "b")]


async def test_who_had_seen_only_one_of_both_settles_nothing(log: Log) -> None:
    last = await conflict(log)
    await push(log, "dina", edit("ann", {"village": 3}, at=5, base=last - 1, guid="d"))
    assert await open_pairs(log) == [("c", "b"), ("d", "c")]


async def test_device_that_writes_on_without_having_seen_the_other_stays_in_conflict_with_its_last_value(
    log: Log,
) -> None:
    last = await conflict(log)
    await push(log, "cleo", edit("ann", {"village": 5}, at=6, base=last - 2, guid="c2"))
    assert await open_pairs(log) == [("c2", "b")]


async def test_device_that_comes_to_agree_with_the_other_is_in_conflict_no_more(log: Log) -> None:
    last = await conflict(log)
    await push(log, "cleo", edit("ann", {"village": 1}, at=6, base=last - 2))
    assert await open_pairs(log) == []


@pytest.mark.parametrize("at", [2, 9])
async def test_conflict_goes_with_its_record(log: Log, at: int) -> None:
    """Whenever it was deleted: also by a deletion that arrives late, and that both changes stand behind."""
    last = await conflict(log)
    await push(log, "dina", edit("ann", {"guid": "ann"}, at=at, base=last, type_=DELETE_ENTITY))
    assert [each.state for each in await noted(log)] == ["gone"]
    await push(log, "dina", edit("ann", {"name": "Ann"}, at=10, base=last, type_=CREATE_INDIVIDUAL))
    assert [each.state for each in await noted(log)] == ["gone"]


async def test_conflict_of_a_record_deleted_and_made_again_in_one_push_is_gone(log: Log) -> None:
    last = await conflict(log)
    await push(
        log,
        "dina",
        edit("ann", {"guid": "ann"}, at=7, base=last, type_=DELETE_ENTITY),
        edit("ann", {"name": "Ann"}, at=8, base=last, type_=CREATE_INDIVIDUAL),
    )
    assert [each.state for each in await noted(log)] == ["gone"]


async def test_pushing_again_notes_nothing_twice(log: Log) -> None:
    seen = await create(log)
    await push(log, "ben", edit("ann", {"village": 1}, at=1, base=seen))
    for _ in range(2):
        await push(log, "cleo", edit("ann", {"village": 2}, at=2, base=seen, guid="c", type_=UPDATE_INDIVIDUAL))
    assert len(await noted(log)) == 1
