"""What a device shows on top of what the server gave, against the server's own fold."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.device import Entity, Event
from server.device.overlay import Overlay
from server.sync.event import Event as LoggedEvent
from server.sync.fold import fold

GUIDS = ["a", "b", "c", "d"]
guids = st.sampled_from(GUIDS)
fields = st.dictionaries(
    st.sampled_from(["name", "phone", "externalId", "entityName"]), st.sampled_from(["1", "2", 3, ""])
)


def entries(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    person = st.builds(lambda guid, more: {"guid": guid, **more}, guids, fields)
    if not depth:
        return person
    group = st.builds(
        lambda guid, more, members: {"guid": guid, "type": "group", **more, "members": members},
        guids,
        fields,
        st.lists(entries(depth - 1), max_size=2),
    )
    return person | group


def with_members(data: dict[str, Any], members: list[dict[str, Any]]) -> dict[str, Any]:
    return {**data, "members": members} if members else {**data, "n": 1}


steps = st.one_of(
    st.tuples(
        st.sampled_from(["create-individual", "update-individual"]), guids, fields.map(lambda data: {**data, "n": 1})
    ),
    st.tuples(
        st.sampled_from(["create-group", "update-group"]),
        guids,
        st.builds(with_members, fields, st.lists(entries(1), max_size=2)),
    ),
    st.tuples(st.just("add-member"), guids, entries(1).map(lambda entry: {"members": [entry]})),
    st.tuples(st.just("remove-member"), guids, guids.map(lambda guid: {"memberId": guid})),
    st.tuples(st.just("delete-entity"), guids, st.just({"n": 1})),
    st.tuples(
        st.just("resolve-duplicate"),
        guids,
        st.booleans().map(lambda b: {"duplicates": [{"entityGuid": "a", "duplicateGuid": "b"}], "shouldDelete": b}),
    ),
    st.tuples(st.just("visit"), guids, st.just({"n": 1})),
)


def event(number: int, step: tuple[str, str, dict[str, Any]], seq: int | None = None) -> Event:
    type_, guid, data = step
    return Event(
        guid=f"e{number:03}",
        entity_guid=guid,
        type=type_,
        data=data,
        timestamp=f"2026-01-31T08:15:00.{number:03}Z",
        user_id="7",
        seq=seq,
    )


def logged(number: int, step: tuple[str, str, dict[str, Any]]) -> LoggedEvent:
    type_, guid, data = step
    return LoggedEvent(f"e{number:03}", guid, type_, data, "", number, number, "7")


def folded(run: list[tuple[str, str, dict[str, Any]]]) -> dict[str, tuple[Any, ...]]:
    """What the server makes of events that come one after the other."""
    entities: dict[str, Any] = {}
    for number, step in enumerate(run):
        fold(entities, [logged(number, step)])
    return {
        guid: (each.type, each.name, each.entity_name, each.external_id, each.data, each.member_ids, each.parent_ids)
        for guid, each in entities.items()
        if each.state == "live"
    }


def shown(run: list[tuple[str, str, dict[str, Any]]]) -> dict[str, tuple[Any, ...]]:
    overlay = Overlay(Entity, numbers_count=True)
    for number, step in enumerate(run):
        overlay.apply(event(number, step))
    return {
        guid: (each.type, each.name, each.form, each.external_id, each.data, each.member_ids, each.parent_ids)
        for guid, each in overlay.changed.items()
        if each.state == "live"
    }


CREATED = [
    (f"create-{kind}", guid, {"name": guid})
    for kind, guid in zip(["group", "group", "individual", "individual"], GUIDS, strict=True)
]


@given(st.lists(steps, max_size=12))
def test_field_work_on_what_exists_looks_as_the_server_will_have_it(run: list[tuple[str, str, dict[str, Any]]]) -> None:
    assert shown(CREATED + run) == folded(CREATED + run)


def test_event_that_the_server_has_counted_in_is_left_out() -> None:
    given_ = {"a": Entity("a", version=5, state="live", data={"phone": "theirs"})}
    overlay = Overlay(lambda guid: given_.get(guid, Entity(guid)), numbers_count=True)
    overlay.apply(event(1, ("update-individual", "a", {"phone": "mine"}), seq=5))
    assert given_["a"].data == {"phone": "theirs"}
    overlay.apply(event(2, ("update-individual", "a", {"phone": "mine"}), seq=6))
    assert given_["a"].data == {"phone": "mine"}


def test_numbers_of_another_log_leave_nothing_out() -> None:
    given_ = {"a": Entity("a", version=500, state="live")}
    overlay = Overlay(lambda guid: given_.get(guid, Entity(guid)), numbers_count=False)
    overlay.apply(event(1, ("update-individual", "a", {"phone": "mine"}), seq=5))
    assert given_["a"].data == {"phone": "mine"}
