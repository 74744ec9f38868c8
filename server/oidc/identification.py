"""Who holds a token of a tenant's provider."""

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson

from server.app_configs.sealing import open_document, place_of_config
from server.auth.authentication import NOT_SIGNED_IN, SESSION_PREFIX, Identity
from server.db import Database
from server.db.connection import Row
from server.kit.call import Caller
from server.kit.clock import utc_now
from server.kit.problem import Problem
from server.oidc import queries
from server.oidc.admission import NOT_ADMITTED, admit
from server.oidc.claims import person_of, role_said
from server.oidc.issuer import Issuer
from server.oidc.keeping import Clock, Recent, Times
from server.oidc.model import Person, Provider
from server.oidc.opaque import OpaqueTokens
from server.oidc.reading import providers_in
from server.oidc.tokens import Shown, Untrusted, check_access_token, look_at
from server.outbound import Outbound
from server.roles.permissions import ROLES, rights_of
from server.tenants.model import Tenant, tenant_from
from server.vault import Keyring

log = logging.getLogger("croft.oidc")

BEARER: Final = "bearer"

_MOST_TENANTS: Final = 1_000
_MOST_ISSUERS: Final = 1_000
_MOST_TRIED: Final = 3
_SEEN_EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant, and how somebody stands in it. roles: its own ones with what they hold."""

    tenant: Tenant
    row: Row

    @property
    def own_roles(self) -> dict[str, list[str]]:
        """The roles that the tenant made for itself, with their permissions."""
        text = self.row["own_roles"]
        return orjson.loads(text) if text else {}


class TenantProviders:
    """Checks what identity providers of tenants have issued, and finds out who is meant.

    A tenant's providers are kept by the number of its config, which every request looks up: a change counts at once.
    What they told of their keys is kept for five minutes, and through an outage for a day; what they told of an opaque
    token for a minute. Account, membership and role are looked up for every request.
    """

    def __init__(
        self,
        database: Database,
        outbound: Outbound,
        keyring: Keyring,
        *,
        userinfo_issuers: Iterable[str] = (),
        times: Times | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._database = database
        self._outbound = outbound
        self._keyring = keyring
        self._times = times or Times()
        self._clock = clock
        self._opaque = OpaqueTokens(frozenset(userinfo_issuers), clock)
        self._providers: Recent[tuple[int, int], tuple[Provider, ...]] = Recent(_MOST_TENANTS, clock)
        self._issuers: Recent[tuple[int, Provider], Issuer] = Recent(_MOST_ISSUERS, clock)

    async def identify(self, scheme: str, token: str, *, tenant: str | None, device_id: str) -> Identity:
        """Who holds a token of the tenant's provider of the type `scheme`; `bearer` leaves it to the token's issuer.

        Raises `auth.required`, `auth.not-admitted`, and `auth.provider-unavailable` where it cannot be checked now.
        """
        shown = look_at(token)
        if not tenant or (shown is None and scheme == BEARER):
            raise NOT_SIGNED_IN()
        standing = await self.standing(tenant, shown.issuer if shown else "", shown.subject if shown else "")
        if standing is None:
            raise NOT_SIGNED_IN()
        providers = [each for each in await self.providers_of(standing.tenant) if scheme in (BEARER, each.scheme)]
        provider, person = await self._check(standing.tenant, providers, token, shown)
        if shown is None:
            standing = await self.standing_in(standing.tenant, person.issuer, person.subject)
        return await self._identity(standing, provider, person, device_id)

    async def standing(self, tenant: str, issuer: str = "", subject: str = "") -> Standing | None:
        """The tenant with this config id or number, and how the identity stands in it; None for an unknown tenant."""
        if "\0" in tenant:
            return None
        async with self._database.single() as db:
            row = await queries.find_standing(db, tenant, issuer, subject)
        return Standing(tenant_from(row), row) if row is not None else None

    async def standing_in(self, tenant: Tenant, issuer: str, subject: str) -> Standing:
        """How the identity stands in the tenant. Raises `auth.required` where the tenant is gone meanwhile."""
        # By its config id: its number can be the config id of another.
        standing = await self.standing(tenant.config_id, issuer, subject)
        if standing is None or standing.tenant.id != tenant.id:
            raise NOT_SIGNED_IN()
        return standing

    async def providers_of(self, tenant: Tenant) -> tuple[Provider, ...]:
        """The providers in the tenant's present config."""
        key = (tenant.id, tenant.config_number)
        providers = self._providers.get(key)
        if providers is None:
            async with self._database.single() as db:
                stored = await queries.find_auth_configs(db, tenant.id, tenant.config_number)
            opened = open_document({"authConfigs": stored}, self._keyring, place_of_config(tenant.id))
            providers = providers_in(opened["authConfigs"])
            self._providers.put(key, providers)
        return providers

    def issuer_of(self, tenant: Tenant, provider: Provider) -> Issuer:
        """Where the provider of the tenant is asked."""
        issuer = self._issuers.get((tenant.id, provider))
        if issuer is None:
            issuer = Issuer(provider, self._outbound, self._times, self._clock)
            self._issuers.put((tenant.id, provider), issuer)
        return issuer

    async def admitted(self, tenant: Tenant, provider: Provider, person: Person) -> Standing:
        """How the person stands in the tenant, having an account there from now on.

        Raises `auth.required` where the tenant is gone meanwhile, and `auth.not-admitted`.
        """
        standing = await self.standing_in(tenant, person.issuer, person.subject)
        if not standing.row["is_known"]:
            async with self._database.shared() as db:
                role = role_of(standing, provider, person, member=None)
                await admit(db, tenant, provider, person, role=role, at=utc_now())
            standing = await self.standing_in(tenant, person.issuer, person.subject)
        if standing.row["user_id"] is None:
            raise NOT_ADMITTED()
        return standing

    async def _check(
        self, tenant: Tenant, providers: Sequence[Provider], token: str, shown: Shown | None
    ) -> tuple[Provider, Person]:
        """The provider that vouches for the token, and whom it means."""
        possible = [each for each in providers if shown is None or each.issuer == shown.issuer]
        failed: Problem | None = None
        for provider in possible[:_MOST_TRIED]:
            try:
                return provider, await self._person(tenant, provider, token, shown)
            except Untrusted as error:
                log.info("A token for tenant %s was refused: %s.", tenant.config_id, error)
            except Problem as problem:
                failed = problem
        raise failed or NOT_SIGNED_IN()

    async def _person(self, tenant: Tenant, provider: Provider, token: str, shown: Shown | None) -> Person:
        issuer = self.issuer_of(tenant, provider)
        claims: Any
        if shown is None:
            claims = await self._opaque.claims(tenant.id, issuer, token)
        else:
            claims = check_access_token(token, shown, await issuer.keys(shown.kid), provider)
        person = person_of(provider.issuer, claims, second_factor=provider.second_factor)
        if person is None:
            raise Untrusted("it names nobody")
        return person

    async def _identity(self, standing: Standing, provider: Provider, person: Person, device_id: str) -> Identity:
        if standing.row["user_id"] is None:
            standing = await self.admitted(standing.tenant, provider, person)
        await self._mark_seen(standing, person)
        return Identity(_caller(standing, provider, person, device_id), standing.tenant)

    async def _mark_seen(self, standing: Standing, person: Person) -> None:
        """Now and then, so that reading alone does not write."""
        at = utc_now()
        if at - standing.row["last_seen_at"] >= _SEEN_EVERY:
            async with self._database.shared() as db:
                await queries.mark_seen(db, standing.tenant.id, person.issuer, person.subject, at)


def role_of(standing: Standing, provider: Provider, person: Person, *, member: str | None) -> str | None:
    """The role that the provider's config gives the person, or `member`, that of the membership, where it is silent."""
    if provider.roles is None:
        return member
    return role_said(provider.roles, person.claims, {*ROLES, *standing.own_roles})


def _caller(standing: Standing, provider: Provider, person: Person, device_id: str) -> Caller:
    """The caller, bound to this tenant: an operator is none here, and whoever is no member has no role either."""
    row, member = standing.row, standing.row["member_role"]
    role = role_of(standing, provider, person, member=member) if member is not None else None
    return Caller(
        account=str(row["user_id"]),
        account_id=row["user_id"],
        email=row["email"],
        is_operator=False,
        session_id="",
        role=role,
        rights=rights_of(role, standing.own_roles.get(role) if role and role not in ROLES else None),
        is_in_person=False,
        bound_to=standing.tenant.id,
        lacks_second_factor=standing.tenant.second_factor and not person.second_factor,
        device=device_id or f"{SESSION_PREFIX}provider:{row['user_id']}:{_digest(person.sid)}",
    )


def _digest(sid: str) -> str:
    """The provider's own session: of two phones of one person each has one."""
    return hashlib.sha256(sid.encode()).hexdigest()[:16] if sid else ""
