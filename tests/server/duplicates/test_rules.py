"""The keys of records."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.duplicates.rules import DEFAULT_RULES, Rule, keys_of, rules_from

FORM = "individual"


def matched_by(one: dict[str, Any], other: dict[str, Any], rules: tuple[Rule, ...] = DEFAULT_RULES) -> set[str]:
    """The labels of the rules under which two records of one form share a key."""
    keys = [keys_of(FORM, data.get("name", ""), data, rules) for data in (one, other)]
    return {key.rule for key in keys[0] & keys[1]}


def test_name_and_birth_match_however_the_fields_are_called() -> None:
    one = {"name": "Fatuma Hassan", "dateOfBirth": "1990-03-17"}
    assert matched_by(one, {"full_name": "HASSAN Fatuma", "name": "", "dob": "17/03/1990"}) == {"name + dateOfBirth"}
    assert matched_by(one, {"first_name": "Fatuma", "last_name": "Hassan", "birthdate": "1990-03-17"}) == {
        "name + dateOfBirth"
    }
    assert matched_by(one, {"givenName": "Fatuma", "Family Name": "Hassan", "Date of birth": "1990-03-17"})


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Fatuma Hassan"},
        {"name": "Fatuma Hassan", "dateOfBirth": ""},
        {"name": "Fatuma Hassan", "dateOfBirth": "1990-03-18"},
        {"name": "Fatuma Husain", "dateOfBirth": "1990-03-17"},
        {"dateOfBirth": "1990-03-17"},
        {"firstName": "Fatuma", "dateOfBirth": "1990-03-17"},
    ],
)
def test_name_or_birth_alone_match_nobody(other: dict[str, Any]) -> None:
    assert matched_by({"name": "Fatuma Hassan", "dateOfBirth": "1990-03-17"}, other) == set()


def test_id_and_phone_match_by_themselves() -> None:
    one = {"name": "A", "nationalId": "A 1234567", "phone": "+254700123456"}
    other = {"name": "B", "id_number": "a1234567", "mobile": "0700 123 456"}
    assert matched_by(one, other) == {"nationalId", "phone"}


def test_value_in_one_field_does_not_match_the_same_in_another() -> None:
    assert matched_by({"phone": "700123456"}, {"nationalId": "700123456"}) == set()


def test_records_of_different_forms_share_no_key() -> None:
    data = {"name": "Camp", "phone": "700123456"}
    assert not keys_of("household", "Camp", data, DEFAULT_RULES) & keys_of("individual", "Camp", data, DEFAULT_RULES)


def test_configured_rule_holds_for_its_form_alone_and_needs_all_of_its_fields() -> None:
    rules = rules_from(json.dumps({"rules": [{"form": FORM, "fields": ["village", "plot"]}], "blockSync": False}))
    one = {"village": "San José", "plot": 12, "phone": "700123456"}
    assert matched_by(one, {"village": "san jose", "plot": "12", "phone": "700123456"}, rules) == {"village + plot"}
    assert matched_by(one, {"village": "san jose"}, rules) == set()
    assert keys_of("household", "", one, rules) == set()


def test_configured_field_is_compared_as_what_its_name_says_it_is() -> None:
    rules = (Rule("dob + phone", FORM, ("dob", "phone")),)
    assert matched_by(
        {"dob": "1990-03-17", "phone": "+254700123456"}, {"dob": "17.03.1990", "phone": "0700123456"}, rules
    )


@pytest.mark.parametrize("setting", [None, "{}", '{"rules": null, "blockSync": true}'])
def test_default_rules_hold_where_none_are_named(setting: str | None) -> None:
    assert rules_from(setting) == DEFAULT_RULES


def test_empty_list_of_rules_asks_for_none() -> None:
    assert rules_from('{"rules": []}') == ()


fields = st.sampled_from(["name", "firstName", "lastName", "dob", "dateOfBirth", "nationalId", "phone", "village"])
scalars = st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers()))


@given(data=st.dictionaries(st.one_of(fields, st.text()), scalars), name=st.text())
def test_any_record_has_few_keys_that_the_database_can_hold(data: dict[str, Any], name: str) -> None:
    keys = keys_of(FORM, name, data, DEFAULT_RULES)
    assert keys == keys_of(FORM, name, dict(reversed(data.items())), DEFAULT_RULES)
    assert len(keys) <= 4
    assert all(-(2**63) <= key.value < 2**63 for key in keys)
