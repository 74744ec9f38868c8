"""A small OpenID provider on loopback: real keys, real HTTP, and it can be stopped.

It signs in whomever `person` names without asking, and says what it is told to say.
"""

import asyncio
import base64
import hashlib
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx
import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.conftest import Croft

CLIENT_ID = "croft-phones"
CLIENT_SECRET = "secret: of/the client"
LOOPBACK = "127.0.0.0/8"

_KEYS = 4
"""How many issuers have keys of their own at the same time."""

_issuers = count()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """One of several keys: making them takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """One of several keys on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PrivateKey) -> bytes:
    """What everybody may know of a key, as it is printed in documentation."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    """The whole key."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def jwk_of(key: PrivateKey, kid: str) -> dict[str, Any]:
    """The public key as issuers tell it."""
    if isinstance(key, rsa.RSAPrivateKey):
        told: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**told, "kid": kid, "use": "sig", "alg": "RS256"}
    told = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**told, "kid": kid, "use": "sig", "alg": "ES256"}


@dataclass
class SmallIssuer:
    """A provider at `url`. `keys` by their ids are those it tells of; tokens are signed with `kid`.

    person: the claims of whoever signs in. says: what it answers about opaque tokens. asked: how often each path was.
    """

    url: str
    port: int
    context: tuple[str, str] | None = None
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    kid: str = "first"
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "amina"})
    says: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    description: dict[str, Any] = field(default_factory=dict)
    access_claims: dict[str, Any] = field(default_factory=dict)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: count(1))
    _server: "_Embedded | None" = None
    _running: "asyncio.Task[None] | None" = None

    @property
    def issuer(self) -> str:
        """The name it has in its tokens."""
        return self.url

    def token(self, *, kid: str | None = None, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """An access token for our client, signed, with these claims changed; None leaves one out."""
        now = int(time.time())
        content = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "azp": CLIENT_ID,
            "exp": now + 300,
            "iat": now,
            **self.person,
            **claims,
        }
        content = {name: value for name, value in content.items() if value is not None}
        return self.signed(content, kid=kid, headers=headers)

    def signed(self, content: dict[str, Any], *, kid: str | None = None, headers: dict[str, Any] | None = None) -> str:
        """A token with exactly this in it."""
        kid = kid or self.kid
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(content, private_pem(key), algorithm=algorithm, headers={"kid": kid, **(headers or {})})

    def rotate(self) -> None:
        """Another key takes the place of those before. Done twice at the most."""
        number = next(self._numbers)
        self.kid = f"key-{number}"
        self.keys = {self.kid: rsa_key(_KEYS + number)}

    async def start(self) -> None:
        """Serves, again where it was stopped."""
        path = urlsplit(self.url).path.rstrip("/")
        routes = [
            Route(f"{path}/.well-known/openid-configuration", self._describe),
            Route(f"{path}/keys", self._tell_keys),
            Route(f"{path}/authorize", self._authorize),
            Route(f"{path}/token", self._give_tokens, methods=["POST"]),
            Route(f"{path}/introspect", self._introspect, methods=["POST"]),
            Route(f"{path}/userinfo", self._userinfo),
        ]
        certificate, key = self.context or (None, None)
        config = uvicorn.Config(
            Starlette(routes=routes),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        self._server = _Embedded(config)
        self._running = asyncio.create_task(self._server.serve(sockets=[_bound(self.port)]))
        await self._server.up.wait()

    async def stop(self) -> None:
        """Serves no more: whoever asks is refused, as by a host where nobody listens."""
        if self._server is None or self._running is None:
            return
        self._server.should_exit = True
        await self._running
        self._server = self._running = None

    # What it answers

    def _count(self, request: Request) -> None:
        self.asked[request.url.path.rpartition("/")[2]] += 1

    async def _describe(self, request: Request) -> Response:
        self._count(request)
        base = self.url.rstrip("/")
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "jwks_uri": f"{base}/keys",
                "introspection_endpoint": f"{base}/introspect",
                "userinfo_endpoint": f"{base}/userinfo",
                **self.description,
            }
        )

    async def _tell_keys(self, request: Request) -> Response:
        self._count(request)
        return JSONResponse({"keys": [jwk_of(key, kid) for kid, key in self.keys.items()]})

    async def _authorize(self, request: Request) -> Response:
        self._count(request)
        given = dict(request.query_params)
        assert given["client_id"] == CLIENT_ID
        assert given["response_type"] == "code"
        assert given["code_challenge_method"] == "S256"
        code = f"code-{next(self._numbers)}"
        self._codes[code] = given
        back = urlencode({"code": code, "state": given["state"], "iss": self.issuer})
        return RedirectResponse(f"{given['redirect_uri']}?{back}", 302)

    async def _give_tokens(self, request: Request) -> Response:
        self._count(request)
        form = await _form(request)
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or not _is_our_client(request, form) or not _shows_verifier(asked, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        access_token = self.token(**self.access_claims)
        digest = hashlib.sha256(access_token.encode()).digest()
        now = int(time.time())
        id_token = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "at_hash": base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode(),
            **self.person,
        }
        return JSONResponse(
            {"access_token": access_token, "id_token": self.signed(id_token), "token_type": "Bearer", "expires_in": 300}
        )

    async def _introspect(self, request: Request) -> Response:
        self._count(request)
        form = await _form(request)
        if not _is_our_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        said = self.says.get(form["token"])
        return JSONResponse({"active": True, **said} if said else {"active": False})

    async def _userinfo(self, request: Request) -> Response:
        self._count(request)
        said = self.says.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        return JSONResponse(said) if said else JSONResponse({"error": "invalid_token"}, 401)


@asynccontextmanager
async def running_issuer(path: str = "", *, tls: tuple[str, str] | None = None) -> AsyncIterator[SmallIssuer]:
    """A provider on a port of its own, with an RSA and an EC key. `tls`: files of a certificate and its key."""
    with _bound(0) as found:
        port = found.getsockname()[1]
    issuer = SmallIssuer(f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}", port, tls)
    number = next(_issuers) % _KEYS
    issuer.keys = {"first": rsa_key(number), "curve": ec_key(number)}
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()


def provider_config(issuer: SmallIssuer, kind: str = "oidc", /, **fields: Any) -> dict[str, Any]:
    """One of a config's authConfigs for the provider."""
    return {"type": kind, "fields": {"issuer": issuer.issuer, "clientId": CLIENT_ID, **fields}}


def anonymous(croft: Croft) -> httpx.AsyncClient:
    """A client without a token, made without reading the certificates that it does not need."""
    client = httpx.AsyncClient(base_url=croft.url, verify=False, timeout=60)
    croft.clients.append(client)
    return client


def client_context(certificate: str) -> ssl.SSLContext:
    """What trusts this certificate and no other."""
    return ssl.create_default_context(cafile=certificate)


class _Embedded(uvicorn.Server):
    """One that leaves the signals to the process that it runs in. `up` is set when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


async def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}


def _is_our_client(request: Request, form: dict[str, str]) -> bool:
    scheme, _, pair = request.headers.get("authorization", "").partition(" ")
    if scheme == "Basic":
        client, _, secret = base64.b64decode(pair).decode().partition(":")
        return (unquote(client), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)
    return form.get("client_id") == CLIENT_ID and form.get("client_secret", CLIENT_SECRET) == CLIENT_SECRET


def _shows_verifier(asked: dict[str, str], form: dict[str, str]) -> bool:
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    is_shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    return is_shown and form.get("redirect_uri") == asked["redirect_uri"]
