from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.model import read_config
from server.app_configs.seeds import seed_events
from server.kit.clock import parse_iso, to_ms
from server.sync.event import Event
from server.sync.fold import Entity, fold
from server.sync.intake import read_event
from tests.server.app_configs.configs import SAMPLE, config, seeds

AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

VILLAGE = config(
    entityForms=[
        {"name": "village", "title": "Village"},
        {"name": "household", "title": "Household", "dependsOn": "village"},
        {"name": "person", "title": "Person", "dependsOn": "household"},
    ],
    entityData=[
        seeds(
            "person", {"id": "p1", "parentId": "h1", "firstName": "Ama", "type": "head"}, {"parentId": "h1", "age": 7}
        ),
        seeds("household", {"id": "h1", "name": "Boateng", "parentId": "v1", "type": "farm"}),
        seeds("village", {"id": "v1", "name": "Donphou", "externalId": "V-1"}),
    ],
)


def events_of(document: dict[str, Any], at: datetime = AT) -> list[dict[str, Any]]:
    return seed_events(read_config(document), at=at, user_id="admin")


def folded(events: list[dict[str, Any]]) -> dict[str, Entity]:
    read = [read_event(event, arrival_ms=to_ms(AT), tolerance=timedelta(0)) for event in events]
    entities: dict[str, Entity] = {}
    outcomes = fold(entities, [event for event in read if isinstance(event, Event)]).outcomes
    assert {outcomes[event["guid"]].kind for event in events} <= {"applied"}
    return entities


def test_rows_become_entities_in_their_groups() -> None:
    entities = folded(events_of(VILLAGE))
    village, household, person = entities["v1"], entities["h1"], entities["p1"]
    (child,) = set(entities) - {"v1", "h1", "p1"}
    assert (village.type, household.type, person.type, entities[child].type) == (
        "group",
        "group",
        "individual",
        "individual",
    )
    assert village.member_ids == ["h1"]
    assert sorted(household.member_ids) == sorted(["p1", child])
    assert (village.external_id, village.entity_name, household.entity_name) == ("V-1", "village", "household")
    assert person.data == {
        "parentId": "h1",
        "parentGuid": "h1",
        "firstName": "Ama",
        "type": "head",
        "entityName": "person",
        "name": "Ama",
    }
    assert household.data["type"] == "farm"


def test_name_is_the_rows_own_or_its_first_text_or_the_forms_title() -> None:
    rows: list[dict[str, Any]] = [{"name": "Own"}, {"name": 7}, {"name": " ", "a": 5, "b": "First"}, {"age": 5}, {}]
    events = events_of(config(entityData=[seeds("person", *rows)]))
    assert [event["data"]["name"] for event in events] == ["Own", "7", "First", "Person", "Person"]


def test_each_event_has_the_keys_of_the_wire() -> None:
    for event in events_of(VILLAGE):
        assert set(event) == {"guid", "entityGuid", "type", "data", "timestamp", "userId", "syncLevel"}
        assert event["userId"] == "admin"
        assert event["syncLevel"] == 1


def test_parents_come_first_and_the_last_event_is_now() -> None:
    events = events_of(VILLAGE)
    assert [event["entityGuid"] for event in events][:3] == ["v1", "h1", "p1"]
    assert [event["type"] for event in events] == [
        "create-group",
        "create-group",
        "create-individual",
        "create-individual",
        "add-member",
        "add-member",
        "add-member",
    ]
    times = [parse_iso(event["timestamp"]) for event in events]
    assert times[-1] == AT
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(milliseconds=1)}


def test_seeds_of_the_sample_become_groups() -> None:
    events = events_of(SAMPLE)
    assert {event["type"] for event in events} == {"create-group"}
    assert {event["data"]["name"] for event in events} == {row["name"] for row in SAMPLE["entityData"][0]["data"]}


def test_config_without_seeds_makes_no_events() -> None:
    assert events_of(config()) == []


def test_row_that_is_a_parent_is_a_group_whatever_its_form() -> None:
    events = events_of(config(entityData=[seeds("person", {"id": "a"}, {"id": "b", "parentId": "a"})]))
    assert [event["type"] for event in events] == ["create-group", "create-individual", "add-member"]


def test_row_that_becomes_a_parent_later_is_not_created_again() -> None:
    before = events_of(config(entityData=[seeds("person", {"id": "a"})]))
    after = events_of(config(entityData=[seeds("person", {"id": "a"}, {"id": "b", "parentId": "a"})]))
    assert before[0]["guid"] == after[0]["guid"]


def test_row_can_join_a_parent_of_an_earlier_version() -> None:
    before = config(entityData=[seeds("household", {"id": "h1", "name": "Boateng"})])
    added = config(entityData=[seeds("person", {"id": "p1", "parentId": "h1"}, {"parentId": "h1", "age": 7})])
    later = seed_events(read_config(added, known_rows={"h1"}), at=AT, user_id="admin")
    entities = folded([*events_of(before, AT - timedelta(days=1)), *later])
    assert len(entities["h1"].member_ids) == 2


def test_chain_of_many_parents_is_no_trouble() -> None:
    rows = [{"id": str(i), "parentId": str(i + 1) if i < 4999 else None} for i in range(5000)]
    events = events_of(config(entityData=[seeds("household", *rows)]))
    assert [event["entityGuid"] for event in events[:5000]] == [str(i) for i in reversed(range(5000))]


values = st.none() | st.integers(0, 2) | st.sampled_from(["", "Ann", "Bo"])
free_rows = st.dictionaries(st.sampled_from(["name", "age", "id"]), values).map(
    lambda row: {key: value for key, value in row.items() if key != "id" or value in (None, "")}
)


@given(st.lists(free_rows, max_size=8), st.lists(free_rows, max_size=8))
def test_second_upload_adds_only_what_is_new(first: list[dict[str, Any]], added: list[dict[str, Any]]) -> None:
    before = events_of(config(entityData=[seeds("person", *first)]))
    later = events_of(config(name="Changed", entityData=[seeds("person", *first, *added)]), at=AT + timedelta(days=1))
    guids = [event["guid"] for event in later]
    assert len(set(guids)) == len(first) + len(added)
    assert {event["guid"] for event in before} <= set(guids)


@given(st.permutations(VILLAGE["entityData"]))
def test_order_of_the_sections_does_not_change_what_is_made(sections: list[dict[str, Any]]) -> None:
    made = {event["guid"]: (event["type"], event["data"]) for event in events_of(VILLAGE)}
    again = {event["guid"]: (event["type"], event["data"]) for event in events_of({**VILLAGE, "entityData": sections})}
    assert made == again
