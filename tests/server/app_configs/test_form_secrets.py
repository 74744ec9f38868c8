from typing import Any

import pytest
from hypothesis import given

from server.app_configs.form_secrets import form_secret_errors
from tests.server.app_configs.configs import SAMPLE, config, json_values

MESSAGE = "a form is public: it must not hold a secret"


def errors_of(formio: Any) -> dict[str, str]:
    document = config(entityForms=[{"name": "person", "title": "Person", "formio": formio}])
    return {error.path.removeprefix("entityForms[0].formio."): error.message for error in form_secret_errors(document)}


@pytest.mark.parametrize(
    ("formio", "path"),
    [
        ({"data": {"headers": [{"key": "Authorization", "value": "abc"}]}}, "data.headers[0].value"),
        ({"headers": [{"name": "X-Api-Key", "value": "abc"}]}, "headers[0].value"),
        ({"headers": {"X-Auth-Token": "abc"}}, "headers.X-Auth-Token"),
        ({"components": [{"type": "hidden", "key": "apiKey", "defaultValue": "abc"}]}, "components[0].defaultValue"),
        ({"properties": {"clientSecret": "abc"}}, "properties.clientSecret"),
        ({"auth": "Bearer abc123"}, "auth"),
        ({"auth": "basic dXNlcjpwYXNz"}, "auth"),
        ({"custom": "send({Authorization: 'Bearer eyJhbGciOi.eyJzdWIi.c2ln'})"}, "custom"),
        ({"data": {"url": "https://user:hunter2@example.org"}}, "data.url"),
        ({"data": {"url": "https://example.org/?api_key=hunter2"}}, "data.url"),
    ],
)
def test_secret_in_a_form_is_named_by_its_path(formio: dict[str, Any], path: str) -> None:
    assert errors_of(formio) == {path: MESSAGE}


def test_secret_beside_the_form_io_json_is_found_too() -> None:
    document = config(entityForms=[{"name": "person", "lookup": {"token": "abc"}}])
    assert [error.path for error in form_secret_errors(document)] == ["entityForms[0].lookup.token"]


@pytest.mark.parametrize(
    "formio",
    [
        {"components": [{"type": "password", "key": "password", "label": "Password", "defaultValue": ""}]},
        {"components": [{"type": "textfield", "key": "token", "label": "Token number", "placeholder": "T-0001"}]},
        {
            "components": [
                {"label": "Basic information"},
                {"label": "Bearer certificate"},
                {"label": "Basic assessment"},
            ]
        },
        {"values": [{"label": "Password", "value": "password"}, {"label": "PIN", "value": "pin"}]},
        {"data": {"headers": [{"key": "Authorization", "value": "Bearer {{ user.token }}"}]}},
        {"data": {"headers": [{"key": "Authorization", "value": ""}], "url": "https://example.org/?token={{ token }}"}},
        {"components": [{"key": "given"}, {"map": {"token": "given"}}]},
        {"i18n": {"fr": {"Password": "Mot de passe"}}},
        {"secret": True, "tokens": 5, "password": None},
    ],
)
def test_what_only_speaks_of_secrets_is_good(formio: dict[str, Any]) -> None:
    assert errors_of(formio) == {}


def test_forms_of_the_field_hold_no_secrets() -> None:
    assert list(form_secret_errors(SAMPLE)) == []


@given(json_values)
def test_forms_of_any_shape_are_looked_through(forms: Any) -> None:
    for document in (forms, {"entityForms": forms}, {"entityForms": [forms]}):
        assert all(error.message == MESSAGE for error in form_secret_errors(document))


def test_braces_without_end_take_no_longer_than_other_text() -> None:
    document = {"entityForms": [{"name": "a", "formio": {"html": "{{" * 500_000, "token": "{{ {{ token }}"}}]}
    assert [error.path for error in form_secret_errors(document)] == ["entityForms[0].formio.token"]
