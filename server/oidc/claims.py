"""What a provider's claims say: whom they mean, and which role he is to have."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from server.oidc.model import Person, RoleMapping

MOST_CHARACTERS: Final = 255
"""Longer names of issuers, subjects and addresses are none."""

_SECOND_FACTORS: Final = frozenset({"mfa", "otp", "hwk", "swk", "sms", "fpt", "face", "iris", "retina", "vbm"})
"""How somebody proved himself beside a password, in the words of `amr`."""

_VERIFIED: Final = (True, "true")


def is_name(value: Any) -> bool:
    """Whether it can name somebody: a text that can be stored and shown."""
    return isinstance(value, str) and 0 < len(value) <= MOST_CHARACTERS and value.isprintable()


def person_of(issuer: str, claims: Mapping[str, Any], *, second_factor: bool = False) -> Person | None:
    """Whom the claims mean; None where they name nobody. `second_factor`: the issuer always asks for one."""
    subject, email = claims.get("sub"), claims.get("email")
    if not isinstance(subject, str) or not is_name(subject):
        return None
    is_verified = claims.get("email_verified") in _VERIFIED
    sid = claims.get("sid")
    return Person(
        issuer=issuer,
        subject=subject,
        email=email.strip() if isinstance(email, str) and is_verified and is_name(email) and "@" in email else "",
        sid=sid if isinstance(sid, str) and is_name(sid) else "",
        second_factor=second_factor or _proved_twice(claims.get("amr")),
        claims=claims,
    )


def role_said(mapping: RoleMapping, claims: Mapping[str, Any], known: Collection[str]) -> str | None:
    """The role that the mapping gives for the claims, None for none. One that is not `known` in the tenant is none."""
    held = set(_texts(claim_at(claims, mapping.claim)))
    said = next((role for value, role in mapping.roles if value in held), mapping.default)
    return said if said in known else None


def claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name, dots and all, or else the one at this path: `realm_access.roles`."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _proved_twice(methods: Any) -> bool:
    return any(method in _SECOND_FACTORS for method in _texts(methods))
