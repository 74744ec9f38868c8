"""Whose request it is: the credentials in its headers, handed to whoever knows their kind."""

from dataclasses import dataclass
from typing import Protocol

from server.auth.authentication import NOT_SIGNED_IN, Identity, identify_session
from server.auth.service_accounts import KEY_PREFIX, identify_service
from server.auth.tokens import Tokens
from server.db import Database

_BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows: the scheme word of Authorization in lower case, and what follows it."""

    scheme: str
    token: str


class Providers(Protocol):
    """Whoever checks what identity providers of tenants have issued."""

    async def identify(self, scheme: str, token: str, *, tenant: str | None, device_id: str) -> Identity:
        """Who holds a token of the tenant's provider of the type `scheme`. Raises `auth.required`."""
        ...


def credential_of(authorization: str | None) -> Credential:
    """The credential of an Authorization header. Raises `auth.required` where there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    if not scheme or not token.strip():
        raise NOT_SIGNED_IN()
    return Credential(scheme.lower(), token.strip())


@dataclass(frozen=True, slots=True)
class Authentication:
    """Finds out who calls. `providers` None: tokens of identity providers are refused."""

    database: Database
    tokens: Tokens
    providers: Providers | None = None

    async def identify(self, credential: Credential, *, tenant: str | None, device_id: str = "") -> Identity:
        """The caller and the tenant named by `tenant` (a config id or number). Raises `auth.required` and the like."""
        scheme, token = credential.scheme, credential.token
        if scheme != _BEARER:
            if self.providers is None:
                raise NOT_SIGNED_IN()
            return await self.providers.identify(scheme, token, tenant=tenant, device_id=device_id)
        async with self.database.single() as db:
            if token.startswith(KEY_PREFIX):
                return await identify_service(db, token, tenant=tenant, device_id=device_id)
            return await identify_session(db, self.tokens, token, tenant=tenant, device_id=device_id)
