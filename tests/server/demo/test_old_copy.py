from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.demo.forms import Data
from server.demo.old_copy import GROUP, INDIVIDUAL, OldCopy
from server.sync.fold import DELETED, LIVE, Entity
from server.sync.old_clients.page import Page, page_events


def event(type_: str, guid: str, **data: Any) -> Data:
    return {"type": type_, "entityGuid": guid, "data": data}


def entry(guid: str, **fields: Any) -> Data:
    return {"guid": guid, "name": guid.upper(), **fields}


@pytest.fixture
def copy() -> OldCopy:
    copy = OldCopy()
    family = entry("inner", type="group", members=[entry("child")])
    copy.apply(event("create-group", "home", name="Home", members=[entry("ann"), family]))
    return copy


def test_group_brings_its_members_at_every_depth(copy: OldCopy) -> None:
    assert copy["home"].members == ["ann", "inner"]
    assert copy["inner"].members == ["child"]
    assert (copy["child"].type, copy["child"].data) == (INDIVIDUAL, {"name": "CHILD"})
    assert "members" not in copy["home"].data
    assert sorted(record.type for record in copy) == [GROUP, GROUP, INDIVIDUAL, INDIVIDUAL]


def test_update_changes_the_fields_it_names_and_adds_the_members_it_lists(copy: OldCopy) -> None:
    copy.apply(event("update-group", "home", village="Naxai", members=[entry("ben")]))
    assert copy["home"].data == {"name": "Home", "village": "Naxai"}
    assert copy["home"].members == ["ann", "inner", "ben"]


def test_member_that_is_listed_again_is_written_anew(copy: OldCopy) -> None:
    copy.apply(event("update-individual", "ann", phone="1"))
    copy.apply(event("update-group", "home", members=[entry("ann", age=3), entry("inner", type="group")]))
    assert copy["ann"].data == {"name": "ANN", "age": 3}
    assert copy["inner"].members == []
    assert copy["home"].members == ["ann", "inner"]


def test_removed_person_stays_and_removed_group_goes_with_all_below_it(copy: OldCopy) -> None:
    copy.apply(event("remove-member", "home", memberId="ann"))
    copy.apply(event("remove-member", "home", memberId="inner"))
    assert {record.guid for record in copy} == {"home", "ann"}
    assert copy["home"].members == []


def test_deleted_group_takes_its_members_along(copy: OldCopy) -> None:
    copy.apply(event("delete-entity", "home", name="Home"))
    assert len(copy) == 0


def test_settled_duplicate_goes_when_it_should(copy: OldCopy) -> None:
    pairs = [{"entityGuid": "ann", "duplicateGuid": "child"}]
    copy.apply(event("resolve-duplicate", "ann", duplicates=pairs, shouldDelete=False))
    assert "ann" in copy
    copy.apply(event("resolve-duplicate", "ann", duplicates=pairs, shouldDelete=True))
    assert "ann" not in copy


def test_what_cannot_be_applied_is_told(copy: OldCopy) -> None:
    with pytest.raises(ValueError, match="no group"):
        copy.apply(event("add-member", "ann", members=[entry("ben")]))
    with pytest.raises(ValueError, match="dance"):
        copy.apply(event("dance", "ann", name="Ann"))


@st.composite
def records(draw: st.DrawFn) -> dict[str, Entity]:
    """Entities whose groups hold only entities after them, each at most once."""
    guids = [f"e{index}" for index in range(draw(st.integers(1, 8)))]
    free, entities = list(guids[1:]), {}
    for guid in guids:
        state = draw(st.sampled_from([LIVE, LIVE, DELETED]))
        is_group = state == LIVE and draw(st.booleans())
        later = [each for each in free if each > guid]
        members = draw(st.lists(st.sampled_from(later), unique=True, max_size=3)) if is_group and later else []
        free = [each for each in free if each not in members]
        type_ = GROUP if is_group else INDIVIDUAL
        data = {"name": guid, "n": draw(st.integers(0, 3))} if state == LIVE else {}
        entities[guid] = Entity(guid, state=state, type=type_, name=guid, data=data, member_ids=sorted(members))
    return entities


def shown(copy: OldCopy) -> dict[str, tuple[Any, set[str]]]:
    plain = {record.guid: {k: v for k, v in record.data.items() if k != "type"} for record in copy}
    return {record.guid: (plain[record.guid], set(record.members)) for record in copy}


def page_of(entities: dict[str, Entity]) -> list[Data]:
    live = {guid: entity for guid, entity in entities.items() if entity.state == LIVE}
    return page_events(Page(list(entities.values()), below=live), position=7, key=b"key")


@given(before=records(), after=records())
def test_served_page_brings_the_copy_to_the_servers_state_whatever_it_held(
    before: dict[str, Entity], after: dict[str, Entity]
) -> None:
    copy = OldCopy()
    for event_ in page_of(before):
        copy.apply(event_)
    gone = {guid: Entity(guid, state=DELETED) for guid in before if guid not in after}
    for event_ in page_of({**gone, **after}):
        copy.apply(event_)
    live = {guid: entity for guid, entity in after.items() if entity.state == LIVE}
    expected = {
        guid: (entity.data, {member for member in entity.member_ids if member in live}) for guid, entity in live.items()
    }
    assert shown(copy) == expected
