"""Reading a config's `authConfigs`. What is no OpenID provider, or not a whole one, is left to whoever knows it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import httpx

from server.kit.secret_keys import plain
from server.oidc.model import DEFAULT_ALGORITHMS, Endpoints, Provider, RoleMapping
from server.outbound.guard import Refused, check_form

ALGORITHMS: Final = frozenset(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in ("256", "384", "512")) | {
    "EdDSA"
}
"""What a token may be signed with: never by a secret that the server shares with somebody, never by nothing."""

_MOST_CHARACTERS: Final = 500
_MOST_OF_A_LIST: Final = 100
_MOST_ROLES: Final = 1000

_Fields = Mapping[str, Any]


def providers_in(auth_configs: Any) -> tuple[Provider, ...]:
    """The OpenID providers among the authConfigs of a config, in their order."""
    listed = auth_configs if isinstance(auth_configs, list) else []
    found = (_provider(each) for each in listed if isinstance(each, dict))
    return tuple(provider for provider in found if provider is not None)


def _provider(auth_config: dict[str, Any]) -> Provider | None:
    kind = auth_config.get("type")
    fields = _fields(auth_config)
    issuer = _issuer(fields)
    if not isinstance(kind, str) or not kind or not issuer:
        return None
    return Provider(
        type=kind,
        name=_text(fields, "displayname", "title", "name", "label") or kind,
        issuer=issuer,
        client_id=_text(fields, "clientid"),
        client_secret=_secret(fields.get("clientsecret")),
        audiences=_texts(fields, "audience", "audiences"),
        parties=_texts(fields, "authorizedparties", "authorizedparty"),
        scope=_scope(_texts(fields, "scope", "scopes")),
        algorithms=_algorithms(fields),
        is_keycloak=kind.casefold() == "keycloak" or bool(_realm_address(fields)),
        endpoints=_endpoints(fields),
        creates_accounts=fields.get("createaccounts") is True,
        roles=_role_mapping(fields.get("roles")),
        second_factor=fields.get("secondfactor") is True,
    )


def _fields(auth_config: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the type and in `fields`, by names without case and separators; the first non-empty counts."""
    inner = auth_config.get("fields")
    found: dict[str, Any] = {}
    for source in (inner if isinstance(inner, dict) else {}, auth_config):
        for key, value in source.items():
            if found.get(plain(key)) in (None, ""):
                found[plain(key)] = value
    return found


def _text(fields: _Fields, *names: str) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip() and len(value) <= _MOST_CHARACTERS:
            return value.strip()
    return ""


def _secret(value: Any) -> str:
    """As it is: whether it could be opened is seen by its type."""
    return value if isinstance(value, str) else ""


def _texts(fields: _Fields, *names: str) -> tuple[str, ...]:
    """A text, or a list of them."""
    found: list[str] = []
    for name in names:
        value = fields.get(name)
        values = value if isinstance(value, list) else [value]
        found += [each for each in values[:_MOST_OF_A_LIST] if isinstance(each, str) and each]
    return tuple(found)


def _issuer(fields: _Fields) -> str:
    given = _text(fields, "issuer", "authority") or _realm_address(fields) or _domain_address(fields)
    return given if is_web_address(given) else ""


def _realm_address(fields: _Fields) -> str:
    """A realm of Keycloak: its server's address and its name."""
    url, realm = _text(fields, "url", "serverurl", "authserverurl"), _text(fields, "realm")
    return f"{url.rstrip('/')}/realms/{realm}" if url and realm else ""


def _domain_address(fields: _Fields) -> str:
    """Auth0 names itself by a domain, and its issuer ends with a slash."""
    domain = _text(fields, "domain").removeprefix("https://").rstrip("/")
    return f"https://{domain}/" if domain else ""


def is_web_address(text: str, *, may_ask: bool = False) -> bool:
    """Whether it is an http or https URL of a host, without a user's name and fragment. `may_ask`: with a query."""
    try:
        url = httpx.URL(text)
        check_form(url)
    except (httpx.InvalidURL, Refused, ValueError):
        return False
    return not url.fragment and (may_ask or not url.query)


def _endpoints(fields: _Fields) -> Endpoints:
    def address(*names: str) -> str:
        given = _text(fields, *names)
        return given if is_web_address(given, may_ask=True) else ""

    return Endpoints(
        authorization=address("authorizationendpoint", "authorizationurl"),
        token=address("tokenendpoint", "tokenurl"),
        keys=address("jwksuri", "jwksurl", "jwksendpoint"),
        introspection=address("introspectionendpoint", "introspectionurl"),
        userinfo=address("userinfoendpoint", "userinfourl"),
    )


def _scope(given: Iterable[str]) -> str:
    words = " ".join(given).split() or ["email", "profile"]
    return " ".join(dict.fromkeys(["openid", *words]))[:_MOST_CHARACTERS]


def _algorithms(fields: _Fields) -> tuple[str, ...]:
    """Those that the config names and that are allowed at all: none of them, where it names others alone."""
    if "algorithms" not in fields and "algorithm" not in fields:
        return DEFAULT_ALGORITHMS
    return tuple(each for each in _texts(fields, "algorithms", "algorithm") if each in ALGORITHMS)


def _role_mapping(given: Any) -> RoleMapping | None:
    """What `roles` says; a mapping that cannot be read gives nobody a role."""
    if given is None:
        return None
    given = given if isinstance(given, dict) else {}
    claim, mapping, default = given.get("claim"), given.get("map"), given.get("default")
    return RoleMapping(
        claim=claim if isinstance(claim, str) else "",
        roles=tuple(_pairs(mapping if isinstance(mapping, dict) else {})),
        default=default if isinstance(default, str) and default else None,
    )


def _pairs(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for value, role in list(mapping.items())[:_MOST_ROLES]:
        if isinstance(role, str) and role:
            yield value, role
