from copy import deepcopy
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.sync.event import Event
from server.sync.fold import LONGEST_TEXT, Entity, Folded, Outcome, fold, follows
from tests.server.sync.slow_fold import SlowFold
from tests.server.sync.strategies import batches, event, histories, shuffled, state_of


def folded(*events: Event) -> dict[str, Entity]:
    entities: dict[str, Entity] = {}
    fold(entities, events)
    return entities


def outcomes(*events: Event) -> list[tuple[str, str]]:
    """In the order in which the events are given."""
    result = fold({}, events).outcomes
    return [(result[each.guid].kind, result[each.guid].reason) for each in events]


def created(guid: str = "ann", *, at: int = 0, **data: Any) -> Event:
    return event("create-individual", guid, data or {"name": guid}, at=at)


def updated(guid: str = "ann", *, at: int, **data: Any) -> Event:
    return event("update-individual", guid, data, at=at)


def group(guid: str = "camp", *members: dict[str, Any], at: int = 0, **data: Any) -> Event:
    return event("create-group", guid, {"name": guid, **data, "members": list(members)}, at=at)


def grown(guid: str, *members: dict[str, Any], at: int) -> Event:
    return event("update-group", guid, {"members": list(members)}, at=at)


def added(guid: str, member: dict[str, Any], *, at: int) -> Event:
    return event("add-member", guid, {"members": [member]}, at=at)


def removed(guid: str, member: str, *, at: int) -> Event:
    return event("remove-member", guid, {"memberId": member}, at=at)


def deleted(guid: str = "ann", *, at: int) -> Event:
    return event("delete-entity", guid, {"guid": guid}, at=at)


def person(guid: str = "ann", **data: Any) -> dict[str, Any]:
    return {"guid": guid, "name": guid, **data}


def nested(guid: str, *members: dict[str, Any]) -> dict[str, Any]:
    return {"guid": guid, "type": "group", "name": guid, "members": list(members)}


# The order


def test_later_time_wins_whatever_the_order_of_arrival() -> None:
    entities = folded(
        updated(at=3, name="third"), updated(at=1, name="first"), created(at=0), updated(at=2, name="second")
    )
    assert entities["ann"].name == "third"


def test_of_one_time_create_goes_before_change_before_delete() -> None:
    entities = folded(deleted(at=1), updated(at=1, village=2), created(at=1))
    assert entities["ann"].state == "deleted"
    assert outcomes(deleted(at=1), updated(at=1, village=2), created(at=1)) == [("applied", "")] * 3


def test_of_one_time_and_kind_the_greater_guid_goes_last() -> None:
    one = event("update-individual", "ann", {"name": "one"}, at=1, guid="a")
    other = event("update-individual", "ann", {"name": "other"}, at=1, guid="b")
    assert folded(other, one)["ann"].name == "other"


def test_clocks_ahead_count_as_the_time_of_arrival_and_keep_their_own_order() -> None:
    ahead = event("update-individual", "ann", {"name": "ahead"}, at=900, arrival=5_000)
    further = event("update-individual", "ann", {"name": "further"}, at=901, arrival=5_000)
    later = updated(at=6, name="later")
    assert folded(further, created(), ahead)["ann"].name == "further"
    assert folded(further, created(), ahead, later)["ann"].name == "later"


# Waiting


def test_change_before_the_creation_waits_for_it() -> None:
    entities = folded(updated(at=1, village=7), created(at=2, name="Ann", village=1))
    assert entities["ann"].data == {"name": "Ann", "village": 7}


def test_add_member_waits_for_its_group() -> None:
    waiting = added("camp", person(), at=1)
    assert outcomes(waiting) == [("waiting", "entity-unknown")]
    assert folded(waiting)["ann"].state == "missing"
    assert folded(waiting, group(at=5))["camp"].member_ids == ["ann"]


def test_deletion_before_the_creation_deletes_it() -> None:
    assert folded(deleted(at=1), created(at=2))["ann"].state == "deleted"


def test_deletion_of_what_nobody_knows_waits() -> None:
    assert outcomes(deleted(at=1)) == [("waiting", "entity-unknown")]


def test_update_of_an_entity_nobody_creates_makes_it() -> None:
    entities = folded(updated(at=1, name="Ann"))
    assert (entities["ann"].state, entities["ann"].created, entities["ann"].name) == ("live", False, "Ann")
    assert folded(event("update-group", "camp", {"name": "Camp"}))["camp"].type == "group"


def test_update_of_somebody_whose_creation_waits_or_is_without_effect_waits_on() -> None:
    to_nowhere = [added("nowhere", person(village=1), at=1), updated(at=2, name="Ann")]
    assert folded(*to_nowhere)["ann"].state == "missing"
    assert outcomes(*to_nowhere)[-1] == ("waiting", "entity-unknown")
    to_a_deleted_group = [group("camp"), deleted("camp", at=1), added("camp", person(village=1), at=2)]
    assert folded(*to_a_deleted_group, updated(at=3, roof=1))["ann"].state == "missing", "no record of an edit alone"


def test_what_waited_is_applied_when_its_entity_comes_as_a_member() -> None:
    entities = folded(updated(at=1, village=7), group("camp", person(village=1), at=2))
    assert entities["ann"].data["village"] == 7


def test_chain_of_waiting_additions_is_released_at_once() -> None:
    chain = [added("dorm", nested("east"), at=1), added("camp", nested("dorm"), at=2), added("east", person(), at=3)]
    entities = folded(*chain, group("camp", at=9))
    assert [entities[guid].member_ids for guid in ("camp", "dorm", "east")] == [["dorm"], ["east"], ["ann"]]


def test_entity_that_a_released_event_changed_cannot_be_followed_by_one_in_between() -> None:
    released = added("camp", person(village=1), at=1)
    entities = folded(created(), released, group(at=5))
    assert not follows(entities["ann"], updated(at=3, village=2))
    assert follows(entities["ann"], updated(at=6, village=2))


# Deleting


def test_deletion_is_final_for_changes_before_and_after() -> None:
    late = updated(at=3, name="late")
    assert folded(created(), updated(at=1, name="early"), deleted(at=2), late)["ann"].state == "deleted"
    assert outcomes(created(), deleted(at=2), late)[-1] == ("without-effect", "entity-deleted")


def test_deleted_entity_keeps_nothing_but_its_guid() -> None:
    ann = folded(created(name="Ann", externalId="x", entityName="person"), deleted(at=1))["ann"]
    assert (ann.name, ann.entity_name, ann.external_id, ann.data) == ("", "", None, {})


def test_new_creation_revives_with_its_own_fields_alone() -> None:
    ann = folded(created(name="Ann", village=1), deleted(at=1), created(at=2, name="Anna"))["ann"]
    assert (ann.state, ann.data) == ("live", {"name": "Anna"})


def test_being_listed_in_a_creation_or_an_addition_revives() -> None:
    gone = [created(), deleted(at=1)]
    assert folded(*gone, group("camp", person(), at=2))["ann"].state == "live"
    assert folded(*gone, group("camp", at=2), added("camp", person(), at=3))["ann"].state == "live"


def test_being_listed_in_an_update_does_not_revive() -> None:
    entities = folded(created(), deleted(at=1), group("camp", at=2), grown("camp", person(), at=3))
    assert (entities["ann"].state, entities["camp"].member_ids) == ("deleted", [])


def test_revived_entity_takes_the_type_of_what_revives_it() -> None:
    assert folded(created("ann"), deleted("ann", at=1), group("ann", person("ben"), at=2))["ann"].type == "group"


def test_deleted_group_takes_all_below_it() -> None:
    entities = folded(group("camp", nested("dorm", person("ann")), person("ben")), deleted("camp", at=1))
    assert {each.state for each in entities.values()} == {"deleted"}


def test_member_of_two_groups_leaves_both_when_one_is_deleted() -> None:
    entities = folded(group("camp", person()), group("dorm", person(), at=1), deleted("camp", at=2))
    assert (entities["ann"].state, entities["dorm"].member_ids) == ("deleted", [])


def test_groups_in_each_other_go_together() -> None:
    entities = folded(group("camp", nested("dorm")), added("dorm", nested("camp"), at=1), deleted("dorm", at=2))
    assert [entities[guid].state for guid in ("camp", "dorm")] == ["deleted", "deleted"]


def test_settling_a_pair_deletes_only_where_it_says_so() -> None:
    pair = {"duplicates": [{"entityGuid": "ann", "duplicateGuid": "ben"}]}
    kept = event("resolve-duplicate", "ann", {**pair, "shouldDelete": False}, at=1)
    gone = event("resolve-duplicate", "ann", {**pair, "shouldDelete": True}, at=1)
    assert folded(created(), created("ben"), kept)["ann"].state == "live"
    entities = folded(created(), created("ben"), gone)
    assert (entities["ann"].state, entities["ben"].state) == ("deleted", "live")


# Members


def test_members_are_entities_of_their_own_and_not_in_the_data() -> None:
    entities = folded(group("camp", person("ann", age=5), nested("dorm", person("ben"))))
    assert entities["camp"].data == {"name": "camp"}
    assert entities["camp"].member_ids == ["ann", "dorm"]
    assert entities["dorm"].parent_ids == ["camp"]
    assert entities["ann"].data == {"name": "ann", "age": 5}
    assert (entities["dorm"].data, entities["dorm"].member_ids) == ({"type": "group", "name": "dorm"}, ["ben"])


def test_member_listed_twice_is_in_once() -> None:
    camp = folded(group("camp", person(), person()), grown("camp", person(), at=1))["camp"]
    assert camp.member_ids == ["ann"]


def test_group_listed_in_itself_is_not_its_member() -> None:
    assert folded(group("camp", nested("camp")))["camp"].member_ids == []
    assert outcomes(group("camp"), added("camp", person("camp"), at=1))[-1] == ("without-effect", "not-a-member")


def test_members_that_are_null_are_none() -> None:
    assert folded(event("create-group", "camp", {"name": "Camp", "members": None}))["camp"].data == {"name": "Camp"}


def test_individual_takes_no_members() -> None:
    assert outcomes(created(), added("ann", person("ben"), at=1))[-1] == ("without-effect", "not-a-group")
    entities = folded(created(), event("update-group", "ann", {"village": 1, "members": [person("ben")]}, at=1))
    assert (entities["ann"].data, entities["ben"].state) == ({"name": "ann"}, "missing")


def test_removed_individual_lives_on_without_the_group() -> None:
    entities = folded(group("camp", person()), removed("camp", "ann", at=1))
    assert (entities["camp"].member_ids, entities["ann"].state, entities["ann"].parent_ids) == ([], "live", [])


def test_removed_group_is_deleted_with_all_below_it() -> None:
    entities = folded(group("camp", nested("dorm", person())), removed("camp", "dorm", at=1))
    assert [entities[guid].state for guid in ("camp", "dorm", "ann")] == ["live", "deleted", "deleted"]


def test_removing_who_is_no_member_changes_nothing() -> None:
    assert outcomes(group("camp"), created(), removed("camp", "ann", at=1))[-1] == ("without-effect", "not-a-member")


def test_addition_after_a_removal_puts_the_member_back() -> None:
    events = [group("camp", person("ann"), person("ben")), removed("camp", "ann", at=1), added("camp", person(), at=2)]
    assert folded(*events)["camp"].member_ids == ["ann", "ben"]


def test_births_tell_in_which_order_entities_came() -> None:
    entities = folded(group("camp", person("dan"), person("ann")), added("camp", person("ben"), at=1))
    assert sorted(entities, key=lambda guid: entities[guid].born or ()) == ["camp", "dan", "ann", "ben"]


def test_revived_entity_is_born_again_and_its_deaths_are_counted() -> None:
    ann = folded(created(), deleted(at=1), created(at=2), deleted(at=3), created(at=4))["ann"]
    assert (ann.born and ann.born[0], ann.deaths) == (4_000, 2)


# Fields


def test_fields_are_merged_one_by_one() -> None:
    ann = folded(created(name="Ann", home={"street": "a", "no": 1}), updated(at=1, home={"street": "b"}, age=5))["ann"]
    assert ann.data == {"name": "Ann", "home": {"street": "b"}, "age": 5}


def test_name_form_and_external_id_are_kept_when_absent_or_empty() -> None:
    ann = folded(created(name="Ann", entityName="person", externalId=17), updated(at=1, name="", externalId=None))[
        "ann"
    ]
    assert (ann.name, ann.entity_name, ann.external_id) == ("Ann", "person", "17")


def test_what_an_index_could_not_hold_is_cut_and_kept_whole_in_the_data() -> None:
    huge = "é" * 100_000
    ann = folded(created(name=huge, entityName=huge, externalId=huge))["ann"]
    assert len(ann.name) == len(ann.entity_name) == len(ann.external_id or "") == LONGEST_TEXT
    assert ann.data["name"] == huge


def test_only_the_applied_part_of_an_update_counts() -> None:
    form = {"name": "Ann", "village": 1}
    narrowed = event("update-individual", "ann", form, at=1, applied={"village": 1})
    assert folded(created(name="Anna"), narrowed)["ann"].data == {"name": "Anna", "village": 1}
    empty = event("update-individual", "ann", form, at=1, applied={})
    assert outcomes(created(), empty)[-1] == ("without-effect", "nothing-changed")


def test_one_event_makes_one_version_of_what_it_changes() -> None:
    entities = folded(group("camp", person("ann"), person("ben")), updated(at=1, village=1))
    assert [entities[guid].version for guid in ("camp", "ann", "ben")] == [1, 2, 1]


def test_custom_event_changes_nothing() -> None:
    entities = folded(created(), event("immunised", "ann", {"vaccine": "BCG"}, at=1))
    assert (entities["ann"].data, entities["ann"].version) == ({"name": "ann"}, 1)


# What holds for all histories


@given(histories(max_size=16))
def test_agrees_with_the_slow_fold(events: list[Event]) -> None:
    entities: dict[str, Entity] = {}
    result = fold(entities, events)
    slow = SlowFold(events)
    assert state_of(entities) == state_of(slow.entities())
    assert plain(result.outcomes) == slow.outcomes
    assert result.touched == slow.touched


@given(st.data())
def test_order_of_the_input_makes_no_difference(data: st.DataObject) -> None:
    events = data.draw(histories())
    once, again = folded(*events), folded(*data.draw(shuffled(events)))
    assert state_of(once) == state_of(again)


@given(st.data())
def test_folding_onto_what_stands_is_the_same_as_folding_everything_anew(data: st.DataObject) -> None:
    events = data.draw(histories(max_size=18))
    entities: dict[str, Entity] = {}
    seen: list[Event] = []
    for batch in data.draw(batches(events)):
        seen += batch
        if all(
            follows(entities.get(guid, Entity(guid)), each) for each in batch for guid in reach(entities, batch, each)
        ):
            fold(entities, batch)
        else:
            entities = folded(*seen)
        assert state_of(entities) == state_of(folded(*seen))


@given(histories())
def test_memberships_agree_both_ways_and_only_the_living_have_any(events: list[Event]) -> None:
    entities = folded(*events)
    for each in entities.values():
        assert len(set(each.member_ids)) == len(each.member_ids)
        assert all(each.guid in entities[guid].parent_ids for guid in each.member_ids)
        assert all(each.guid in entities[guid].member_ids for guid in each.parent_ids)
        assert each.state == "live" or not (each.member_ids or each.parent_ids)
        assert each.type == "group" or not each.member_ids


@given(histories())
def test_folding_leaves_the_events_as_they_were(events: list[Event]) -> None:
    before = deepcopy(events)
    folded(*events)
    assert events == before


@given(histories())
def test_everything_that_changed_was_touched(events: list[Event]) -> None:
    entities: dict[str, Entity] = {}
    ordered = sorted(events, key=lambda each: each.place)
    for at in range(1, len(ordered) + 1):
        before, after = folded(*ordered[: at - 1]), Folded()
        entities = {}
        after = fold(entities, ordered[:at])
        touched = set().union(*after.touched.values())
        assert {guid for guid in entities if before.get(guid) != entities[guid]} <= touched


def reach(entities: dict[str, Entity], batch: list[Event], one: Event) -> set[str]:
    """What one event of the batch can touch: whom it mentions, what goes with what it removes, and their groups."""
    if one.removes is None:
        return set(one.mentions)
    found, open_ = {one.removes}, [one.removes]
    while open_:
        guid = open_.pop()
        here = set(entities[guid].member_ids) if guid in entities else set()
        here |= {member for each in batch for above, member in each.joins if above == guid}
        open_ += here - found
        found |= here
    above = {parent for guid in found if guid in entities for parent in entities[guid].parent_ids}
    return found | above | set(one.mentions)


def plain(result: dict[str, Outcome]) -> dict[str, tuple[str, str]]:
    return {guid: (each.kind, each.reason) for guid, each in result.items()}


@settings(max_examples=20)
@given(st.integers(50, 200), st.randoms(use_true_random=False))
def test_long_chain_of_groups_is_deleted_from_its_top(length: int, random: Any) -> None:
    guids = [f"group-{number:03}" for number in range(length)]
    events = [group(guids[0])]
    events += [added(above, nested(below), at=1) for above, below in pairwise(guids)]
    events.append(deleted(guids[0], at=2))
    random.shuffle(events)
    assert {each.state for each in folded(*events).values()} == {"deleted"}
