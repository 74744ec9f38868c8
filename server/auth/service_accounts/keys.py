"""API keys: what they look like, what is stored of them, and what none of them can be given."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from server.roles.permissions import OF_A_TENANT, Permission

KEY_PREFIX: Final = "croft_"
"""Begins every API key: `croft_<what may be shown>_<secret>`."""

_SHOWN_BYTES = 8
_SECRET_BYTES = 32

NEVER_OF_A_KEY: Final = frozenset(
    {
        Permission.MEMBERS_MANAGE,
        Permission.ROLES_MANAGE,
        Permission.SERVICE_ACCOUNTS_MANAGE,
        Permission.SECURITY_MANAGE,
        Permission.CONFIG_WRITE,
        Permission.PERSONS_ERASE,
    }
)
"""What no key can do, whatever its account's role holds.

A key lies in a file, is shown by a program that nobody watches, and asks for no second factor. Whoever finds one must
not be able to make more of it than it is: so none changes who may do what, which members, roles, keys, security and
the app config decide (its authConfigs say who becomes what, its forms who sees what). Nor does one erase a person,
which nothing brings back.
"""

OF_A_KEY: Final = OF_A_TENANT - NEVER_OF_A_KEY
"""What a key can be given."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown once, and what is stored of it: the part that may be shown again, and a digest."""

    key: str
    prefix: str
    digest: bytes


def make_key() -> NewKey:
    """A new key. Its 256 bits are not found by trying, so that a quick digest is kept instead of a slow hash."""
    prefix, secret = secrets.token_hex(_SHOWN_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return NewKey(f"{KEY_PREFIX}{prefix}_{secret}", prefix, _digest(secret))


def parts_of(key: str) -> tuple[str, str]:
    """What may be shown of a key, and its secret."""
    prefix, _, secret = key.removeprefix(KEY_PREFIX).partition("_")
    return prefix, secret


def is_secret_of(digest: bytes, secret: str) -> bool:
    """Whether the digest is that of the secret; takes the same time whatever the secret is."""
    return hmac.compare_digest(digest, _digest(secret))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
