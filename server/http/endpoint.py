"""One request through one route: tenant hint, credentials, body, permission, scope, handler, commit, answer."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from server.auth.authentication import SESSION_PREFIX, Identity, bearer_token, identify
from server.auth.queries import list_roles
from server.auth.tokens import Tokens
from server.db import Connection, Database
from server.db.migrations import tenant_migrations
from server.http.body import parse_json, parse_query, parse_upload, read_body
from server.http.route import Route
from server.http.streaming import StreamedResponse
from server.kit.call import Answer, Call, Caller, Streamed, Upload
from server.kit.clock import utc_now
from server.kit.problem import ProblemKind
from server.kit.strict_json import dump_json
from server.roles.decision import FORBIDDEN, is_allowed, require
from server.tenants.model import SUSPENDED, Tenant
from server.tenants.problems import NOT_MIGRATED, UNKNOWN_TENANT

TENANT_NEEDED = ProblemKind("tenants.missing", 400, "Say which tenant: configId or the header X-Tenant-Id.")
TENANTS_DISAGREE = ProblemKind("tenants.disagree", 400, "The request names two different tenants.")
TENANT_SUSPENDED = ProblemKind("tenants.suspended", 403, "This tenant is suspended.")
TOOK_TOO_LONG = ProblemKind("request.timeout", 503, "The request took too long and was given up.")

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")

_STRANGERS_BODY = 64 * 1024
"""What somebody who has not signed in may send at most, in bytes."""

NOBODY = Caller(account_id=0, email="", is_operator=False, session_id="")


@dataclass(frozen=True, slots=True)
class Serving:
    """What every endpoint needs: the database, the tokens, and the limits of a request.

    on_write: is told of every tenant in whose scope something may have been written, after the commit.
    public_url: the base URL of this server, or None to take it from a request's Host when that is in allowed_hosts.
    """

    database: Database
    tokens: Tokens
    max_body: int = 16 * 1024 * 1024
    timeout_seconds: float = 60.0
    public_url: str | None = None
    allowed_hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1"})
    on_write: Callable[[Tenant], None] = lambda tenant: None


class Endpoint:
    """A route as Starlette calls it."""

    def __init__(self, route: Route, serving: Serving) -> None:
        self._route = route
        self._serving = serving

    async def __call__(self, request: Request) -> Response:
        """Answers one request; whatever goes wrong leaves as an exception."""
        facts = request.scope["croft"]
        facts["route"] = self._route.path
        try:
            async with asyncio.timeout(self._serving.timeout_seconds):
                answer = await self._handle(request, facts)
        except TimeoutError:
            raise TOOK_TOO_LONG(headers={"Retry-After": "5"}) from None
        return response_from(answer, self._route.media_type)

    async def _handle(self, request: Request, facts: dict[str, object]) -> Any:
        route = self._route
        hints = tenant_hints(request, route)
        identity = await self._identify(request, hints)
        facts["account"] = identity.caller.account_id or ""
        if hints or route.tenant == "none":
            self._admit(identity, named=bool(hints))
        elif route.takes_body:
            await self._admit_anywhere(identity.caller)
        body = await self._body(request)
        if route.tenant != "none" and (named := named_in_body(body, route)):
            if not hints:
                identity = await self._identify(request, [named])
            hints = [*hints, named]
        await self._check_one_tenant(request, hints, identity)
        self._admit(identity, named=bool(hints))
        facts["tenant"] = identity.tenant.config_id if identity.tenant else ""
        query = parse_query(dict(request.query_params), route.query)
        async with self._transaction(identity.tenant) as db:
            call = Call(
                db=db,
                caller=identity.caller,
                tenant=identity.tenant,
                path=request.path_params,
                query=query,
                body=body,
                at=utc_now(),
                request_id=request.scope["request_id"],
                address=request.client.host if request.client else "",
                origin=self._origin(request),
                authorization=request.headers.get("authorization", ""),
                headers=request.headers,
                reading=partial(self._reading, identity.tenant),
            )
            answer = await route.handler(call)
        for act in call.after_commit:
            act()
        if identity.tenant is not None and route.scope == "tenant" and route.write:
            self._serving.on_write(identity.tenant)
        return answer

    async def _identify(self, request: Request, hints: list[str]) -> Identity:
        if self._route.is_public:
            return Identity(NOBODY, None)
        token = bearer_token(request.headers.get("authorization"))
        async with self._serving.database.shared(readonly=True) as db:
            return await identify(
                db,
                self._serving.tokens,
                token,
                tenant=hints[0] if hints else None,
                device_id=device_id(request),
            )

    async def _check_one_tenant(self, request: Request, hints: list[str], identity: Identity) -> None:
        """Two names of one tenant are fine, its config id and its number for instance; two tenants are not."""
        for other in set(hints[1:]) - {hints[0]} if hints else ():
            tenant = (await self._identify(request, [other])).tenant
            if tenant is None or identity.tenant is None or tenant.id != identity.tenant.id:
                raise TENANTS_DISAGREE()

    def _admit(self, identity: Identity, *, named: bool) -> None:
        """Refuses a caller who may not do this here. Asked before the body is read, where it is known whereto."""
        self._check_tenant(identity, named=named)
        require(identity.caller, self._route.permission)

    async def _admit_anywhere(self, caller: Caller) -> None:
        """Refuses a caller who may do this in no tenant at all, while only the body could tell in which one."""
        async with self._serving.database.shared(readonly=True) as db:
            roles = await list_roles(db, caller.account_id)
        if not any(is_allowed(replace(caller, role=role), self._route.permission) for role in [None, *roles]):
            raise FORBIDDEN()

    def _check_tenant(self, identity: Identity, *, named: bool) -> None:
        route, tenant = self._route, identity.tenant
        if route.tenant == "none":
            return
        if tenant is None:
            if route.tenant == "required":
                raise UNKNOWN_TENANT() if named else TENANT_NEEDED()
            return
        if identity.caller.role is None and not identity.caller.is_operator:
            raise FORBIDDEN()
        if tenant.state == SUSPENDED and not identity.caller.is_operator:
            raise TENANT_SUSPENDED()
        if route.scope in ("tenant", "stream") and tenant.schema_version != tenant_migrations()[-1].id:
            raise NOT_MIGRATED(headers={"Retry-After": "30"})

    async def _body(self, request: Request) -> BaseModel | Upload | None:
        route = self._route
        if not route.takes_body:
            return None
        raw = await read_body(
            request, min(_STRANGERS_BODY, self._serving.max_body) if route.is_public else self._serving.max_body
        )
        if route.upload:
            return await parse_upload(raw, request.headers)
        assert route.body is not None
        if route.body_optional and not raw:
            return route.body()
        return await parse_json(raw, route.body, request.headers.get("content-type", ""))

    def _transaction(self, tenant: Tenant | None) -> AbstractAsyncContextManager[Any]:
        route = self._route
        if route.scope in ("none", "stream"):
            return _no_transaction()
        if route.scope == "shared":
            return self._serving.database.shared(readonly=not route.write)
        assert tenant is not None
        return self._serving.database.inside(tenant.scope, readonly=not route.write)

    def _reading(self, tenant: Tenant | None) -> AbstractAsyncContextManager[Connection]:
        assert tenant is not None
        assert self._route.scope == "stream"
        return self._serving.database.inside(tenant.scope, readonly=True)

    def _origin(self, request: Request) -> str:
        """This server's public address: as configured, or the request's own host where that is an allowed one."""
        if self._serving.public_url:
            return self._serving.public_url.rstrip("/")
        given = _HOST.fullmatch(request.headers.get("host", ""))
        if given and {given[0].lower(), given[1].lower()} & self._serving.allowed_hosts:
            return f"{request.scope['scheme']}://{given[0]}"
        return ""


def tenant_hints(request: Request, route: Route) -> list[str]:
    """Every name of a tenant that path, query and header hold; the first is the one looked up."""
    if route.tenant == "none":
        return []
    in_path = [request.path_params[route.tenant_in_path]] if route.tenant_in_path else []
    named = [*in_path, *request.query_params.getlist("configId"), *request.headers.getlist("x-tenant-id")]
    return list(dict.fromkeys(name for name in named if name))


def named_in_body(body: BaseModel | Upload | None, route: Route) -> str | None:
    """The configId that an old client puts into the body, or the id of an uploaded config.

    Where the path names the tenant, the id in an upload says nothing more: it is the handler who compares the two.
    """
    if isinstance(body, Upload):
        if route.tenant_in_path:
            return None
        named = body.document.get("id") if isinstance(body.document, dict) else None
        return named if isinstance(named, str) else None
    return getattr(body, "configId", None) or None


def device_id(request: Request) -> str:
    """The device's own id where it sends one; old clients do not and are known by their session."""
    given = request.headers.get("x-device-id", "")
    is_fit = 0 < len(given) <= 128 and given.isprintable() and not given.startswith(SESSION_PREFIX)
    return given if is_fit else ""


@asynccontextmanager
async def _no_transaction() -> AsyncIterator[Connection | None]:
    yield None


def response_from(answer: Any, media_type: str = "application/json") -> Response:
    """What a handler returned, as a response: JSON unless it says otherwise."""
    if isinstance(answer, Streamed):
        return StreamedResponse(answer)
    if not isinstance(answer, Answer):
        answer = Answer(answer, media_type=media_type)
    content = answer.body if isinstance(answer.body, bytes) else dump_json(answer.body)
    return Response(content, answer.status, headers=dict(answer.headers), media_type=answer.media_type)
