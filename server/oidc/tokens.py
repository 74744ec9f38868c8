"""Checking tokens that an issuer has signed, with its public keys alone.

A token is not asked how it is to be checked: the algorithm has to be one that the provider's config allows and fit the
kind of the key, and the key has to be one of the issuer's own, whatever `jku`, `x5u` or `jwk` in its header say.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from server.oidc.claims import is_name
from server.oidc.keys import Key, candidates
from server.oidc.model import Provider

CLOCK_SKEW_SECONDS: Final = 60
"""How far the issuer's clock may be off."""

_MOST_CHARACTERS: Final = 16 * 1024
_PARTS_OF_A_JWT: Final = 3

# In the header; without one it is a plain JWT. Those of ID tokens, logout tokens and the like are others.
_ACCESS_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})

_OF_ID_TOKENS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})

_ACCOUNT: Final = "account"
"""What Keycloak's access tokens are meant for unless a client is told otherwise: every client's are."""

_DIGESTS: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class Untrusted(Exception):
    """The token is not good. The words are for the log and hold nothing of it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a token says of itself before anything of it is checked: good for finding who could check it."""

    algorithm: str
    kid: str | None
    type: str
    issuer: str
    subject: str


def look_at(token: str) -> Shown | None:
    """What a JWT says of itself; None for a token that is none, or that nobody could have meant for us."""
    if len(token) > _MOST_CHARACTERS or token.count(".") != _PARTS_OF_A_JWT - 1:
        return None
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    header, claims = parts["header"], parts["payload"]
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not (is_name(issuer) and is_name(subject) and isinstance(algorithm, str) and isinstance(kind, str)):
        return None
    return Shown(algorithm, kid, kind.casefold(), issuer, subject)


def names_web_issuer(token: str) -> bool:
    """Whether it is a JWT of an identity provider: they name themselves by an address, this server does not."""
    shown = look_at(token)
    return shown is not None and shown.issuer.startswith(("https://", "http://"))


def check_access_token(token: str, shown: Shown, keys: Sequence[Key], provider: Provider) -> dict[str, Any]:
    """The claims of an access token that is meant for us. Raises Untrusted."""
    if shown.type not in _ACCESS_TYPES:
        raise Untrusted("its type is not that of an access token")
    claims = _signed(token, shown, keys, provider)
    _refuse_id_token(claims)
    check_audience(claims, provider)
    return claims


def check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    """Raises Untrusted where an access token is meant for somebody else, or was given to another client."""
    party = claims.get("azp", claims.get("client_id"))
    if party is not None and provider.client_id and party not in (provider.client_id, *provider.parties):
        raise Untrusted("it was given to another client")
    meant_for = _listed(claims.get("aud"))
    ours = provider.audiences or ((provider.client_id,) if provider.client_id else ())
    if any(audience in meant_for for audience in ours):
        return
    is_our_clients = bool(provider.client_id) and party == provider.client_id
    if provider.is_keycloak and not provider.audiences and _ACCOUNT in meant_for and is_our_clients:
        return
    raise Untrusted("it is meant for another audience")


def check_id_token(
    token: str, keys: Sequence[Key], provider: Provider, *, nonce: str, access_token: str
) -> dict[str, Any]:
    """The claims of the ID token that a login brought. Raises Untrusted."""
    shown = look_at(token)
    if shown is None:
        raise Untrusted("the ID token is no JWT")
    claims = _signed(token, shown, keys, provider)
    meant_for = _listed(claims.get("aud"))
    if provider.client_id not in meant_for:
        raise Untrusted("the ID token is meant for another client")
    if "azp" in claims or len(meant_for) > 1:
        _require_same(claims.get("azp"), provider.client_id, "the ID token was given to another client")
    _require_same(claims.get("nonce"), nonce, "the ID token belongs to another login")
    if "at_hash" in claims:
        expected = _half_digest(access_token, shown.algorithm)
        _require_same(claims["at_hash"], expected, "the access token is not the one that the ID token came with")
    return claims


def _signed(token: str, shown: Shown, keys: Sequence[Key], provider: Provider) -> dict[str, Any]:
    """The claims of a token that the provider's issuer has signed and whose time it is."""
    if shown.algorithm not in provider.algorithms:
        raise Untrusted("its algorithm is not allowed")
    for key in candidates(keys, shown.algorithm, shown.kid):
        try:
            return jwt.decode(
                token,
                key.public,
                algorithms=[shown.algorithm],
                issuer=provider.issuer,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iss", "sub"], "verify_aud": False, "enforce_minimum_key_length": True},
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Untrusted(type(error).__name__) from None
    raise Untrusted("none of the issuer's keys has signed it")


def _refuse_id_token(claims: Mapping[str, Any]) -> None:
    """An ID token proves who signed in somewhere, not that he lets its holder act for him here."""
    kind = claims.get("typ")
    if kind is None and any(claim in claims for claim in _OF_ID_TOKENS):
        raise Untrusted("it is an ID token")
    if kind is not None and not (isinstance(kind, str) and kind.casefold() == "bearer"):
        raise Untrusted("it says itself that it is no access token")


def _listed(audience: Any) -> list[str]:
    values = audience if isinstance(audience, list) else [audience]
    return [each for each in values if isinstance(each, str)]


def _require_same(given: Any, expected: str, otherwise: str) -> None:
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise Untrusted(otherwise)


def _half_digest(access_token: str, algorithm: str) -> str:
    """The left half of the token's digest, by the hash of the algorithm; Ed25519 has SHA-512."""
    digest = _DIGESTS.get(algorithm[-3:], hashlib.sha512)(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
