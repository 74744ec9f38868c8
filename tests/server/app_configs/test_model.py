from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.model import DuplicateRule, Form, SeedRow, read_config, read_stored
from server.app_configs.shape import MOST_ROWS
from server.kit.problem import MOST_TOLD, Problem
from tests.server.app_configs.configs import SAMPLE, config, json_values, seeds


def errors_of(document: Any) -> dict[str, str]:
    with pytest.raises(Problem) as raised:
        read_config(document)
    assert (raised.value.code, raised.value.status) == ("app-configs.invalid", 422)
    return {error.path: error.message for error in raised.value.errors}


def test_the_sample_config_of_the_field_is_valid() -> None:
    sample = read_config(SAMPLE)
    assert [form.name for form in sample.forms] == ["apg", "cropActivity", "household", "individual"]
    assert [row.fields["name"] for row in sample.seeds] == [row["name"] for row in SAMPLE["entityData"][0]["data"]]
    assert sample.document == {**SAMPLE, "authConfigs": []}


def test_a_config_is_read_into_its_parts() -> None:
    read = read_config(
        config(
            description="Census",
            version="2",
            url="https://north.example.org",
            entityData=[seeds("household", {"id": "h1", "village": "Nahor"}), seeds("person", {"parentId": "h1"})],
            duplicates={"rules": [{"form": "person", "fields": ["name", "born"]}], "blockSync": True},
            customEventTypes=["vaccinate"],
        )
    )
    assert (read.id, read.name, read.description, read.version) == ("north", "North", "Census", "2")
    assert read.url == "https://north.example.org"
    assert read.forms == (Form("household", "Household", None), Form("person", "Person", "household"))
    assert read.seeds == (
        SeedRow("household", "h1", None, {"id": "h1", "village": "Nahor"}),
        SeedRow("person", None, "h1", {"parentId": "h1"}),
    )
    assert read.duplicates.rules == (DuplicateRule("person", ("name", "born")),)
    assert read.duplicates.block_sync
    assert read.custom_event_types == ("vaccinate",)


@pytest.mark.parametrize("absent", [{}, {"externalSync": None, "authConfigs": None, "entityData": None}])
def test_absent_and_null_sections_become_empty_ones(absent: dict[str, Any]) -> None:
    document = read_config(config(**absent)).document
    assert (document["externalSync"], document["authConfigs"], document["entityData"]) == ({}, [], [])


@pytest.mark.parametrize(("given_version", "version"), [(3, "3"), (1.5, "1.5"), ("1.0.0", "1.0.0"), (None, "")])
def test_version_is_read_as_text(given_version: Any, version: str) -> None:
    assert read_config(config(version=given_version)).version == version


def test_unknown_keys_are_kept_at_every_level() -> None:
    document = config(theme={"color": "red"}, externalSync={"type": "openspp", "batch": 5})
    document["entityForms"][0]["icon"] = "house"
    kept = read_config(document).document
    assert kept["theme"] == {"color": "red"}
    assert kept["externalSync"]["batch"] == 5
    assert kept["entityForms"][0]["icon"] == "house"


def test_what_the_server_adds_to_an_answer_is_not_stored_when_it_comes_back() -> None:
    document = read_config(config(artifactId="a1", syncServerUrl="https://old.example.org")).document
    assert "artifactId" not in document
    assert "syncServerUrl" not in document


def test_the_document_that_was_given_is_not_changed() -> None:
    given_document = config(version=1, externalSync=None)
    del given_document["entityForms"][0]["title"]
    read_config(given_document)
    assert given_document["version"] == 1
    assert given_document["externalSync"] is None
    assert "title" not in given_document["entityForms"][0]


@pytest.mark.parametrize(
    "external_sync",
    [
        {"type": "openfn", "url": "https://openfn.example.org", "extraFields": [{"name": "apiKey", "value": "x"}]},
        {"type": "mock", "auth": "basic", "url": "http://mock:5000", "credentials": {"username": "u", "password": "p"}},
        {"type": "mock", "auth": "", "url": "http://mock:5000", "extraFields": {}},
    ],
)
def test_external_sync_is_read_in_each_form_it_is_met_in(external_sync: dict[str, Any]) -> None:
    assert read_config(config(externalSync=external_sync)).document["externalSync"] == external_sync


def test_absent_duplicate_rules_are_told_from_an_empty_list_of_them() -> None:
    assert read_config(config()).duplicates.rules is None
    assert read_config(config(duplicates={"rules": []})).duplicates.rules == ()


@pytest.mark.parametrize("config_id", ["North", "a-b", "a_b", "9", "A" * 200])
def test_ids_of_the_contract_are_good(config_id: str) -> None:
    assert read_config(config(id=config_id)).id == config_id


@pytest.mark.parametrize("config_id", ["", "-a", "_a", "a b", "a/b", "é", "a\n", "A" * 201, None, 5])
def test_other_ids_are_refused(config_id: Any) -> None:
    assert list(errors_of(config(id=config_id))) == ["id"]


@pytest.mark.parametrize(
    ("parts", "path", "message"),
    [
        ({"name": " "}, "name", "must not be empty"),
        ({"name": None}, "name", "must be a string"),
        ({"version": True}, "version", "must be a string"),
        ({"entityForms": {}}, "entityForms", "must be a list"),
        ({"entityForms": [{"title": "A"}]}, "entityForms[0].name", "is missing"),
        ({"entityForms": [{"name": "a", "formio": []}]}, "entityForms[0].formio", "must be an object"),
        ({"entityForms": ["a"]}, "entityForms[0]", "must be an object"),
        ({"entityData": [{"name": "person", "data": {}}]}, "entityData[0].data", "must be a list"),
        ({"entityData": [seeds("person", {"id": True})]}, "entityData[0].data[0].id", "must be a string"),
        ({"externalSync": "openspp"}, "externalSync", "must be an object"),
        ({"externalSync": {"url": 5}}, "externalSync.url", "must be a string"),
        ({"externalSync": {"extraFields": [{"value": 1}]}}, "externalSync.extraFields[0].name", "is missing"),
        ({"authConfigs": {}}, "authConfigs", "must be a list"),
        ({"authConfigs": [{"fields": {}}]}, "authConfigs[0].type", "is missing"),
        ({"authConfigs": [{"type": "auth0", "fields": []}]}, "authConfigs[0].fields", "must be an object"),
        ({"duplicates": {"blockSync": "yes"}}, "duplicates.blockSync", "must be true or false"),
        (
            {"duplicates": {"rules": [{"form": "person", "fields": []}]}},
            "duplicates.rules[0].fields",
            "must not be empty",
        ),
        ({"customEventTypes": "vaccinate"}, "customEventTypes", "must be a list"),
        ({"customEventTypes": ["x" * 65]}, "customEventTypes[0]", "must have at most 64 characters"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(parts: dict[str, Any], path: str, message: str) -> None:
    assert errors_of(config(**parts)) == {path: message}


@pytest.mark.parametrize("document", [None, [], "config", 5])
def test_a_document_that_is_no_object_is_refused(document: Any) -> None:
    assert errors_of(document) == {"": "must be an object"}


def test_number_as_the_id_of_a_row_is_taken_as_its_text() -> None:
    rows = [seeds("household", {"id": 7}), seeds("person", {"id": 7.5, "parentId": 7})]
    read = read_config(config(entityData=rows))
    assert [(row.id, row.parent_id, row.fields["id"]) for row in read.seeds] == [("7", None, "7"), ("7.5", "7", "7.5")]
    twice = [seeds("household", {"id": 7}, {"id": "7"})]
    assert list(errors_of(config(entityData=twice))) == ["entityData[0].data[1].id"]


def test_parent_that_was_in_an_earlier_version_need_not_be_in_this_one() -> None:
    document = config(entityData=[seeds("person", {"id": "p1", "parentId": 7})])
    assert list(errors_of(document)) == ["entityData[0].data[0].parentId"]
    read = read_config(document, known_rows={"7"})
    assert read.seeds[0].parent_id == "7"
    assert read_stored(read.document) == read


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (config(entityForms=[{"name": "a", "dependsOn": "x"}]), "entityForms[0].dependsOn: there is no form 'x'"),
        ({"id": "north"}, "name: is missing"),
        ({"id": "-", "name": " ", "url": 5}, " (and 2 more)"),
        ([], "The config must be an object"),
    ],
)
def test_first_mistake_is_told_in_words_with_its_path(document: Any, told: str) -> None:
    problem = refusal_of(document)
    assert problem is not None
    assert told in problem.detail
    assert problem.document()["message"] == problem.detail


def test_long_name_makes_no_long_message() -> None:
    problem = refusal_of(config(entityForms=[{"name": "a", "dependsOn": "x" * 10_000}]))
    assert problem is not None
    assert len(problem.detail) < 400


def test_every_mistake_is_reported_at_once() -> None:
    errors = errors_of(
        {
            "id": "-x",
            "entityForms": [{"name": "a", "dependsOn": "nowhere"}, {"name": "a"}, {}],
            "entityData": [seeds("b", {"parentId": "c"})],
            "authConfigs": 5,
            "customEventTypes": ["add-member"],
        }
    )
    assert set(errors) == {
        "id",
        "name",
        "entityForms[0].dependsOn",
        "entityForms[1].name",
        "entityForms[2].name",
        "entityData[0].name",
        "entityData[0].data[0].parentId",
        "authConfigs",
        "customEventTypes[0]",
    }


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(config(entityData=1, authConfigs=1, duplicates=1), json_values))
)
def test_any_document_is_either_read_or_refused_with_paths(document: dict[str, Any]) -> None:
    refused = refusal_of(document)
    if refused is None:
        normal = read_config(document)
        assert read_config(normal.document) == normal
    else:
        assert refused.errors
        assert all(error.message for error in refused.errors)


def refusal_of(document: Any) -> Problem | None:
    try:
        read_config(document)
    except Problem as problem:
        return problem
    return None


def test_many_mistakes_are_counted_and_the_first_are_named() -> None:
    with pytest.raises(Problem) as refused:
        read_config(config(entityForms=[0] * 1_000))
    assert len(refused.value.errors) == MOST_TOLD
    assert refused.value.detail == "entityForms[0]: must be an object (and 999 more)"


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"entityForms": [0] * 1_500_000}, "entityForms"),
        ({"entityForms": [{"name": "a", "roles": ["r"] * 101}]}, "entityForms[0].roles"),
        ({"entityData": [0] * 1_001}, "entityData"),
        ({"entityData": [seeds("a"), {"name": "a", "data": [0] * (MOST_ROWS + 1)}]}, "entityData[1].data"),
        ({"entityData": [{"name": "a", "data": [{}] * (MOST_ROWS // 2 + 1)}] * 2}, "entityData"),
        ({"externalSync": {"extraFields": [0] * 201}}, "externalSync.extraFields"),
        ({"authConfigs": [{"type": "keycloak"}] * 51}, "authConfigs"),
        ({"duplicates": {"rules": [0] * 201}}, "duplicates.rules"),
        ({"duplicates": {"rules": [{"form": "person", "fields": ["a"] * 51}]}}, "duplicates.rules[0].fields"),
        ({"customEventTypes": [""] * 1_000_000}, "customEventTypes"),
    ],
)
def test_list_that_is_too_long_is_the_only_mistake_that_is_told(parts: dict[str, Any], path: str) -> None:
    errors = errors_of(config(**parts))
    assert list(errors) == [path]
    assert "at most" in errors[path]


def test_list_may_be_as_long_as_is_told() -> None:
    rows = [{"id": number} for number in range(MOST_ROWS)]
    assert len(read_config(config(entityData=[seeds("household", *rows)])).seeds) == MOST_ROWS


def test_stored_config_is_read_whatever_the_length_of_its_lists() -> None:
    forms = [{"name": f"form{number}"} for number in range(1_001)]
    assert len(read_stored(config(entityForms=forms)).forms) == 1_001


def test_rows_are_all_looked_at_and_named_by_their_places() -> None:
    sections = [seeds("household", {"id": "h1"}, 7, {"id": []}), {"name": "person", "data": {}}]  # type: ignore[arg-type]
    errors = errors_of(config(entityData=sections))
    assert errors["entityData[0].data[1]"] == "must be an object"
    assert errors["entityData[0].data[2].id"] == "must be a string"
    assert errors["entityData[1].data"] == "must be a list"
