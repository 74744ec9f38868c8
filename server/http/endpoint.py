"""One request through one route: tenant hint, credentials, body, permission, scope, handler, commit, answer."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from server.auth.authentication import Identity, named_device
from server.auth.queries import list_rights
from server.db import Connection, Database
from server.db.migrations import tenant_migrations
from server.http.admission import Place
from server.http.authentication import Authentication, credential_of
from server.http.body import hints_in, parse_body, parse_query, parse_upload, read_body
from server.http.lane import Lane
from server.http.load import LARGE_BODY, Bounds, HeldBody, Load
from server.http.outsiders import record_operator
from server.http.packing import coding_of_answer, packed, packer_of
from server.http.route import Route
from server.http.streaming import StreamedResponse
from server.kit.call import Answer, Call, Caller, Streamed, Upload
from server.kit.clock import utc_now
from server.kit.problem import ProblemKind
from server.kit.sight import EVERYTHING, Sight
from server.kit.strict_json import dump_json
from server.roles.decision import FORBIDDEN, is_allowed, require, sight_of
from server.tenants.model import SUSPENDED, Tenant
from server.tenants.problems import NOT_MIGRATED, UNKNOWN_TENANT

TENANT_NEEDED = ProblemKind("tenants.missing", 400, "Say which tenant: configId or the header X-Tenant-Id.")
TENANTS_DISAGREE = ProblemKind("tenants.disagree", 400, "The request names two different tenants.")
TENANT_SUSPENDED = ProblemKind("tenants.suspended", 403, "This tenant is suspended.")
TOOK_TOO_LONG = ProblemKind("request.timeout", 503, "The request took too long and was given up.")

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")

_STRANGERS_BODY = 64 * 1024
"""What somebody who has not signed in may send at most, in bytes."""

_EARLY_BODY = 1024 * 1024
"""Bytes that a body may have that is read before it is known whose it is; a larger one names its tenant elsewhere."""

_STRANGERS = "strangers"

_EVENT_STREAM = "text/event-stream"
_PACKED_TYPES = frozenset({"application/json", "application/x-ndjson"})
_WORTH_PACKING = 1024
"""Answers of fewer bytes fit into one packet as they are."""

_NO_TRANSACTION = cast(Connection, None)

NOBODY = Caller(account="", account_id=0, email="", is_operator=False, session_id="", is_in_person=False)


@dataclass(frozen=True, slots=True)
class Serving:
    """What every endpoint needs: the database, who finds out whose a request is, and the limits of a request.

    load: what of each tenant is under way. lane: where large requests are worked on; without it, where all are.
    on_write: is told of every tenant in whose scope something may have been written, after the commit.
    public_url: the base URL of this server, or None to take it from a request's Host when that is in allowed_hosts.
    """

    database: Database
    authentication: Authentication
    max_body: int = 16 * 1024 * 1024
    timeout_seconds: float = 60.0
    public_url: str | None = None
    allowed_hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1"})
    on_write: Callable[[Tenant], None] = lambda tenant: None
    lane: Lane | None = None
    load: Load = field(default_factory=lambda: Load(Bounds()))


@dataclass(frozen=True, slots=True)
class _Early:
    """A body that was read before it was known who sends it, and the names of a tenant in it."""

    raw: bytes = field(repr=False)
    hints: list[str]


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
        return await response_to(request, answer, self._route.media_type)

    async def _handle(self, request: Request, facts: dict[str, object]) -> Any:
        route = self._route
        hints = tenant_hints(request, route)
        early = None if hints else await self._read_early(request)
        identity = await self._identify(request, early.hints if early else hints)
        facts["account"] = identity.caller.account
        if hints or route.tenant == "none":
            self._admit(identity, named=bool(hints))
            self._count(request, identity.tenant)
        elif early is None and route.takes_body:
            await self._admit_anywhere(identity.caller)
        owner = _owner(identity)
        with self._serving.load.body_of(owner) as held:
            raw = await self._read(request, held, early)
            async with self._serving.load.turn_of(owner, len(raw)):
                body = await self._parsed(request, raw)
                return await self._answer(request, facts, identity, hints, body, is_large=len(raw) > LARGE_BODY)

    async def _answer(
        self,
        request: Request,
        facts: dict[str, object],
        identity: Identity,
        hints: list[str],
        body: BaseModel | Upload | None,
        *,
        is_large: bool,
    ) -> Any:
        route = self._route
        was_counted = bool(hints)
        if route.tenant != "none" and (named := named_in_body(body, route)):
            if not hints:
                identity = await self._identify(request, [named])
            hints = [*hints, named]
        await self._check_one_tenant(request, hints, identity)
        self._admit(identity, named=bool(hints))
        if not was_counted:
            self._count(request, identity.tenant)
        facts["tenant"] = identity.tenant.config_id if identity.tenant else ""
        query = parse_query(dict(request.query_params), route.query)
        call = Call(
            db=_NO_TRANSACTION,
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
            sight=sight_of(identity.caller, identity.tenant.form_roles) if identity.tenant else EVERYTHING,
        )
        await record_operator(self._serving.database, route, call)
        lane = self._serving.lane
        if lane is not None and is_large and route.scope == "tenant":
            answer = await lane.run(partial(self._handled_aside, call))
        else:
            answer = await self._handled(call, self._serving.database)
        for act in call.after_commit:
            act()
        if identity.tenant is not None and route.scope == "tenant" and route.write:
            self._serving.on_write(identity.tenant)
        return answer

    async def _handled(self, call: Call, database: Database) -> Any:
        """What the handler returns, with its transaction committed."""
        async with self._transaction(call.tenant, call.sight, database) as db:
            call = replace(
                call,
                db=db,
                reading=partial(self._opened, call, database, readonly=True),
                writing=partial(self._opened, call, database, readonly=False),
            )
            return await self._route.handler(call)

    async def _handled_aside(self, call: Call, database: Database) -> Any:
        """The same in a lane, where its answer is written, too."""
        answer = await self._handled(call, database)
        return (
            answer
            if isinstance(answer, Answer | Streamed)
            else Answer(dump_json(answer), media_type=self._route.media_type)
        )

    async def _identify(self, request: Request, hints: list[str]) -> Identity:
        if self._route.is_public:
            return Identity(NOBODY, None)
        return await self._serving.authentication.identify(
            credential_of(request.method, request.headers),
            tenant=hints[0] if hints else None,
            device_id=device_id(request),
        )

    async def _read_early(self, request: Request) -> "_Early | None":
        """The body, where only the tenant that it names can tell whose the request is; of so many bytes at most.

        All strangers together take no more room than one tenant may.
        """
        route, serving = self._route, self._serving
        if route.is_public or route.tenant == "none" or route.body is None:
            return None
        if not serving.authentication.is_of_provider(credential_of(request.method, request.headers)):
            return None
        with serving.load.body_of(_STRANGERS) as held:
            raw = await read_body(request, min(_EARLY_BODY, serving.max_body), packed=route.compressed, held=held)
            return _Early(raw, await hints_in(raw))

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

    def _count(self, request: Request, tenant: Tenant | None) -> None:
        """Counts the request among the tenant's until its answer has been sent. Raises `tenants.busy`."""
        if tenant is None:
            return
        place: Place = request.scope["place"]
        name = _name_of(tenant)
        if self._route.media_type == _EVENT_STREAM:
            place.held.enter_context(self._serving.load.listener_of(name))
            place.listens()
        else:
            place.held.enter_context(self._serving.load.request_of(name))

    async def _admit_anywhere(self, caller: Caller) -> None:
        """Refuses a caller who may do this in no tenant at all, while only the body could tell in which one."""
        async with self._serving.database.single() as db:
            held = await list_rights(db, caller.account_id)
        everywhere = [replace(caller, rights=rights) for rights in (caller.rights, *held)]
        if not any(is_allowed(each, self._route.permission) for each in everywhere):
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

    async def _read(self, request: Request, held: HeldBody, early: "_Early | None") -> bytes:
        route = self._route
        if early is not None:
            held.add(len(early.raw))
            return early.raw
        if not route.takes_body:
            return b""
        if route.is_public:
            # Not counted among those of the signed in, whom strangers could keep out; their own number bounds them.
            return await read_body(request, min(_STRANGERS_BODY, self._serving.max_body), packed=route.compressed)
        return await read_body(request, self._serving.max_body, packed=route.compressed, held=held)

    async def _parsed(self, request: Request, raw: bytes) -> BaseModel | Upload | None:
        route = self._route
        if not route.takes_body:
            return None
        if route.upload:
            return await parse_upload(raw, request.headers)
        assert route.body is not None
        if route.body_optional and not raw:
            return route.body()
        return await parse_body(raw, route.body, request.headers.get("content-type", ""), route.lines)

    def _transaction(self, tenant: Tenant | None, sight: Sight, database: Database) -> AbstractAsyncContextManager[Any]:
        route = self._route
        if route.scope in ("none", "stream"):
            return _no_transaction()
        if route.scope == "shared":
            return database.shared(readonly=not route.write)
        assert tenant is not None
        return database.inside(
            tenant.scope, readonly=not route.write, sight=sight, sees_everything=route.sees_everything
        )

    def _opened(self, call: Call, database: Database, *, readonly: bool) -> AbstractAsyncContextManager[Connection]:
        assert self._route.scope == "stream"
        return database.inside(call.tenant.scope, readonly=readonly, sight=call.sight)

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
    return named_device(request.headers.get("x-device-id", ""))


@asynccontextmanager
async def _no_transaction() -> AsyncIterator[Connection | None]:
    yield None


def _owner(identity: Identity) -> str:
    """Whose a body is, and the work on it."""
    return _name_of(identity.tenant) if identity.tenant else f"account {identity.caller.account}"


def _name_of(tenant: Tenant) -> str:
    return f"tenant {tenant.id}"


async def response_to(request: Request, answer: Any, media_type: str) -> Response:
    """What a handler returned, as a response: JSON unless it says otherwise, packed as the caller likes it."""
    coding = coding_of_answer(request.headers.get("accept-encoding", ""))
    if isinstance(answer, Streamed):
        may_pack = answer.media_type in _PACKED_TYPES
        packer = packer_of(coding) if coding and may_pack else None
        response: Response = StreamedResponse(answer, packer)
        if may_pack:
            _say_packed(response, coding)
        return response
    if not isinstance(answer, Answer):
        answer = Answer(answer, media_type=media_type)
    content = answer.body if isinstance(answer.body, bytes) else dump_json(answer.body)
    may_pack = answer.media_type in _PACKED_TYPES and len(content) >= _WORTH_PACKING
    if may_pack and coding:
        content = await packed(content, coding)
    response = Response(content, answer.status, headers=dict(answer.headers), media_type=answer.media_type)
    for cookie in answer.cookies:
        response.headers.append("Set-Cookie", cookie)
    if may_pack:
        _say_packed(response, coding)
    return response


def _say_packed(response: Response, coding: str | None) -> None:
    """A packed answer has other bytes: its ETag, if it has one, may be no strong one."""
    response.headers.add_vary_header("Accept-Encoding")
    if coding is None:
        return
    response.headers["Content-Encoding"] = coding
    tag = response.headers.get("etag", "W/")
    if not tag.startswith("W/"):
        response.headers["ETag"] = f"W/{tag}"
