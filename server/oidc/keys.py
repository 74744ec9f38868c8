"""The public keys of an issuer, and which of them can have signed a token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_MOST_KEYS: Final = 50
_MOST_TRIED: Final = 5
_RSA_BITS: Final = range(2048, 8193)
_RSA_EXPONENT_BITS: Final = 32

# The parts of a public key: whatever else an issuer tells, the rest of a private key for instance, is left out.
_PUBLIC_PARTS: Final = frozenset({"kty", "n", "e", "crv", "x", "y"})

_KINDS: Final = {
    **{f"{family}{bits}": ("RSA", "") for family in ("RS", "PS") for bits in ("256", "384", "512")},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The kind of key, and its curve, for each algorithm."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. `algorithm` is the only one that it is for, empty where its issuer does not say."""

    id: str
    kind: tuple[str, str]
    algorithm: str
    public: Any

    def fits(self, algorithm: str) -> bool:
        """Whether the algorithm is one for keys of this kind, and this key is not for another."""
        return _KINDS.get(algorithm) == self.kind and self.algorithm in ("", algorithm)


def read_keys(document: Any) -> tuple[Key, ...]:
    """The keys for signatures in a JWK set; those that cannot be used are left out. Raises ValueError if it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no JWK set")
    return tuple(_usable(listed[:_MOST_KEYS]))


def candidates(keys: Sequence[Key], algorithm: str, kid: str | None) -> list[Key]:
    """The keys that a token with this header can be checked with; without a key id, the first few of the right kind."""
    fitting = [key for key in keys if key.fits(algorithm)]
    return [key for key in fitting if key.id == kid] if kid is not None else fitting[:_MOST_TRIED]


def _usable(listed: Sequence[Any]) -> Iterator[Key]:
    for each in listed:
        if isinstance(each, dict) and _is_for_signatures(each) and (key := _key(each)):
            yield key


def _is_for_signatures(given: dict[str, Any]) -> bool:
    operations = given.get("key_ops")
    return given.get("use", "sig") == "sig" and (not isinstance(operations, list) or "verify" in operations)


def _key(given: dict[str, Any]) -> Key | None:
    kty, curve = given.get("kty"), given.get("crv", "")
    kind = (kty, "" if kty == "RSA" else curve)
    algorithm = next((name for name, known in _KINDS.items() if known == kind), None)
    if algorithm is None:
        return None
    parts = {name: value for name, value in given.items() if name in _PUBLIC_PARTS}
    try:
        public = jwt.PyJWK(parts, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    kid, only = given.get("kid"), given.get("alg", "")
    if isinstance(public, RSAPublicKey) and not _is_sound(public):
        return None
    return Key(
        id=kid if isinstance(kid, str) else "",
        kind=_KINDS[algorithm],
        algorithm=only if isinstance(only, str) else "",
        public=public,
    )


def _is_sound(key: RSAPublicKey) -> bool:
    """Neither weak nor so large that checking takes long."""
    return key.key_size in _RSA_BITS and key.public_numbers().e.bit_length() <= _RSA_EXPONENT_BITS
