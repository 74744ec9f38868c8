from typing import Any

import pytest

from server.app_configs.secrets import MASK
from server.app_configs.versions import patch, replace
from server.kit.problem import Problem
from tests.server.app_configs.configs import config, seeds

SYNC = {"type": "openspp", "url": "https://registry.example.org", "password": "hunter2"}
STORED = config(
    description="Census",
    url="https://north.example.org",
    externalSync=SYNC,
    entityData=[seeds("person", {"name": "Ann"})],
)


def code_of(problem: pytest.ExceptionInfo[Problem]) -> str:
    return problem.value.code


def test_replacing_forgets_what_the_upload_does_not_have() -> None:
    replaced = replace(STORED, config(name="New"))
    assert (replaced.name, replaced.description, replaced.seeds) == ("New", "", ())
    assert replaced.document["externalSync"] == {}


def test_replacing_keeps_masked_secrets() -> None:
    assert replace(STORED, config(externalSync={**SYNC, "password": MASK})).document["externalSync"] == SYNC


def test_mask_in_a_first_upload_is_refused() -> None:
    with pytest.raises(Problem) as raised:
        replace(None, config(externalSync={**SYNC, "password": MASK}))
    assert code_of(raised) == "app-configs.mask-without-secret"


def test_patching_keeps_absent_keys() -> None:
    patched = patch(STORED, {"id": "north", "name": "Renamed"})
    assert patched.name == "Renamed"
    assert patched.document == {**STORED, "name": "Renamed", "authConfigs": []}


def test_patching_with_null_removes_a_key() -> None:
    patched = patch(STORED, {"id": "north", "description": None, "entityData": None, "externalSync": None})
    assert "description" not in patched.document
    assert (patched.seeds, patched.document["externalSync"]) == ((), {})


def test_patching_a_required_key_with_null_is_refused() -> None:
    with pytest.raises(Problem) as raised:
        patch(STORED, {"id": "north", "name": None})
    assert [error.path for error in raised.value.errors] == ["name"]


def test_patching_replaces_a_section_whole_and_keeps_its_masked_secrets() -> None:
    patched = patch(STORED, {"externalSync": {"type": "openspp", "url": SYNC["url"], "password": MASK, "batch": 5}})
    assert patched.document["externalSync"] == {**SYNC, "batch": 5}


def test_form_keeps_what_the_upload_does_not_say_of_it() -> None:
    roles = ["nurse"]
    stored = config()
    stored["entityForms"][1] |= {"roles": roles, "icon": "face"}
    form = {"name": "person", "title": "People", "dependsOn": "household", "icon": None}
    new = {"name": "farm", "title": None}
    patched = patch(stored, {"entityForms": [form, {"name": "household"}, new]}).document["entityForms"]
    assert patched == [
        {"name": "person", "title": "People", "dependsOn": "household", "formio": {}, "roles": roles},
        {"name": "household", "title": "Household", "formio": {}},
        {"name": "farm", "title": "farm", "formio": {}},
    ]


def test_form_that_is_not_in_the_upload_is_removed() -> None:
    patched = patch(STORED, {"entityForms": [{"name": "person", "dependsOn": None}]})
    assert [form["name"] for form in patched.document["entityForms"]] == ["person"]


@pytest.mark.parametrize("forms", [["person"], [{}], [{"name": ["person"]}], [{"name": None}], {}])
def test_forms_that_are_none_are_refused(forms: Any) -> None:
    with pytest.raises(Problem) as raised:
        patch(config(), {"entityForms": forms})
    assert raised.value.errors[0].path.startswith("entityForms")


def test_patching_only_the_address_that_a_kept_secret_relies_on_is_refused() -> None:
    stored = config(hookUrl="https://a.example.org", hook={"token": "t"})
    with pytest.raises(Problem) as raised:
        patch(stored, {"hookUrl": "https://evil.example.org"})
    assert [error.path for error in raised.value.errors] == ["hook.token"]


@pytest.mark.parametrize("uploaded", [None, [], "x"])
def test_upload_that_is_no_object_is_refused(uploaded: Any) -> None:
    for make in (replace, patch):
        with pytest.raises(Problem) as raised:
            make(STORED, uploaded)
        assert code_of(raised) == "app-configs.invalid"
