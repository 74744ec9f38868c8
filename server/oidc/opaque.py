"""Tokens that say nothing by themselves: their issuer is asked, and its answer is kept for a minute."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final

from server.oidc.issuer import Issuer
from server.oidc.keeping import Clock, Recent
from server.oidc.model import Provider
from server.oidc.tokens import CLOCK_SKEW_SECONDS, Untrusted, check_audience

KEPT_SECONDS: Final = 60

_MOST_KEPT: Final = 10_000
_NOT_PRINTABLE: Final = "the token is no text for a header"

_Key = tuple[int, Provider, bytes]


class OpaqueTokens:
    """Asks about opaque tokens: by introspection, or at the userinfo endpoint of an issuer that the operator allows.

    Userinfo proves no audience: a token that somebody gave to any other application of the issuer is good there, too.
    Only digests of tokens are kept. Those that do not hold are kept apart: a stranger's do not push out the others.
    """

    def __init__(self, userinfo_issuers: frozenset[str], clock: Clock) -> None:
        self._userinfo_issuers = userinfo_issuers
        self._good: Recent[_Key, Mapping[str, Any]] = Recent(_MOST_KEPT, clock)
        self._bad: Recent[_Key, str] = Recent(_MOST_KEPT, clock)

    async def claims(self, tenant_id: int, issuer: Issuer, token: str) -> Mapping[str, Any]:
        """What the issuer says of the token. Raises Untrusted, and `auth.provider-unavailable`."""
        if not (token.isascii() and token.isprintable()):
            raise Untrusted(_NOT_PRINTABLE)
        key = (tenant_id, issuer.provider, hashlib.sha256(token.encode()).digest())
        if (why := self._bad.get(key)) is not None:
            raise Untrusted(why)
        claims = self._good.get(key)
        if claims is None:
            try:
                claims = await self._asked(issuer, token)
            except Untrusted as error:
                self._bad.put(key, str(error), seconds=KEPT_SECONDS)
                raise
            self._good.put(key, claims, seconds=_seconds_left(claims))
        return claims

    async def _asked(self, issuer: Issuer, token: str) -> Mapping[str, Any]:
        if address := await issuer.introspection_address():
            claims = await issuer.introspect(address, token)
            if claims is not None:
                _check_introspected(claims, issuer.provider)
        elif issuer.provider.issuer in self._userinfo_issuers:
            claims = await issuer.userinfo(token)
        else:
            raise Untrusted("nobody can be asked about it")
        if claims is None:
            raise Untrusted("it does not hold, says its issuer")
        return claims


def _check_introspected(claims: Mapping[str, Any], provider: Provider) -> None:
    if claims.get("iss", provider.issuer) != provider.issuer:
        raise Untrusted("it is of another issuer")
    now = time.time()
    if (
        _moment(claims, "exp", now) <= now - CLOCK_SKEW_SECONDS
        or _moment(claims, "nbf", now) > now + CLOCK_SKEW_SECONDS
    ):
        raise Untrusted("its time is over or has not come")
    if "aud" in claims:
        check_audience(claims, provider)
    elif claims.get("client_id") not in (provider.client_id, *provider.parties):
        raise Untrusted("it was given to another client")


def _seconds_left(claims: Mapping[str, Any]) -> float:
    now = time.time()
    return max(0.0, min(KEPT_SECONDS, _moment(claims, "exp", now + KEPT_SECONDS) + CLOCK_SKEW_SECONDS - now))


def _moment(claims: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = claims.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Untrusted(f"its {name} is no time")
    return float(value)
