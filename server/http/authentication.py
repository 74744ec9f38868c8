"""Whose request it is: the credentials in its headers, handed to whoever knows their kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from server.auth.authentication import NOT_SIGNED_IN, Identity, identify_session
from server.auth.last_seen import LastSeen
from server.auth.service_accounts import KEY_PREFIX, identify_service
from server.auth.tokens import Tokens
from server.db import Database
from server.kit.cookies import CSRF_HEADER, SESSION_COOKIE, comes_from_another_site, cookie_in, is_csrf_token_of
from server.kit.problem import ProblemKind
from server.oidc.tokens import names_web_issuer

CROSS_SITE = ProblemKind(
    "auth.cross-site", 403, "A browser session needs the header X-CSRF-Token for everything that changes something."
)

_BEARER = "bearer"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows: the scheme word of Authorization in lower case, and what follows it, or its cookie."""

    scheme: str
    token: str = field(repr=False)
    is_cookie: bool = False


class Providers(Protocol):
    """Whoever checks what identity providers of tenants have issued."""

    async def identify(self, scheme: str, token: str, *, tenant: str | None, device_id: str) -> Identity:
        """Who holds a token of the tenant's provider of the type `scheme`. Raises `auth.required`."""
        ...


def credential_of(method: str, headers: Mapping[str, str]) -> Credential:
    """What a request shows: its Authorization header, or else the cookie of a browser session.

    Raises `auth.required` where there is neither, and `auth.cross-site` where a page of another site may have made the
    browser send the cookie along.
    """
    authorization = headers.get("authorization")
    if authorization is None and (token := cookie_in(headers.get("cookie", ""), SESSION_COOKIE)):
        _check_our_page_sent_it(method, headers, token)
        return Credential(_BEARER, token, is_cookie=True)
    scheme, _, token = (authorization or "").partition(" ")
    if not scheme or not token.strip():
        raise NOT_SIGNED_IN()
    return Credential(scheme.lower(), token.strip())


def _check_our_page_sent_it(method: str, headers: Mapping[str, str], token: str) -> None:
    if method in _SAFE_METHODS:
        return
    if comes_from_another_site(headers) or not is_csrf_token_of(token, headers.get(CSRF_HEADER, "")):
        raise CROSS_SITE()


@dataclass(frozen=True, slots=True)
class Authentication:
    """Finds out who calls. `providers` None: tokens of identity providers are refused."""

    database: Database
    tokens: Tokens
    sessions_seen: LastSeen[UUID]
    keys_seen: LastSeen[str]
    providers: Providers | None = None
    operators_need_second_factor: bool = False

    def is_of_provider(self, credential: Credential) -> bool:
        """Whether only an identity provider can have issued it: it says nothing where the tenant is not named, too."""
        if self.providers is None or credential.is_cookie:
            return False
        return credential.scheme != _BEARER or names_web_issuer(credential.token)

    async def identify(self, credential: Credential, *, tenant: str | None, device_id: str = "") -> Identity:
        """The caller and the tenant named by `tenant` (a config id or number). Raises `auth.required` and the like."""
        scheme, token = credential.scheme, credential.token
        if self.providers is not None and self.is_of_provider(credential):
            return await self.providers.identify(scheme, token, tenant=tenant, device_id=device_id)
        if scheme != _BEARER:
            raise NOT_SIGNED_IN()
        if token.startswith(KEY_PREFIX) and not credential.is_cookie:
            async with self.database.single() as db:
                identity = await identify_service(db, token, tenant=tenant, device_id=device_id)
            self.keys_seen.mark(identity.caller.api_key)
            return identity
        identity = await identify_session(
            self.database,
            self.tokens,
            token,
            tenant=tenant,
            device_id=device_id,
            is_cookie=credential.is_cookie,
            operators_need_second_factor=self.operators_need_second_factor,
        )
        self.sessions_seen.mark(UUID(identity.caller.session_id))
        return identity
