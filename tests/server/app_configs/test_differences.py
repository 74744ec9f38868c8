import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.differences import LONGEST, MOST_PLACES, differences

MASK = "••••••••"


def form(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": name.title(), "formio": {"components": []}, **more}


def config(**more: Any) -> dict[str, Any]:
    return {"id": "north", "name": "North", "entityForms": [form("household"), form("individual")], **more}


def test_the_same_config_has_no_differences() -> None:
    same = differences(config(), config())
    assert (same.before, same.after, same.more) == ({}, {}, 0)


def test_changed_value_is_told_with_its_place_before_and_after() -> None:
    changed = differences(config(), config(name="South", version="2"))
    assert changed.before == {"name": "North"}
    assert changed.after == {"name": "South", "version": "2"}


def test_forms_and_fields_are_known_by_their_names_and_not_by_their_order() -> None:
    fields = {"components": [{"key": "age", "type": "number"}, {"key": "sex", "type": "radio"}]}
    before = config(entityForms=[form("household"), form("individual", formio=fields)])
    other = {"components": [{"key": "sex", "type": "select"}, {"key": "age", "type": "number"}]}
    after = config(entityForms=[form("individual", formio=other), form("household")])
    changed = differences(before, after)
    place = "entityForms[individual].formio.components[sex].type"
    assert (changed.before, changed.after) == ({place: "radio"}, {place: "select"})


def test_form_that_is_new_or_gone_stands_on_one_side() -> None:
    changed = differences(config(), config(entityForms=[form("household"), form("school")]))
    assert changed.before["entityForms[individual].name"] == "individual"
    assert changed.after["entityForms[school].name"] == "school"
    assert not changed.before.keys() & changed.after.keys()


def test_secret_that_changed_is_told_masked() -> None:
    before = config(externalSync={"type": "x", "url": "https://a.example", "apiKey": "hunter2"})
    after = config(externalSync={"type": "x", "url": "https://a.example", "apiKey": "hunter3"})
    changed = differences(before, after)
    assert (changed.before, changed.after) == ({"externalSync.apiKey": MASK}, {"externalSync.apiKey": MASK})


def test_of_seed_data_only_the_number_of_rows_is_told() -> None:
    before = config(entityData=[{"name": "household", "data": [{"id": "1", "name": "Okonkwo"}]}])
    after = config(entityData=[{"name": "household", "data": [{"id": "1", "name": "Mwangi"}, {"id": "2"}]}])
    changed = differences(before, after)
    assert (changed.before, changed.after) == (
        {"entityData[household]": {"rows": 1}},
        {"entityData[household]": {"rows": 2}},
    )


def test_long_values_and_many_places_are_cut() -> None:
    many = {f"key{number}": "x" * (LONGEST + 1) for number in range(MOST_PLACES + 5)}
    changed = differences(config(), config(many=many))
    assert len(changed.after) == MOST_PLACES
    assert changed.more == 5
    assert {len(value) for value in changed.after.values()} == {LONGEST + 1}


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "hunter2"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "key", "password", "url"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3))
def test_any_change_is_told_and_nothing_else(before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = differences(before, after)
    assert (changed.before, changed.after) == (differences(after, before).after, differences(after, before).before)
    if json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True):
        assert not changed.before
        assert not changed.after
    elif not (has_list(before) or has_list(after)):
        assert changed.before or changed.after


def has_list(value: Any) -> bool:
    """Elements of a list are known by their names: in another order it says the same."""
    if isinstance(value, dict):
        return any(has_list(inner) for inner in value.values())
    return isinstance(value, list)
