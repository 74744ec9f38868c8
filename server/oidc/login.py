"""Signing in with a browser: authorization code with PKCE, kept together by a sealed cookie."""

import base64
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson

from server.auth.authentication import NOT_SIGNED_IN
from server.auth.model import Proof
from server.auth.sessions import Opened, Sessions
from server.db import Database
from server.kit.clock import parse_iso
from server.kit.problem import ProblemKind
from server.oidc import queries
from server.oidc.claims import claim_at, person_of
from server.oidc.identification import Standing, TenantProviders, role_of
from server.oidc.issuer import Issuer
from server.oidc.keeping import PROVIDER_UNAVAILABLE, RETRY
from server.oidc.model import CallbackQuery, Person, Provider, PublicProvider, SignedIn
from server.oidc.tokens import Untrusted, check_access_token, check_id_token, look_at
from server.tenants.model import ACTIVE, Tenant
from server.vault import KeyMissing, Keyring, NotSealed

log = logging.getLogger("croft.oidc")

UNKNOWN_PROVIDER = ProblemKind("auth.unknown-provider", 404, "There is no such sign-in service.")
LOGIN_FAILED = ProblemKind(
    "auth.login-failed",
    400,
    "Signing in did not work: it took too long, was broken off, or was done already. Try again.",
)

LOGIN_COOKIE: Final = "__Host-croft-oidc"
CALLBACK_PATH: Final = "/api/v2/auth/{configId}/{type}/callback"
"""Each provider has one of its own: what comes back there was sent by no other, so the code of one is never handed to
another, whoever chose that other and sent the browser on."""

_TIME_FOR_LOGIN: Final = timedelta(minutes=10)
_PLACE: Final = "oidc login"
_RANDOM_BYTES: Final = 32

# A path of this server: what begins with two slashes, or a slash and a backslash, is another host to a browser.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,499}")


@dataclass(frozen=True, slots=True)
class Transaction:
    """A login under way, as the browser keeps it, sealed, from its start to its end."""

    tenant_id: int
    config_id: str
    type: str
    issuer: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    return_to: str
    ends_at: str


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and the cookie that it has to bring back."""

    location: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BrowserLogin:
    """Sends browsers to a tenant's provider and takes them back."""

    database: Database
    providers: TenantProviders
    sessions: Sessions
    keyring: Keyring

    async def list_providers(self, config_id: str) -> list[PublicProvider]:
        """What a browser can sign in with; nothing for an unknown tenant."""
        _, providers = await self._of(config_id)
        return [PublicProvider(type=each.type, name=each.name) for each in providers]

    async def start(self, config_id: str, kind: str, *, origin: str, return_to: str, at: datetime) -> Started:
        """Begins a login at the tenant's provider of this type.

        Raises `auth.unknown-provider`, also for an unknown tenant, and `auth.provider-unavailable`.
        """
        tenant, providers = await self._of(config_id)
        provider = next((each for each in providers if each.scheme == kind.casefold()), None)
        if tenant is None or provider is None:
            raise UNKNOWN_PROVIDER()
        endpoints = await self.providers.issuer_of(tenant, provider).endpoints()
        if not endpoints.authorization:
            raise PROVIDER_UNAVAILABLE(headers=RETRY)
        transaction = Transaction(
            tenant_id=tenant.id,
            config_id=tenant.config_id,
            type=provider.type,
            issuer=provider.issuer,
            state=secrets.token_urlsafe(_RANDOM_BYTES),
            nonce=secrets.token_urlsafe(_RANDOM_BYTES),
            verifier=secrets.token_urlsafe(_RANDOM_BYTES),
            redirect_uri=f"{origin}{callback_path(tenant.config_id, provider.type)}",
            return_to=own_path(return_to),
            ends_at=(at + _TIME_FOR_LOGIN).isoformat(),
        )
        location = httpx.URL(endpoints.authorization).copy_merge_params(_question(provider, transaction))
        return Started(str(location), self._cookie(transaction))

    async def finish(
        self, config_id: str, kind: str, given: CallbackQuery, cookie: str, *, at: datetime, address: str
    ) -> SignedIn:
        """Ends the login that the cookie is of, and opens a browser session that reaches its tenant alone.

        `config_id` and `kind` are those of the address that the browser came back to.

        Raises `auth.login-failed`, `auth.not-admitted` and `auth.provider-unavailable`.
        """
        transaction = self._opened(cookie)
        if transaction is None or (config_id, kind) != (transaction.config_id, transaction.type):
            raise LOGIN_FAILED()
        if not _belongs_together(transaction, given, at):
            raise LOGIN_FAILED()
        await self._use_up(transaction, at)
        tenant = await self._tenant_of(transaction)
        provider = await self._provider_of(tenant, transaction)
        person = await self._person(tenant, provider, transaction, given.code)
        standing = await self.providers.admitted(tenant, provider, person)
        opened = await self._open_session(standing, provider, person, at, address)
        return SignedIn(opened.token, opened.expires_at, transaction.return_to)

    async def _of(self, config_id: str) -> tuple[Tenant | None, list[Provider]]:
        standing = await self.providers.standing(config_id) if config_id else None
        if standing is None or standing.tenant.state != ACTIVE:
            return None, []
        providers = await self.providers.providers_of(standing.tenant)
        return standing.tenant, [each for each in providers if each.can_sign_in]

    async def _tenant_of(self, transaction: Transaction) -> Tenant:
        """The tenant that the login was begun for, and no other that has its config id by now."""
        standing = await self.providers.standing(transaction.config_id)
        if standing is None or standing.tenant.id != transaction.tenant_id or standing.tenant.state != ACTIVE:
            raise LOGIN_FAILED()
        return standing.tenant

    async def _provider_of(self, tenant: Tenant, transaction: Transaction) -> Provider:
        """The provider that the login was begun at, if the tenant still has it."""
        for provider in await self.providers.providers_of(tenant):
            if (provider.type, provider.issuer) == (transaction.type, transaction.issuer) and provider.can_sign_in:
                return provider
        raise LOGIN_FAILED()

    async def _use_up(self, transaction: Transaction, at: datetime) -> None:
        """Whatever comes of it: nobody ends the same login twice."""
        digest = hashlib.sha256(transaction.state.encode()).digest()
        async with self.database.shared() as db:
            is_new = await queries.use_up_login(db, digest, at, parse_iso(transaction.ends_at))
        if not is_new:
            raise LOGIN_FAILED()

    async def _person(self, tenant: Tenant, provider: Provider, transaction: Transaction, code: str) -> Person:
        issuer = self.providers.issuer_of(tenant, provider)
        tokens = await issuer.exchange(code, transaction.verifier, transaction.redirect_uri)
        if tokens is None:
            raise LOGIN_FAILED()
        try:
            person = await _person_in(tokens, issuer, transaction.nonce)
        except Untrusted as error:
            log.warning("A login for tenant %s was refused: %s.", tenant.config_id, error)
            raise LOGIN_FAILED() from None
        return person

    async def _open_session(
        self, standing: Standing, provider: Provider, person: Person, at: datetime, address: str
    ) -> Opened:
        user_id, tenant = standing.row["user_id"], standing.tenant
        member = standing.row["member_role"]
        async with self.database.shared() as db:
            password_hash = await queries.find_password_hash(db, user_id)
            if password_hash is None:
                raise NOT_SIGNED_IN()
            proof = Proof(user_id, password_hash, second_factor=person.second_factor, tenant_id=tenant.id)
            opened = await self.sessions.open(db, proof, kind="browser", at=at, address=address)
            if opened is None:
                raise NOT_SIGNED_IN()
            if provider.roles is not None:
                # A mapping that gives no role gives none: the name is no role's.
                role = role_of(standing, provider, person, member=member)
                await queries.set_session_role(db, opened.session_id, role or "")
        return opened

    def _cookie(self, transaction: Transaction) -> str:
        sealed = self.keyring.seal(orjson.dumps(asdict(transaction)).decode(), place=_PLACE)
        return (
            f"{LOGIN_COOKIE}={sealed}; Max-Age={int(_TIME_FOR_LOGIN.total_seconds())}; HttpOnly; Path=/; Secure; "
            "SameSite=Lax"
        )

    def _opened(self, cookie: str) -> Transaction | None:
        try:
            return Transaction(**orjson.loads(self.keyring.open(cookie, place=_PLACE)))
        except (NotSealed, KeyMissing):
            return None


def callback_path(config_id: str, kind: str) -> str:
    """Where a tenant's provider of this type sends browsers back to."""
    return CALLBACK_PATH.format(configId=quote(config_id, safe=""), type=quote(kind, safe=""))


def no_login_cookie() -> str:
    """The value of the Set-Cookie header that ends a login, whatever came of it."""
    return f"{LOGIN_COOKIE}=; Max-Age=0; HttpOnly; Path=/; Secure; SameSite=Lax"


def own_path(given: str) -> str:
    """The path on this server that is asked for; `/` for anything that a browser could take for another host."""
    return given if _OWN_PATH.fullmatch(given) else "/"


def _question(provider: Provider, transaction: Transaction) -> dict[str, str]:
    digest = hashlib.sha256(transaction.verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": transaction.redirect_uri,
        "scope": provider.scope,
        "state": transaction.state,
        "nonce": transaction.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    # What Auth0 asks for; the standard has no such parameter and others leave it aside.
    return {**asked, "audience": provider.audiences[0]} if provider.audiences else asked


def _belongs_together(transaction: Transaction, given: CallbackQuery, at: datetime) -> bool:
    """Whether what came back is the answer to this login, of the issuer that it was begun at, in time."""
    is_answer = hmac.compare_digest(transaction.state.encode(), given.state.encode("utf-8", "replace"))
    is_of_issuer = given.iss in ("", transaction.issuer)
    return is_answer and is_of_issuer and bool(given.code) and not given.error and at < parse_iso(transaction.ends_at)


async def _person_in(tokens: Mapping[str, Any], issuer: Issuer, nonce: str) -> Person:
    """Whom the ID token means. Raises Untrusted."""
    provider = issuer.provider
    id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
    if not isinstance(id_token, str) or not isinstance(access_token, str):
        raise Untrusted("the login brought no tokens")
    shown = look_at(id_token)
    keys = await issuer.keys(shown.kid if shown else None)
    claims = check_id_token(id_token, keys, provider, nonce=nonce, access_token=access_token)
    person = person_of(provider.issuer, claims, second_factor=provider.second_factor)
    if person is None:
        raise Untrusted("the ID token names nobody")
    if provider.roles is not None and claim_at(claims, provider.roles.claim) is None:
        # Keycloak tells roles in the access token alone.
        return replace(person, claims={**await _access_claims(access_token, issuer, person), **claims})
    return person


async def _access_claims(access_token: str, issuer: Issuer, person: Person) -> Mapping[str, Any]:
    """What the access token says of the same person; nothing where it is opaque or meant for somebody else."""
    shown = look_at(access_token)
    if shown is None or shown.subject != person.subject:
        return {}
    try:
        return check_access_token(access_token, shown, await issuer.keys(shown.kid), issuer.provider)
    except Untrusted:
        return {}
