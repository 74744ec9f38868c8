"""One provider of one tenant as it is reached: its description, its keys, and what it says of tokens.

Nothing of it is shared between tenants, neither what is kept nor the pauses: what one tenant's config says of an
issuer changes nothing for another that names the same.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

from server.app_configs.sealing import SECRET_UNREADABLE, Unopened
from server.oidc.keeping import PROVIDER_UNAVAILABLE, RETRY, Clock, Kept, Times
from server.oidc.keys import Key, read_keys
from server.oidc.model import Endpoints, Provider
from server.oidc.reading import is_web_address
from server.outbound import Fetched, Outbound, Unreachable

log = logging.getLogger("croft.oidc")

_DESCRIPTION: Final = "/.well-known/openid-configuration"
_QUESTIONS_AT_ONCE: Final = 8
_QUESTIONS_WAITING: Final = 32


class Issuer:
    """Asks a provider. What it has to say for many tokens is kept, what it says of one is not."""

    def __init__(self, provider: Provider, outbound: Outbound, times: Times, clock: Clock) -> None:
        self.provider = provider
        self._outbound = outbound
        self._description = Kept(self._fetch_description, times, clock)
        self._keys = Kept(self._fetch_keys, times, clock)
        self._turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)
        self._waiting = 0
        self._takes_form = False

    async def keys(self, kid: str | None) -> tuple[Key, ...]:
        """The issuer's keys. One with an unknown id makes it be asked again, but not again and again.

        A key that the issuer has withdrawn is good for five minutes more, in an outage for a day at most. Raises
        `auth.provider-unavailable`.
        """
        keys = await self._keys.get()
        if kid is not None and all(key.id != kid for key in keys):
            keys = await self._keys.look_again()
        return keys

    async def endpoints(self) -> Endpoints:
        """The addresses of the config, and those of the issuer's description where the config names none.

        Raises `auth.provider-unavailable`.
        """
        own, said = self.provider.endpoints, await self._description.get()
        return Endpoints(
            authorization=own.authorization or said.authorization,
            token=own.token or said.token,
            keys=own.keys or said.keys,
            introspection=own.introspection or said.introspection,
            userinfo=own.userinfo or said.userinfo,
        )

    async def introspection_address(self) -> str:
        """Where it can be asked about tokens (RFC 7662), empty where it cannot, or not by us.

        Raises `auth.provider-unavailable`.
        """
        if not (self.provider.client_id and self.provider.client_secret):
            return ""
        return self.provider.endpoints.introspection or (await self.endpoints()).introspection

    async def introspect(self, address: str, token: str) -> Mapping[str, Any] | None:
        """What it says of a token, None for one that does not hold. Raises `auth.provider-unavailable`."""
        answer = await self._ask("POST", address, form={"token": token, "token_type_hint": "access_token"})
        if answer.status != 200:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        said = _object(answer)
        return said if said.get("active") is True else None

    async def userinfo(self, token: str) -> Mapping[str, Any] | None:
        """What the issuer says of the one whom a token is for, None where it does not hold.

        Raises `auth.provider-unavailable`.
        """
        address = self.provider.endpoints.userinfo or (await self.endpoints()).userinfo
        if not address:
            return None
        answer = await self._ask("GET", address, headers={"Authorization": f"Bearer {token}"})
        if answer.status in (400, 401, 403):
            return None
        if answer.status != 200:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        return _object(answer)

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any] | None:
        """The tokens for a code that a login brought, None where the issuer refuses it.

        Raises `auth.provider-unavailable`.
        """
        address = (await self.endpoints()).token
        if not address:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        answer = await self._ask("POST", address, form=form)
        if answer.status in (400, 401, 403):
            log.warning("The issuer %s refused a login: status %d.", self.provider.issuer, answer.status)
            return None
        if answer.status != 200:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        return _object(answer)

    async def _fetch_description(self) -> Endpoints:
        answer = await self._outbound.send("GET", self.provider.issuer.rstrip("/") + _DESCRIPTION)
        said = answer.json()
        if answer.status != 200 or not isinstance(said, dict):
            raise self._unusable(f"its description came with status {answer.status}")
        if said.get("issuer") != self.provider.issuer:
            raise self._unusable("it calls itself otherwise in its description")
        methods = said.get("token_endpoint_auth_methods_supported")
        self._takes_form = isinstance(methods, list) and "client_secret_basic" not in methods
        return Endpoints(
            authorization=_address(said, "authorization_endpoint"),
            token=_address(said, "token_endpoint"),
            keys=_address(said, "jwks_uri"),
            introspection=_address(said, "introspection_endpoint"),
            userinfo=_address(said, "userinfo_endpoint"),
        )

    async def _fetch_keys(self) -> tuple[Key, ...]:
        address = self.provider.endpoints.keys
        if not address:
            # The description as it is now: keys that moved are found where they are.
            address = (await self._fetch_description()).keys
        answer = await self._outbound.send("GET", address)
        try:
            keys = read_keys(answer.json()) if answer.status == 200 else ()
        except ValueError:
            keys = ()
        if not keys:
            raise self._unusable("it has no key that can be used")
        return keys

    async def _ask(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Fetched:
        """One question about one token. So many are asked at once; who comes beyond is told to come later."""
        async with self._turn():
            sent, fields = dict(headers or {}), dict(form) if form is not None else None
            if fields is not None:
                self._add_client(sent, fields)
            try:
                return await self._outbound.send(method, address, headers=sent, form=fields)
            except Unreachable:
                raise PROVIDER_UNAVAILABLE(headers=RETRY) from None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= _QUESTIONS_WAITING:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _add_client(self, headers: dict[str, str], form: dict[str, str]) -> None:
        """As which client we ask: by a secret in the way that the issuer takes it, or by the name alone."""
        client, secret = self.provider.client_id, self.provider.client_secret
        if isinstance(secret, Unopened):
            raise SECRET_UNREADABLE()
        if secret and not self._takes_form:
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            return
        form["client_id"] = client
        if secret:
            form["client_secret"] = secret

    def _unusable(self, why: str) -> Unreachable:
        log.warning("The issuer %s cannot be used: %s.", self.provider.issuer, why)
        return Unreachable(why)


def _object(answer: Fetched) -> Mapping[str, Any]:
    try:
        said = answer.json()
    except Unreachable:
        said = None
    if not isinstance(said, dict):
        raise PROVIDER_UNAVAILABLE(headers=RETRY)
    return said


def _address(said: Mapping[str, Any], name: str) -> str:
    """An address that a description names, which leads out only where the guard lets it."""
    address = said.get(name)
    return address if isinstance(address, str) and is_web_address(address, may_ask=True) else ""
