"""A page brings a phone to the server's state whatever the phone holds: told to phones that hold anything at all."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise, permutations, product
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.sync.event import Event
from server.sync.fold import LIVE, Entity, fold
from server.sync.old_clients.axis import position_of
from server.sync.old_clients.marks import CARRIERS, GROUP_CARRIER, PEOPLE_CARRIER, is_carrier
from server.sync.old_clients.page import Page, is_created_openly, page_events
from tests.old_client import EntityPair
from tests.server.sync.old_clients.phones import Phone, assert_shows, everything_below
from tests.server.sync.strategies import GROUPS, PEOPLE, event, histories

KEY = b"the key of this log"
POOL = PEOPLE + GROUPS
LOCALS = ("local-person", "local-group")
"""Records of the phone that the server does not know."""

# What a phone may hold

lasts = st.sampled_from(("0900-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000Z", "2150-01-01T00:00:00.000Z"))
data_held = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(("Ann", "Annabel", "-", "x")), "village": st.integers(1, 3)}
)


@st.composite
def pairs_held(draw: st.DrawFn, guid: str, external_ids: Sequence[object]) -> EntityPair:
    def copy() -> dict[str, Any]:
        made = {
            "guid": guid,
            "id": guid,
            "name": draw(st.sampled_from(("Ann", "old"))),
            "type": draw(st.sampled_from(("individual", "group"))),
            "version": draw(st.integers(0, 4)),
            "data": draw(data_held),
            "lastUpdated": draw(lasts),
        }
        if made["type"] == "group":
            made["memberIds"] = draw(st.lists(st.sampled_from(POOL + LOCALS), max_size=3, unique=True))
        if draw(st.booleans()):
            made["externalId"] = draw(st.sampled_from(external_ids))
        return made

    modified = copy()
    return EntityPair(modified if draw(st.booleans()) else copy(), modified)


@st.composite
def phones(draw: st.DrawFn, claiming: Iterable[str] = ()) -> Phone:
    """A phone that holds any records in any form. No two have one external id, as none does that works.

    Only those `claiming` may have one that belongs to somebody else on the server: where a record has it that comes
    on another page, if at all, no page can take it away.
    """
    phone = Phone(timedelta(minutes=draw(st.sampled_from((0, 10, -10, 600_000)))))
    claimed: set[object] = set()
    for guid in draw(st.sets(st.sampled_from(POOL + LOCALS))):
        held = draw(pairs_held(guid, ("x1", "x2", 17) if guid in claiming else ("mine", "mine too")))
        if held.modified.get("externalId") in claimed:
            del held.modified["externalId"]
        claimed.add(held.modified.get("externalId", guid))
        phone.entities.save(held.initial, held.modified)
    return phone


# What the server tells

odd_data = st.fixed_dictionaries(
    {"name": st.sampled_from(("Odd", "Ann", ""))}, optional={"guid": st.just("no guid"), "type": st.just("group")}
)
odd_people = st.builds(
    lambda guid, data, at: event("create-individual", guid, data, at=at, guid=f"odd {guid} {at}"),
    st.sampled_from(PEOPLE),
    odd_data,
    st.integers(5, 9),
)
told_histories = st.builds(lambda usual, odd: [*usual, *odd], histories(), st.lists(odd_people, max_size=1))


def state_after(events: Sequence[Event]) -> dict[str, Entity]:
    entities: dict[str, Entity] = {}
    fold(entities, events)
    return entities


def page_of(entities: dict[str, Entity], guids: Iterable[str]) -> Page:
    """The page about some of the entities, with all that has to come beside them, and every pair there can be."""
    told = [entities[guid] for guid in guids]
    while True:
        below = everything_below(entities, told)
        beside = {each.guid: each for each in (*told, *below.values())}
        claimed = {each.external_id for each in beside.values() if each.external_id}
        rivals = [each for each in entities.values() if each.external_id in claimed and each.guid not in beside]
        if not rivals:
            break
        told += rivals
    openly = [each.guid for each in beside.values() if is_created_openly(each)]
    return Page(told, below, pairs=[(one, other) for one, other in product(openly, POOL + LOCALS) if one != other])


def told(page: Page, position: int = 7) -> list[dict[str, Any]]:
    return page_events(page, position=position, key=KEY)


def external_ids(phone: Phone) -> dict[str, object]:
    held = {guid: pair.modified.get("externalId") for guid, pair in phone.everything().items()}
    return {guid: external_id for guid, external_id in held.items() if external_id}


@settings(max_examples=300)
@given(st.data(), told_histories)
def test_phone_ends_at_the_servers_state_whatever_it_held(data: st.DataObject, history: list[Event]) -> None:
    entities = state_after(history)
    page = page_of(entities, data.draw(st.lists(st.sampled_from(sorted(entities)), unique=True)) if entities else [])
    concerned = {each.guid for each in page.entities} | page.below.keys()
    phone = data.draw(phones(claiming=concerned))
    before = phone.everything()
    phone.apply(told(page))
    assert_shows(phone, entities, concerned)
    assert phone.entities.open_pairs == []
    after = phone.everything()
    assert after.keys().isdisjoint(CARRIERS)
    assert {guid: pair for guid, pair in after.items() if guid not in concerned} == {
        guid: pair for guid, pair in before.items() if guid not in concerned
    }


@settings(max_examples=300)
@given(st.data(), phones(), told_histories)
def test_page_that_was_broken_off_does_no_harm_to_what_is_served_then(
    data: st.DataObject, phone: Phone, history: list[Event]
) -> None:
    earlier = state_after(history[: data.draw(st.integers(0, len(history)))])
    entities = state_after(history)
    before = phone.everything()
    broken_off = told(page_of(earlier, data.draw(st.permutations(sorted(earlier)))))
    phone.apply(broken_off[: data.draw(st.integers(0, len(broken_off)))])
    for pair in phone.entities.open_pairs:
        phone.entities.settle(*pair)  # as somebody has to do by hand before the phone syncs again
    order = data.draw(st.permutations(sorted(entities)))
    is_one_page = any(each.external_id for each in (*earlier.values(), *entities.values()))
    cut = 0 if is_one_page else data.draw(st.integers(0, len(order)))
    for part in (order[:cut], order[cut:]):
        phone.apply(told(page_of(entities, part)))
    assert_shows(phone, entities, entities)
    assert phone.entities.open_pairs == []
    after = phone.everything()
    assert after.keys().isdisjoint(CARRIERS)
    assert {guid: after.get(guid) for guid in LOCALS} == {guid: before.get(guid) for guid in LOCALS}


def test_carrier_left_by_a_page_that_was_broken_off_takes_nobody_along() -> None:
    gone = [event("create-individual", "ann", {"name": "Ann"}), event("delete-entity", "ann", {"guid": "ann"}, at=1)]
    phone = Phone()
    phone.apply(told(page_of(state_after(gone), ["ann"]))[:1])
    assert phone.everything().keys() >= {"ann", GROUP_CARRIER}
    revived = state_after([*gone, event("create-individual", "ann", {"name": "Ann"}, at=2)])
    phone.apply(told(page_of(revived, ["ann"])))
    assert_shows(phone, revived, ["ann"])


@given(st.data(), told_histories)
def test_neither_carriers_nor_placeholders_are_taken_for_duplicates(data: st.DataObject, history: list[Event]) -> None:
    entities = state_after(history)
    page = page_of(entities, data.draw(st.permutations(sorted(entities))))
    phone = data.draw(phones(claiming=entities))
    phone.apply(told(page))
    openly = {each.guid for each in (*page.entities, *page.below.values()) if is_created_openly(each)}
    assert not CARRIERS & {guid for pair in phone.entities.ever_flagged for guid in pair}
    assert {one for one, _ in phone.entities.ever_flagged} <= openly


@given(st.data(), told_histories)
def test_of_those_that_share_an_external_id_one_keeps_it(data: st.DataObject, history: list[Event]) -> None:
    entities = state_after(history)
    phone = data.draw(phones(claiming=entities))
    phone.apply(told(page_of(entities, data.draw(st.permutations(sorted(entities))))))
    shown = external_ids(phone)
    claimed = {each.external_id for each in entities.values() if each.data.get("externalId")}
    assert {str(shown[guid]) for guid in shown if guid in entities} == claimed


# The form of a page


@given(st.data(), histories(), st.integers(0, 10**9))
def test_events_of_a_page_are_ours_have_its_position_and_an_order(
    data: st.DataObject, history: list[Event], position: int
) -> None:
    entities = state_after(history)
    page = page_of(entities, data.draw(st.permutations(sorted(entities))))
    events = told(page, position)
    assert all(position_of(each["timestamp"]) == position for each in events)
    assert [each["timestamp"] for each in events] == sorted({each["timestamp"] for each in events})
    assert all(
        is_carrier(event(each["type"], each["entityGuid"], each["data"], guid=each["guid"]), KEY) for each in events
    )
    assert len({each["guid"] for each in events}) == len(events)
    assert {each["syncLevel"] for each in events} <= {1}
    assert {each["guid"] for each in events}.isdisjoint(each["guid"] for each in told(page, position))


listings = st.recursive(
    st.builds(lambda guid: {"guid": guid}, st.sampled_from(PEOPLE)),
    lambda inner: st.builds(
        lambda guid, members: {"guid": guid, "type": "group", "members": members},
        st.sampled_from(GROUPS),
        st.lists(inner, max_size=3),
    ),
)


@given(st.lists(listings, max_size=5))
def test_page_holds_no_group_whole_twice(members: list[dict[str, Any]]) -> None:
    entities = state_after([event("create-group", "top", {"members": members})])
    page = page_of(entities, ["top"])
    whole = [guid for each in told(page) for guid in groups_with_members(each["entityGuid"], each["data"])]
    whole = [guid for guid in whole if guid not in CARRIERS]
    assert sorted(whole) == sorted(set(whole))


def groups_with_members(guid: str, data: dict[str, Any]) -> list[str]:
    members = data.get("members") or []
    inside = [each for entry in members for each in groups_with_members(entry["guid"], entry)]
    return [guid, *inside] if members else inside


def test_groups_that_are_all_in_each_other_level_by_level_make_a_small_page() -> None:
    levels = [[f"group-{level}-{number}" for number in range(4)] for level in range(12)]
    events = [event("create-group", guid, {"name": guid}) for level in levels for guid in level]
    for upper, lower in pairwise(levels):
        for one, other in product(upper, lower):
            add = {"members": [{"guid": other, "type": "group"}]}
            events.append(event("add-member", one, add, at=1, guid=f"{one} {other}"))
    entities = state_after(events)
    page = page_of(entities, entities)
    page.pairs = ()
    assert len(orjson.dumps(told(page))) < 60_000
    phone = Phone()
    phone.apply(told(page))
    assert_shows(phone, entities, entities)


def test_groups_nested_without_end_are_cut_off_and_still_told() -> None:
    guids = [f"group-{number:03}" for number in range(300)]
    chain = [event("create-group", guids[0], {"name": guids[0]})]
    for above, below in pairwise(guids):
        member = {"guid": below, "type": "group", "name": below}
        chain.append(event("add-member", above, {"members": [member]}, at=1))
    entities = state_after(chain)
    page = page_of(entities, [guids[0]])
    phone = Phone()
    phone.apply(told(page))
    assert_shows(phone, entities, guids[:50])


def test_members_come_in_the_order_of_their_births() -> None:
    members = [{"guid": guid, "name": guid} for guid in ("cleo", "ann", "ben")]
    entities = state_after([event("create-group", "camp", {"name": "Camp", "members": members})])
    phone = Phone()
    phone.apply(told(page_of(entities, ["camp"])))
    shown = phone.pair("camp")
    assert shown is not None
    assert shown.modified["memberIds"] == ["cleo", "ann", "ben"]


def test_three_hundred_people_make_a_handful_of_events() -> None:
    entities = state_after([event("create-individual", f"p{number}", {"name": f"P {number}"}) for number in range(300)])
    assert len(told(page_of(entities, entities))) == 5


def test_pairs_that_groups_make_with_each_other_are_settled_both_ways() -> None:
    flagged = set()
    for names in permutations(("Ann", "Annabel", "Anna")):
        created = [event("create-group", guid, {"name": name}) for guid, name in zip(GROUPS, names, strict=True)]
        entities = state_after(created)
        phone = Phone()
        phone.apply(told(page_of(entities, entities)))
        flagged |= phone.entities.ever_flagged
        assert phone.entities.open_pairs == []
    assert len(flagged) == 3


@pytest.mark.parametrize("data", [{"members": []}, {"name": "", "village": 1}, {"village": 1}])
def test_groups_without_a_name_are_not_duplicates_of_each_other(data: dict[str, Any]) -> None:
    entities = state_after([event("create-group", guid, dict(data)) for guid in GROUPS])
    phone = Phone()
    phone.apply(told(page_of(entities, entities)))
    assert phone.entities.ever_flagged == set()
    assert len(phone.everything()) == len(GROUPS)


def test_group_without_data_is_no_duplicate_of_everybody_with_a_hyphen() -> None:
    entities = state_after(
        [
            event("create-individual", "ann", {"name": "Marie-Claire"}),
            event("create-group", "camp", {"members": [{"guid": "ben", "name": "Al-Hassan"}]}),
        ]
    )
    phone = Phone()
    phone.apply(told(page_of(entities, entities)))
    assert phone.entities.ever_flagged == set()


def test_events_of_types_with_appliers_of_the_app_follow_as_they_were_pushed() -> None:
    custom = event("immunised", "ann", {"vaccine": "BCG"}, guid="pushed by somebody")
    last = told(Page([Entity("ann", state=LIVE, data={"name": "Ann"})], custom=[custom]))[-1]
    assert (last["guid"], last["type"], last["data"]) == ("pushed by somebody", "immunised", {"vaccine": "BCG"})
    assert position_of(last["timestamp"]) == 7


def test_carriers_have_names_that_nobody_has() -> None:
    named = [each for each in told(Page([Entity("ann", state=LIVE, data={"name": "Ann"})])) if "name" in each["data"]]
    assert {each["data"]["name"] for each in named} == {PEOPLE_CARRIER, GROUP_CARRIER}
