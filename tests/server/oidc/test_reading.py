from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.oidc.model import RoleMapping
from server.oidc.reading import ALGORITHMS, providers_in


def issuer_of(**fields: Any) -> str:
    providers = providers_in([{"type": "x", "fields": fields}])
    return providers[0].issuer if providers else ""


@pytest.mark.parametrize(
    ("fields", "issuer"),
    [
        ({"issuer": "https://idp.test"}, "https://idp.test"),
        ({"issuer": "https://idp.test/"}, "https://idp.test/"),
        ({"authority": "https://idp.test/a"}, "https://idp.test/a"),
        ({"domain": "org.eu.auth0.com"}, "https://org.eu.auth0.com/"),
        ({"domain": "https://org.eu.auth0.com/"}, "https://org.eu.auth0.com/"),
        ({"url": "https://kc.test/auth/", "realm": "field"}, "https://kc.test/auth/realms/field"),
        ({"auth_server_url": "https://kc.test", "realm": "field"}, "https://kc.test/realms/field"),
        ({"issuer": "https://one.test", "domain": "two.test"}, "https://one.test"),
        ({"Issuer": " https://idp.test "}, "https://idp.test"),
    ],
)
def test_issuer_is_found_however_it_is_written(fields: dict[str, Any], issuer: str) -> None:
    assert issuer_of(**fields) == issuer


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"realm": "field"},
        {"url": "https://kc.test"},
        {"issuer": ""},
        {"issuer": 7},
        {"issuer": "idp.test"},
        {"issuer": "ftp://idp.test"},
        {"issuer": "file:///etc/passwd"},
        {"issuer": "https://name:secret@idp.test"},
        {"issuer": "https://idp.test?x=1"},
        {"issuer": "https://idp.test#x"},
        {"issuer": "https://idp.test:99999"},
        {"issuer": "https://"},
        {"issuer": "https://idp.test/" + "x" * 600},
        {"domain": "name@idp.test"},
        {"domain": "idp.test/?a"},
    ],
)
def test_what_names_no_issuer_is_no_provider(fields: dict[str, Any]) -> None:
    assert issuer_of(**fields) == ""


def test_fields_are_known_in_either_spelling() -> None:
    camel = {
        "issuer": "https://idp.test",
        "clientId": "c",
        "clientSecret": "s",
        "jwksUri": "https://idp.test/k",
        "createAccounts": True,
        "authorizedParties": ["a"],
    }
    snake = {
        "issuer": "https://idp.test",
        "client_id": "c",
        "client_secret": "s",
        "jwks_uri": "https://idp.test/k",
        "create_accounts": True,
        "authorized_parties": ["a"],
    }
    [one] = providers_in([{"type": "x", "fields": camel}])
    [other] = providers_in([{"type": "x", "fields": snake}])
    assert one == other
    assert (one.client_id, one.client_secret, one.endpoints.keys) == ("c", "s", "https://idp.test/k")
    assert one.creates_accounts
    assert "'s'" not in repr(one), "the secret does not show"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["RS256"], ("RS256",)),
        ("ES256", ("ES256",)),
        (["HS256", "RS256", "none"], ("RS256",)),
        (["HS256"], ()),
        ([], ()),
        ("none", ()),
    ],
)
def test_shared_secrets_and_nothing_are_no_algorithms(given: Any, kept: tuple[str, ...]) -> None:
    [provider] = providers_in([{"type": "x", "fields": {"issuer": "https://idp.test", "algorithms": given}}])
    assert provider.algorithms == kept
    assert not {"none", "HS256", "HS384", "HS512"} & ALGORITHMS


@pytest.mark.parametrize("given", ["admin", [], {"default": 7}, {"map": []}, {"map": {"x": ["admin"]}}, False])
def test_mapping_that_cannot_be_read_gives_no_role(given: Any) -> None:
    [provider] = providers_in([{"type": "x", "fields": {"issuer": "https://idp.test", "roles": given}}])
    assert provider.roles == RoleMapping("")


def test_accounts_are_made_only_where_that_is_said_plainly() -> None:
    unclear: tuple[Any, ...] = ("true", 1, "yes", None, [], {})
    for said in unclear:
        [provider] = providers_in([{"type": "x", "fields": {"issuer": "https://idp.test", "createAccounts": said}}])
        assert not provider.creates_accounts


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("https://idp.test"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
keys = st.sampled_from(
    ["issuer", "domain", "url", "realm", "client_id", "audience", "scope", "algorithms", "roles", "jwks_uri", "type"]
)


@given(st.lists(st.fixed_dictionaries({"type": anything, "fields": st.dictionaries(keys, anything)}), max_size=3))
def test_any_config_can_be_read(auth_configs: list[Any]) -> None:
    for provider in providers_in(auth_configs):
        assert provider.type
        assert provider.issuer.startswith(("https://", "http://"))
        assert set(provider.algorithms) <= ALGORITHMS
        assert hash(provider)
