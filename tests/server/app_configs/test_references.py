from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.references import BUILT_IN_EVENT_TYPES, parents_elsewhere, reference_errors
from server.sync.event import BUILT_IN
from tests.server.app_configs.configs import config, seeds


def errors_of(document: dict[str, Any]) -> dict[str, str]:
    return {error.path: error.message for error in reference_errors(document)}


def forms(**depends_on: str) -> list[dict[str, Any]]:
    return [{"name": name, "dependsOn": other} for name, other in depends_on.items()]


def test_form_that_depends_on_an_unknown_form_is_named() -> None:
    assert errors_of(config(entityForms=forms(a="", b="a", c="x"))) == {
        "entityForms[2].dependsOn": "there is no form 'x'"
    }


def test_circle_of_forms_is_drawn_once() -> None:
    assert errors_of(config(entityForms=forms(start="a", a="b", b="c", c="a"))) == {
        "entityForms[1].dependsOn": "the forms depend on each other: a → b → c → a"
    }


def test_form_that_depends_on_itself_is_a_circle() -> None:
    assert errors_of(config(entityForms=forms(a="a"))) == {
        "entityForms[0].dependsOn": "the forms depend on each other: a → a"
    }


def test_a_very_long_circle_is_not_drawn_whole() -> None:
    size = 50_000
    names = [f"f{number}" for number in range(size)]
    circle = [{"name": name, "dependsOn": names[(i + 1) % size]} for i, name in enumerate(names)]
    (message,) = errors_of(config(entityForms=circle)).values()
    assert len(message) < 300


@given(st.lists(st.integers(0, 7), min_size=8, max_size=8))
def test_forms_in_a_circle_are_found_and_no_others(successors: list[int]) -> None:
    document = config(entityForms=[{"name": str(i), "dependsOn": str(next_)} for i, next_ in enumerate(successors)])

    def comes_back(start: int) -> bool:
        place = successors[start]
        for _ in successors:
            if place == start:
                return True
            place = successors[place]
        return False

    drawn = [message.partition(": ")[2].split(" → ")[:-1] for message in errors_of(document).values()]
    assert sorted(name for circle in drawn for name in circle) == [str(i) for i in range(8) if comes_back(i)]


def test_form_names_and_ids_that_are_used_twice_are_named() -> None:
    document = config(entityForms=[{"name": "a", "id": "1"}, {"name": "a", "id": "2"}, {"name": "b", "id": "1"}])
    assert errors_of(document) == {
        "entityForms[1].name": "the form name 'a' is used already, at entityForms[0].name",
        "entityForms[2].id": "the form id '1' is used already, at entityForms[0].id",
    }


def test_seed_data_of_an_unknown_form_is_named() -> None:
    assert errors_of(config(entityData=[seeds("farm", {})])) == {"entityData[0].name": "there is no form 'farm'"}


def test_row_id_is_unique_across_all_forms() -> None:
    document = config(
        entityData=[seeds("household", {"id": "1"}), seeds("person", {"id": "1"}, {"id": ""}, {"id": ""})]
    )
    assert errors_of(document) == {
        "entityData[1].data[0].id": "the id '1' is used already, at entityData[0].data[0].id"
    }


def test_row_whose_parent_is_unknown_is_named() -> None:
    document = config(entityData=[seeds("person", {"id": "1", "parentId": "2"}, {"parentId": None})])
    assert errors_of(document) == {"entityData[0].data[0].parentId": "there is no row with the id '2'"}


def test_parents_that_are_no_rows_are_listed() -> None:
    rows = seeds("person", {"id": 1, "parentId": 2}, {"parentId": "1"}, {"parentId": "3"}, {"parentId": None}, {})
    assert parents_elsewhere(config(entityData=[rows])) == {"2", "3"}
    assert parents_elsewhere([]) == set()


def test_rows_that_are_each_others_parents_are_named() -> None:
    rows = seeds("household", {"id": "1", "parentId": "2"}, {"id": "2", "parentId": "1"}, {"id": "3", "parentId": "3"})
    assert errors_of(config(entityData=[rows])) == {
        "entityData[0].data[0].parentId": "the rows are each other's parents: 1 → 2 → 1",
        "entityData[0].data[2].parentId": "the rows are each other's parents: 3 → 3",
    }


def test_group_cannot_have_a_field_called_members() -> None:
    document = config(entityData=[seeds("household", {"members": 4}), seeds("person", {"members": 4})])
    assert list(errors_of(document)) == ["entityData[0].data[0].members"]


def test_duplicate_rule_of_an_unknown_form_is_named() -> None:
    document = config(duplicates={"rules": [{"form": "farm", "fields": ["name"]}]})
    assert errors_of(document) == {"duplicates.rules[0].form": "there is no form 'farm'"}


def test_custom_event_types_are_new_and_different() -> None:
    assert errors_of(config(customEventTypes=["visit", "delete-entity", "visit"])) == {
        "customEventTypes[1]": "'delete-entity' is a built-in event type",
        "customEventTypes[2]": "the event type 'visit' is used already, at customEventTypes[0]",
    }


def test_the_built_in_event_types_are_those_that_sync_knows() -> None:
    assert BUILT_IN_EVENT_TYPES == BUILT_IN


@pytest.mark.parametrize(
    "external_sync",
    [
        {"url": "https://user:hunter2@example.org"},
        {"url": "user:hunter2@example.org"},
        {"target": "https://example.org/hook?api_key=hunter2"},
        {"extraFields": [{"name": "hook", "value": "//example.org/#token=hunter2"}]},
    ],
)
def test_address_cannot_hold_a_password(external_sync: dict[str, Any]) -> None:
    (path,) = errors_of(config(externalSync=external_sync))
    assert path.startswith("externalSync.")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org:8443/a?page=2",
        "example.org",
        "http://[broken",
        "mailto:a@example.org",
        "https://u@example.org",
    ],
)
def test_address_without_a_password_is_good(url: str) -> None:
    assert errors_of(config(externalSync={"url": url})) == {}
