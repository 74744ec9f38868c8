"""Which values of an app config say where something is sent."""

import re
from urllib.parse import parse_qsl, urlsplit

from server.kit.secret_keys import is_secret_key, plain

_ADDRESS_WORDS = (
    "url",
    "uri",
    "host",
    "domain",
    "issuer",
    "authority",
    "endpoint",
    "server",
    "address",
    "realm",
    "proxy",
    "origin",
    "webhook",
    "callback",
    "jwks",
    "gateway",
)
_ADDRESS_ENDINGS = ("port", "path", "base")
_URL = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:)?//")


def is_address_key(key: str) -> bool:
    """True for `url`, `token_endpoint`, `serverHost`, `realm` and the like: too many rather than too few."""
    name = plain(key)
    return name.endswith(_ADDRESS_ENDINGS) or any(word in name for word in _ADDRESS_WORDS)


def is_url(text: str) -> bool:
    """True when the text begins like a URL, with or without its scheme: `https://…`, `//host`."""
    return _URL.match(text) is not None


def holds_secret(text: str, *, is_address: bool) -> bool:
    """True when a URL carries a password, or a secret in its query or fragment.

    With `is_address` the text is read as an address although it has no scheme: `name:password@host`.
    """
    if not is_url(text) and (not is_address or text.startswith("mailto:")):
        return False
    try:
        url = urlsplit(text if is_url(text) else f"//{text}")
        return bool(url.password) or any(_names_secret(part) for part in (url.query, url.fragment))
    except ValueError:  # no URL after all, e.g. an unclosed bracket
        return False


def _names_secret(query: str) -> bool:
    return any(is_secret_key(key) for key, value in parse_qsl(query) if value)
