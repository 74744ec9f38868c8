"""Providers as a config names them, whom their tokens mean, and what goes over the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_ALGORITHMS: Final = ("RS256", "ES256")


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """Which role somebody has by what the provider says of him.

    claim: its name, or the path to it with dots. roles: what the claim may hold and the role for it, the first that is
    met counts. default: the role of everybody else, None for none.
    """

    claim: str
    roles: tuple[tuple[str, str], ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses at the issuer; empty ones are not known."""

    authorization: str = ""
    token: str = ""
    keys: str = ""
    introspection: str = ""
    userinfo: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """One identity provider of a tenant.

    type: the scheme word of `Authorization: <type> <token>`, in any case. audiences: what its access tokens may be
    meant for; where there are none, `client_id` is. parties: other clients whose tokens are taken. endpoints: those
    that the config names; the issuer's own description names the rest. second_factor: it always asks for one.
    """

    type: str
    name: str
    issuer: str
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    audiences: tuple[str, ...] = ()
    parties: tuple[str, ...] = ()
    scope: str = "openid email profile"
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    is_keycloak: bool = False
    endpoints: Endpoints = Endpoints()
    creates_accounts: bool = False
    roles: RoleMapping | None = None
    second_factor: bool = False

    @property
    def scheme(self) -> str:
        """The scheme word in lower case."""
        return self.type.casefold()

    @property
    def can_sign_in(self) -> bool:
        """Whether a browser can be sent there to sign in."""
        return bool(self.client_id)


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a provider means. `email` is one that it has verified, or empty; `sid` its own session, or empty."""

    issuer: str
    subject: str
    email: str = ""
    sid: str = ""
    second_factor: bool = False
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a browser that came back signed in is given: a token for its cookie, and where it wanted to go."""

    token: str = field(repr=False)
    expires_at: datetime
    return_to: str


class ProvidersQuery(BaseModel):
    """Whose providers are asked for."""

    model_config = ConfigDict(extra="ignore")

    configId: str = Field("", max_length=200)


class PublicProvider(BaseModel):
    """What a page to sign in at needs: `type` for the address to go to, `name` for people."""

    type: str
    name: str


class PublicProviders(BaseModel):
    """The providers that a browser can sign in with, in the order of the config."""

    providers: list[PublicProvider]


class StartQuery(BaseModel):
    """Where to go afterwards: a path on this server."""

    model_config = ConfigDict(extra="ignore")

    returnTo: str = Field("/", max_length=500)


class CallbackQuery(BaseModel):
    """What the provider sends a browser back with."""

    model_config = ConfigDict(extra="ignore")

    code: str = Field("", max_length=4096)
    state: str = Field("", max_length=200)
    iss: str = Field("", max_length=500)
    error: str = Field("", max_length=200)
