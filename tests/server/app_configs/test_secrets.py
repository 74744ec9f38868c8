import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.secrets import MASK, mask, restore_masked
from server.kit.problem import Problem
from tests.server.app_configs.configs import SECRET_KEYS, config, documents, json_values, keys

OPENSPP = {"type": "openspp", "url": "https://registry.example.org", "auth": "basic", "password": "hunter2"}
EXTRA = {
    "type": "openfn",
    "url": "https://openfn.example.org",
    "extraFields": [
        {"name": "project", "value": "p1"},
        {"name": "apiKey", "value": "k1"},
        {"name": "pin", "value": 42},
    ],
}


def auth(kind: str, domain: str, secret: str) -> dict[str, Any]:
    return {"type": kind, "fields": {"domain": domain, "clientId": "app", "client_secret": secret}}


def paths_refused(new: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    with pytest.raises(Problem) as raised:
        restore_masked(new, stored)
    assert (raised.value.code, raised.value.status) == ("app-configs.mask-without-secret", 422)
    return [error.path for error in raised.value.errors]


def test_secrets_of_the_sections_are_masked_and_nothing_else_is() -> None:
    document = config(externalSync=EXTRA, authConfigs=[auth("auth0", "a.example.org", "s1")])
    assert mask(document) == config(
        externalSync={
            **EXTRA,
            "extraFields": [
                {"name": "project", "value": "p1"},
                {"name": "apiKey", "value": MASK},
                {"name": "pin", "value": MASK},
            ],
        },
        authConfigs=[auth("auth0", "a.example.org", MASK)],
    )


def test_everything_below_credentials_is_masked_with_numbers_but_without_empty_values() -> None:
    credentials = {"username": "u", "port": 5, "ssl": True, "note": "", "none": None, "list": ["a", {"b": "c"}]}
    masked = mask({"externalSync": {"credentials": credentials}})
    assert masked["externalSync"]["credentials"] == {
        "username": MASK,
        "port": MASK,
        "ssl": True,
        "note": "",
        "none": None,
        "list": [MASK, {"b": MASK}],
    }


def test_secrets_at_the_top_and_in_unknown_sections_are_masked() -> None:
    document = {"apiKey": "k", "integrations": [{"webhookToken": "t"}]}
    assert mask(document) == {"apiKey": MASK, "integrations": [{"webhookToken": MASK}]}


def test_forms_and_seed_data_are_left_alone() -> None:
    document = {"entityForms": [{"formio": {"token": "t"}}], "entityData": [{"data": [{"password": "p"}]}]}
    assert mask(document) == document


@pytest.mark.parametrize(
    "section",
    [
        {"auth": "Bearer abc"},
        {"auth": "Basic dXNlcjpwYXNz"},
        {"note": "send Bearer abc123"},
        {"headers": {"Proxy-Auth": "abc"}},
        {"customHeaders": [{"key": "My-Auth", "value": "abc"}]},
        {"X-Auth-User": "abc"},
        {"target": {"key": "abc", "type": "openfn"}},
        {"sessionKey": "abc"},
        {"oauth": "abc"},
        {"oauthVerifier": "abc"},
        {"extraFields": [{"name": "key", "value": "abc"}, {"name": "oauth1", "value": "abc"}]},
        {"extraFields": [{"name": "note", "value": "Basic abc"}]},
    ],
)
def test_secret_is_recognised_under_names_that_say_little(section: dict[str, Any]) -> None:
    assert not any(each in json.dumps(mask({"externalSync": section})) for each in ("abc", "dXNl"))
    assert restore_masked(mask({"externalSync": section}), {"externalSync": section}) == {"externalSync": section}


@pytest.mark.parametrize(
    "section",
    [
        {"auth": "basic"},
        {"auth": {"type": "bearer", "username": "u"}},
        {"name": "Basic survey", "description": "Basic needs"},
        {"extraFields": [{"key": "project", "value": "p1"}]},
        {"columns": [{"key": "village", "label": "Village"}]},
        {"oauth": {"clientId": "app", "tokenUrl": "https://a.example.org"}},
        {"oauthTokenUrl": "https://a.example.org"},
        {"headers": {"Accept": "text/plain"}},
    ],
)
def test_what_only_looks_like_a_secret_is_not_masked(section: dict[str, Any]) -> None:
    assert mask({"externalSync": section}) == {"externalSync": section}


def test_key_beside_an_address_goes_nowhere_else() -> None:
    stored = {"externalSync": {"oauth": {"target": "https://a.example.org", "key": "k"}}}
    new = {"externalSync": {"oauth": {"target": "https://evil.example.org", "key": MASK}}}
    assert paths_refused(new, stored) == ["externalSync.oauth.key"]


def test_mask_that_cannot_be_replaced_is_told_in_words() -> None:
    with pytest.raises(Problem) as raised:
        restore_masked(config(externalSync={"password": MASK, "token": MASK}), {})
    assert raised.value.detail == "externalSync.password: no secret is stored here; enter it (and 1 more)"


def test_mask_that_comes_back_keeps_the_stored_secret() -> None:
    stored = config(externalSync=OPENSPP)
    new = config(name="Renamed", externalSync={**OPENSPP, "auth": "digest", "password": MASK})
    assert restore_masked(new, stored)["externalSync"] == {**OPENSPP, "auth": "digest"}


def test_secret_that_is_entered_anew_replaces_the_stored_one() -> None:
    new = config(externalSync={**OPENSPP, "url": "https://other.example.org", "password": "new"})
    assert restore_masked(new, config(externalSync=OPENSPP)) == new


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://evil.example.org"},
        {"url": "https://registry.example.org:8443"},
        {"tokenEndpoint": "evil.example.org"},
        {"type": "openfn"},
        {"target": "https://evil.example.org"},
        {"adapter": {"host": "evil.example.org"}},
        {"extraFields": [{"name": "callback_url", "value": "evil.example.org"}]},
    ],
)
def test_mask_is_refused_when_the_address_changed(change: dict[str, Any]) -> None:
    new = config(externalSync={**OPENSPP, **change, "password": MASK})
    assert paths_refused(new, config(externalSync=OPENSPP)) == ["externalSync.password"]


def test_mask_is_refused_when_an_address_is_gone() -> None:
    new = config(externalSync={"type": "openspp", "auth": "basic", "password": MASK})
    assert paths_refused(new, config(externalSync=OPENSPP)) == ["externalSync.password"]


def test_address_among_the_credentials_is_an_address_too() -> None:
    stored = {"externalSync": {"credentials": {"url": "https://a.example.org", "password": "p"}}}
    assert restore_masked(mask(stored), stored) == stored
    moved = {"externalSync": {"credentials": {"url": "https://evil.example.org", "password": MASK}}}
    assert paths_refused(moved, stored) == ["externalSync.credentials.password"]


def test_mask_with_nothing_stored_is_refused_with_every_path() -> None:
    new = config(externalSync={"password": MASK, "note": MASK}, authConfigs=[auth("auth0", "a.example.org", MASK)])
    assert paths_refused(new, {}) == [
        "externalSync.password",
        "externalSync.note",
        "authConfigs[0].fields.client_secret",
    ]


def test_mask_cannot_bring_a_secret_to_another_place() -> None:
    stored = config(externalSync=OPENSPP)
    new = config(description=MASK, externalSync={**OPENSPP, "password": MASK, "auth": MASK})
    assert paths_refused(new, stored) == ["description", "externalSync.auth"]


def test_auth_configs_are_recognised_by_their_type() -> None:
    stored = {"authConfigs": [auth("auth0", "a.example.org", "s1"), auth("keycloak", "k.example.org", "s2")]}
    new = {"authConfigs": [auth("keycloak", "k.example.org", MASK), auth("auth0", "a.example.org", MASK)]}
    new["authConfigs"][0]["fields"]["clientId"] = "other"
    restored = restore_masked(new, stored)["authConfigs"]
    assert [each["fields"]["client_secret"] for each in restored] == ["s2", "s1"]


def test_each_auth_config_is_guarded_by_its_own_address() -> None:
    stored = {"authConfigs": [auth("auth0", "a.example.org", "s1"), auth("keycloak", "k.example.org", "s2")]}
    new = {"authConfigs": [auth("auth0", "evil.example.org", MASK), auth("keycloak", "k.example.org", MASK)]}
    assert paths_refused(new, stored) == ["authConfigs[0].fields.client_secret"]


def test_removed_auth_config_does_not_shift_the_secrets_of_the_others() -> None:
    stored = {"authConfigs": [auth("custom", "a.example.org", "s1"), auth("custom", "b.example.org", "s2")]}
    new = {"authConfigs": [auth("custom", "b.example.org", MASK)]}
    assert restore_masked(new, stored) == {"authConfigs": [auth("custom", "b.example.org", "s2")]}


def test_addresses_swapped_between_elements_do_not_swap_their_secrets() -> None:
    first, second = {"name": "a", "url": "//a", "token": "s1"}, {"name": "b", "url": "//b", "token": "s2"}
    new = [{**first, "url": "//b", "token": MASK}, {**second, "url": "//a", "token": MASK}]
    refused = paths_refused({"externalSync": {"targets": new}}, {"externalSync": {"targets": [first, second]}})
    assert refused == ["externalSync.targets[0].token", "externalSync.targets[1].token"]


def test_extra_fields_are_recognised_by_their_name() -> None:
    new = copy.deepcopy(EXTRA)
    new["extraFields"] = [{"name": "pin", "value": MASK}, {"name": "apiKey", "value": MASK, "note": "changed"}]
    restored = restore_masked({"externalSync": new}, {"externalSync": EXTRA})
    assert [field["value"] for field in restored["externalSync"]["extraFields"]] == [42, "k1"]


def test_bare_masks_in_a_list_that_lost_one_are_refused() -> None:
    stored = {"externalSync": {"tokens": ["t1", "t2"]}}
    assert restore_masked({"externalSync": {"tokens": [MASK, "t3"]}}, stored) == {
        "externalSync": {"tokens": ["t1", "t3"]}
    }
    assert paths_refused({"externalSync": {"tokens": [MASK]}}, stored) == ["externalSync.tokens[0]"]


def test_secret_outside_the_known_sections_relies_on_addresses_at_the_top() -> None:
    stored = {"hookUrl": "https://a.example.org", "hook": {"token": "t"}, "externalSync": OPENSPP}
    new = {**mask(stored), "hookUrl": "https://evil.example.org"}
    assert paths_refused(new, stored) == ["hook.token"]


@given(documents)
def test_masking_and_taking_the_masks_back_gives_the_document_again(document: dict[str, Any]) -> None:
    assert restore_masked(mask(document), document) == document


@given(documents)
def test_masking_twice_is_masking_once(document: dict[str, Any]) -> None:
    assert mask(mask(document)) == mask(document)


PLANTED = "planted-b52c"


@given(documents, st.sampled_from(SECRET_KEYS), st.lists(keys, max_size=3), json_values)
def test_planted_secret_is_never_in_the_masked_document(
    document: dict[str, Any], secret_key: str, path: list[str], beside: Any
) -> None:
    planted: Any = {secret_key: [PLANTED, {"deep": PLANTED}], "a": beside}
    for key in path:
        planted = [{key: planted}, {"name": secret_key, "value": PLANTED}]
    assert PLANTED not in json.dumps(mask({**document, "externalSync": planted}))


@given(documents, st.sampled_from(["url", "issuer", "token_endpoint", "host"]), st.sampled_from(SECRET_KEYS))
def test_no_mask_survives_a_change_of_the_address(document: dict[str, Any], address: str, secret: str) -> None:
    stored = {**document, "externalSync": {address: "a.example.org", secret: PLANTED}}
    new = {**mask(stored), "externalSync": {address: "evil.example.org", secret: MASK}}
    assert f"externalSync.{secret}" in paths_refused(new, stored)
