"""Every route: who may call it at home, and how to call it so that it works.

A new route needs a line in AT_HOME and a case in CASES, or a line in PUBLIC.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import count, permutations
from typing import Any
from uuid import uuid4

import httpx

from server.app import build_app
from server.http.endpoint import Endpoint
from server.http.route import Route
from server.openapi.document import template
from tests.conftest import PASSWORD, settings_for_tests, small_config, upload_of
from tests.isolation.world import CALLERS, PROVIDERS, Things, audit_entry_of, submission

# What each caller is answered in his own tenant; the stranger is a member of none, the operator of none either.
AT_HOME = """
                                           viewer collector reviewer admin stranger nobody operator
POST   /api/users/logout                   200    200       200      200   200      401    200
DELETE /api/v2/auth/browser                200    200       200      200   200      401    200
GET    /api/users/check-token              200    200       200      200   200      401    200
GET    /api/v2/auth/sessions               200    200       200      200   200      401    200
DELETE /api/v2/auth/sessions               200    200       200      200   200      401    200
DELETE /api/v2/auth/sessions/{id}          404    404       404      404   404      401    404
GET    /api/users/{user}/sessions          403    403       403      403   403      401    200
DELETE /api/users/{user}/sessions          403    403       403      403   403      401    200
DELETE /api/users/{user}/sessions/{id}     403    403       403      403   403      401    404
GET    /api/members/{user}/sessions        403    403       403      200   403      401    200
DELETE /api/members/{user}/sessions        403    403       403      200   403      401    200
DELETE /api/members/{user}/sessions/{id}   403    403       403      404   403      401    404
GET    /api/v2/account/second-factor       200    200       200      200   200      401    200
POST   /api/v2/account/second-factor       200    200       200      200   200      401    200
POST   /api/v2/account/second-factor/confirm 422  422       422      422   422      401    422
DELETE /api/v2/account/second-factor       404    404       404      404   404      401    404
POST   /api/v2/account/second-factor/recovery-codes 404 404 404      404   404      401    404
GET    /api/v2/account/app-passwords       200    200       200      200   200      401    200
POST   /api/v2/account/app-passwords       201    201       201      201   201      401    201
DELETE /api/v2/account/app-passwords/{number} 404 404       404      404   404      401    404
DELETE /api/users/{user}/second-factor     403    403       403      403   403      401    404
GET    /api/service-accounts               403    403       403      200   403      401    200
POST   /api/service-accounts               403    403       403      201   403      401    201
GET    /api/service-accounts/{account}     403    403       403      200   403      401    200
PUT    /api/service-accounts/{account}     403    403       403      200   403      401    200
DELETE /api/service-accounts/{account}     403    403       403      404   403      401    404
GET    /api/service-accounts/{account}/keys 403   403       403      200   403      401    200
POST   /api/service-accounts/{account}/keys 403   403       403      201   403      401    201
DELETE /api/service-accounts/{account}/keys/{key} 403 403   403      404   403      401    404
GET    /api/permissions                    403    403       403      200   403      401    200
GET    /api/roles                          403    403       403      200   403      401    200
POST   /api/roles                          403    403       403      201   403      401    201
PUT    /api/roles/{name}                   403    403       403      200   403      401    200
DELETE /api/roles/{name}                   403    403       403      404   403      401    404
POST   /api/v2/account/password            422    422       422      422   422      401    422
POST   /api/v2/account/email               422    422       422      422   422      401    422
POST   /api/v2/account/invitations/accept  422    422       422      422   422      401    422
GET    /api/members/invitations            403    403       403      200   403      401    200
POST   /api/members/invitations            403    403       403      201   403      401    201
DELETE /api/members/invitations/{invitation} 403  403       403      404   403      401    404
GET    /api/members                        403    403       403      200   403      401    200
PUT    /api/members/{user}                 403    403       403      200   403      401    200
DELETE /api/members/{user}                 403    403       403      404   403      401    404
GET    /api/tenants/{id}/security          403    403       403      200   403      401    200
PUT    /api/tenants/{id}/security          403    403       403      200   403      401    200
GET    /api/tenants/{id}/break-glass       403    403       403      403   403      401    200
POST   /api/tenants/{id}/break-glass       403    403       403      403   403      401    409
DELETE /api/tenants/{id}/break-glass/{grant} 403  403       403      403   403      401    404
GET    /api/break-glass                    403    403       403      200   403      401    200
DELETE /api/break-glass/{grant}            403    403       403      404   403      401    404
GET    /api/users/me                       200    200       200      200   200      401    200
GET    /api/users                          403    403       403      403   403      401    200
POST   /api/users                          403    403       403      403   403      401    201
PUT    /api/users/{user}                   403    403       403      403   403      401    200
DELETE /api/users/{user}                   403    403       403      403   403      401    200
POST   /api/apps                           403    403       403      200   403      401    200
GET    /api/apps                           200    200       200      200   200      401    200
GET    /api/apps/{id}                      200    200       200      200   403      401    200
PUT    /api/apps/{id}                      403    403       403      200   403      401    200
DELETE /api/apps/{id}                      403    403       403      403   403      401    200
GET    /api/apps/{id}/versions             200    200       200      200   403      401    200
POST   /api/apps/{id}/rollback             403    403       403      200   403      401    200
GET    /api/audit                          403    403       403      200   403      401    200
GET    /api/audit/verify                   403    403       403      200   403      401    200
GET    /api/audit/export                   403    403       403      200   403      401    200
GET    /api/installation/audit             403    403       403      403   403      401    200
GET    /api/installation/audit/verify      403    403       403      403   403      401    200
GET    /api/installation/audit/export      403    403       403      403   403      401    200
POST   /api/tenants                        403    403       403      403   403      401    201
GET    /api/tenants                        403    403       403      403   403      401    200
GET    /api/tenants/{id}                   403    403       403      403   403      401    200
DELETE /api/tenants/{id}                   403    403       403      403   403      401    200
POST   /api/tenants/{id}/suspend           403    403       403      403   403      401    200
POST   /api/tenants/{id}/resume            403    403       403      403   403      401    200
POST   /api/tenants/{id}/restore           403    403       403      403   403      401    409
POST   /api/sync/push                      403    200       403      200   403      401    200
GET    /api/sync/pull                      403    200       200      200   403      401    200
POST   /api/sync/push/audit-logs           403    200       403      200   403      401    200
GET    /api/sync/pull/audit-logs           403    200       200      200   403      401    200
POST   /api/sync/external                  403    403       403      502   403      401    502
GET    /api/sync/quarantine                403    403       200      200   403      401    200
GET    /api/sync/quarantine/{entry}        403    403       200      200   403      401    200
POST   /api/v2/sync/push                   403    200       403      200   403      401    200
GET    /api/v2/sync/receipts/{seq}         403    200       200      200   403      401    200
GET    /api/v2/sync/pull                   403    200       200      200   403      401    200
GET    /api/v2/sync/snapshot               403    200       200      200   403      401    200
GET    /api/v2/sync/live                   403    200       200      200   403      401    200
GET    /api/persons/{guid}/erase           403    403       403      200   403      401    200
POST   /api/persons/{guid}/erase           403    403       403      200   403      401    200
GET    /api/persons/{guid}/export          403    403       403      200   403      401    200
GET    /api/entities                       200    200       200      200   403      401    200
GET    /api/entities/count                 200    200       200      200   403      401    200
GET    /api/entities/count-by-form         200    200       200      200   403      401    200
GET    /api/entities/{guid}                200    200       200      200   403      401    200
GET    /api/entities/{guid}/events         200    200       200      200   403      401    200
GET    /api/entities/{guid}/history        200    200       200      200   403      401    200
GET    /api/conflicts                      200    200       200      200   403      401    200
POST   /api/conflicts/{conflict}/choose    403    403       200      200   403      401    200
GET    /api/potential-duplicates           200    200       200      200   403      401    200
POST   /api/potential-duplicates/resolve   403    403       200      200   403      401    200
"""

# At a neighbour's door: the same where the address leads to no tenant; else 403 for everybody who is signed in, 401 for
# nobody, and as at home for the operator. Two names that disagree are 400 for who may enter where the first one leads.
FORBIDDEN, NOT_SIGNED_IN, DISAGREE = 403, 401, 400

# Answered to everybody, signed in or not.
PUBLIC = """
POST   /api/users/login
POST   /api/v2/auth/password-reset
POST   /api/v2/auth/password-reset/confirm
POST   /api/v2/auth/email/confirm
POST   /api/v2/auth/invitations/accept
GET    /api/v2/auth/providers
GET    /api/v2/auth/{configId}/{type}/start
GET    /api/v2/auth/{configId}/{type}/callback
POST   /api/v2/auth/login
POST   /api/v2/auth/refresh
POST   /api/v2/auth/browser
GET    /artifacts/{artifact}.json
GET    /artifacts/{artifact}.png
GET    /health
GET    /ready
GET    /metrics
GET    /openapi.json
GET    /api-docs
GET    /api-docs/{name}
"""

_numbers = count(1)


def _none(_: Things) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Case:
    """How to call a route about the things of a tenant; without the tenant's name, which `send` adds.

    shows: the answer bears the tenant's mark, so an answer without a neighbour's mark says something.
    destroys: what it does to the tenant or the account cannot be done twice. signs_out: it ends the session.
    headers: what it asks for besides. endless: the answer has no end; of one that succeeds, the first event is read.
    """

    path: Callable[[Things], dict[str, Any]] = _none
    query: Callable[[Things], dict[str, Any]] = _none
    body: Callable[[Things], dict[str, Any]] | None = None
    upload: Callable[[Things], dict[str, Any]] | None = None
    shows: bool = False
    destroys: bool = False
    signs_out: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    endless: bool = False


def _id(things: Things) -> dict[str, Any]:
    return {"id": things.config_id}


def _account(things: Things) -> dict[str, Any]:
    return {"user": things.account}


def _session(things: Things) -> dict[str, Any]:
    """One that has ended, of the account."""
    return {"user": things.account, "id": str(uuid4())}


def _own_password(_: Things) -> dict[str, Any]:
    return {"password": PASSWORD}


def _role(things: Things) -> dict[str, Any]:
    return {"name": things.role}


def _new_role(_: Things) -> dict[str, Any]:
    return {"name": f"helper{next(_numbers)}", "permissions": ["entities.read"]}


def _member_gone(_: Things) -> dict[str, Any]:
    return {"user": 2**53}


def _grant_gone(things: Things) -> dict[str, Any]:
    return {"id": things.config_id, "grant": 2**53}


def _service_account(things: Things) -> dict[str, Any]:
    return {"account": things.service_account}


def _key(things: Things) -> dict[str, Any]:
    """One that is no more."""
    return {"account": things.service_account, "key": 2**53}


def _new_service_account(_: Things) -> dict[str, Any]:
    return {"name": f"Zebra {next(_numbers)}", "role": "viewer"}


def _entity(things: Things) -> dict[str, Any]:
    return {"guid": things.entity}


def _config(things: Things) -> dict[str, Any]:
    """A config of the tenant that changes nothing of who may enter it."""
    return small_config(things.config_id) | {"authConfigs": PROVIDERS}


def _new_user(_: Things) -> dict[str, Any]:
    return {"email": f"invited{next(_numbers)}@croft.test", "password": PASSWORD, "role": "USER"}


def _invitation(_: Things) -> dict[str, Any]:
    return {"email": f"asked{next(_numbers)}@croft.test", "role": "viewer"}


def _new_tenant(_: Things) -> dict[str, Any]:
    return {"id": f"opened-{next(_numbers)}", "name": "Opened"}


def _events(things: Things) -> dict[str, Any]:
    """Changes to everything there is, by every event that reaches another entity; the first guid is known already."""
    newcomer = {"guid": str(uuid4()), "name": "Intruder"}
    events = [
        submission("create-individual", things.entity, {"name": "Intruder"}, guid=things.event),
        submission("update-individual", things.entity, {"name": "Intruder"}),
        submission("add-member", things.group, {"members": [newcomer, {"guid": things.twin}]}),
        submission("update-group", things.group, {"members": [{"guid": things.entity, "name": "Intruder"}]}),
        submission("remove-member", things.group, {"memberId": newcomer["guid"]}),
        submission(
            "resolve-duplicate",
            things.entity,
            {"duplicates": [{"entityGuid": things.entity, "duplicateGuid": things.twin}], "shouldDelete": False},
        ),
        submission("delete-entity", str(uuid4()), {"guid": things.twin}),
    ]
    return {"events": events}


def _audit_logs(things: Things) -> dict[str, Any]:
    return {"auditLogs": [audit_entry_of(things.audit_entry, things.entity, things.event)]}


def _erasure(things: Things) -> dict[str, Any]:
    return {"reason": "on request", "confirm": things.entity}


def _pair(things: Things) -> dict[str, Any]:
    return {"newItem": things.twin, "existingItem": things.entity, "shouldDeleteNewItem": False}


CASES: dict[str, Case] = {
    "POST /api/users/logout": Case(signs_out=True),
    "DELETE /api/v2/auth/browser": Case(signs_out=True),
    "GET /api/users/check-token": Case(),
    "GET /api/v2/auth/sessions": Case(),
    "DELETE /api/v2/auth/sessions": Case(query=lambda _: {"others": "true"}),
    "DELETE /api/v2/auth/sessions/{id}": Case(path=_session),
    "GET /api/users/{user}/sessions": Case(path=_account),
    "DELETE /api/users/{user}/sessions": Case(path=_account),
    "DELETE /api/users/{user}/sessions/{id}": Case(path=_session),
    "GET /api/members/{user}/sessions": Case(path=_account),
    "DELETE /api/members/{user}/sessions": Case(path=_account),
    "DELETE /api/members/{user}/sessions/{id}": Case(path=_session),
    "GET /api/v2/account/second-factor": Case(),
    "POST /api/v2/account/second-factor": Case(body=_own_password),
    "POST /api/v2/account/second-factor/confirm": Case(body=_none),
    "DELETE /api/v2/account/second-factor": Case(body=lambda _: {"password": PASSWORD, "code": "no code"}),
    "POST /api/v2/account/second-factor/recovery-codes": Case(body=lambda _: {"password": PASSWORD, "code": "no code"}),
    "GET /api/v2/account/app-passwords": Case(),
    "POST /api/v2/account/app-passwords": Case(body=lambda _: {"name": "Phone"}),
    "DELETE /api/v2/account/app-passwords/{number}": Case(path=lambda _: {"number": 2**53}),
    "DELETE /api/users/{user}/second-factor": Case(path=_account),
    "GET /api/service-accounts": Case(shows=True),
    "POST /api/service-accounts": Case(body=_new_service_account),
    "GET /api/service-accounts/{account}": Case(path=_service_account, shows=True),
    "PUT /api/service-accounts/{account}": Case(path=_service_account, body=_none),
    "DELETE /api/service-accounts/{account}": Case(path=lambda _: {"account": 2**53}),
    "GET /api/service-accounts/{account}/keys": Case(path=_service_account, shows=True),
    "POST /api/service-accounts/{account}/keys": Case(
        path=_service_account, body=lambda _: {"name": "Key", "scopes": ["entities.read"]}
    ),
    "DELETE /api/service-accounts/{account}/keys/{key}": Case(path=_key),
    "GET /api/permissions": Case(),
    "GET /api/roles": Case(shows=True),
    "POST /api/roles": Case(body=_new_role),
    "PUT /api/roles/{name}": Case(path=_role, body=_none, shows=True),
    "DELETE /api/roles/{name}": Case(path=lambda _: {"name": "nobodys"}),
    "POST /api/v2/account/password": Case(body=lambda _: {"currentPassword": PASSWORD, "newPassword": PASSWORD}),
    "POST /api/v2/account/email": Case(body=lambda _: {"newEmail": "no address", "password": PASSWORD}),
    "POST /api/v2/account/invitations/accept": Case(body=lambda _: {"token": "x" * 101}),
    "GET /api/members/invitations": Case(),
    "POST /api/members/invitations": Case(body=_invitation),
    "DELETE /api/members/invitations/{invitation}": Case(path=lambda _: {"invitation": 10**9}),
    "GET /api/members": Case(query=lambda _: {"pageSize": 100}, shows=True),
    "PUT /api/members/{user}": Case(path=_account, body=lambda _: {"role": "admin"}, shows=True),
    "DELETE /api/members/{user}": Case(path=_member_gone),
    "GET /api/tenants/{id}/security": Case(path=_id),
    "PUT /api/tenants/{id}/security": Case(path=_id, body=_none),
    "GET /api/tenants/{id}/break-glass": Case(path=_id),
    "POST /api/tenants/{id}/break-glass": Case(
        path=_id, body=lambda _: {"reason": "Something has to be mended", "minutes": 5}, destroys=True
    ),
    "DELETE /api/tenants/{id}/break-glass/{grant}": Case(path=_grant_gone),
    "GET /api/break-glass": Case(),
    "DELETE /api/break-glass/{grant}": Case(path=_grant_gone),
    "GET /api/users/me": Case(),
    "GET /api/users": Case(),
    "POST /api/users": Case(body=_new_user),
    "PUT /api/users/{user}": Case(path=_account, body=_none),
    "DELETE /api/users/{user}": Case(path=_account, destroys=True),
    "POST /api/apps": Case(upload=_config),
    "GET /api/apps": Case(),
    "GET /api/apps/{id}": Case(path=_id),
    "PUT /api/apps/{id}": Case(path=_id, upload=_config),
    "DELETE /api/apps/{id}": Case(path=_id, destroys=True),
    "GET /api/apps/{id}/versions": Case(path=_id, shows=True),
    "POST /api/apps/{id}/rollback": Case(path=_id, body=lambda _: {"number": 1}),
    "GET /api/audit": Case(shows=True),
    "GET /api/audit/verify": Case(),
    "GET /api/audit/export": Case(shows=True),
    "GET /api/installation/audit": Case(),
    "GET /api/installation/audit/verify": Case(),
    "GET /api/installation/audit/export": Case(),
    "POST /api/tenants": Case(body=_new_tenant),
    "GET /api/tenants": Case(),
    "GET /api/tenants/{id}": Case(path=_id),
    "DELETE /api/tenants/{id}": Case(path=_id, destroys=True),
    "POST /api/tenants/{id}/suspend": Case(path=_id, destroys=True),
    "POST /api/tenants/{id}/resume": Case(path=_id),
    "POST /api/tenants/{id}/restore": Case(path=_id, body=_none),
    "POST /api/sync/push": Case(body=_events),
    "GET /api/sync/pull": Case(shows=True),
    "POST /api/sync/push/audit-logs": Case(body=_audit_logs),
    "GET /api/sync/pull/audit-logs": Case(shows=True),
    "POST /api/sync/external": Case(body=_none),
    "GET /api/sync/quarantine": Case(shows=True),
    "GET /api/sync/quarantine/{entry}": Case(path=lambda _: {"entry": 1}, shows=True),
    "POST /api/v2/sync/push": Case(body=_events, headers={"X-Device-Id": "isolation"}),
    "GET /api/v2/sync/receipts/{seq}": Case(path=lambda _: {"seq": 1}),
    "GET /api/v2/sync/pull": Case(
        query=lambda _: {"include": "events,entities"}, headers={"X-Device-Id": "isolation"}, shows=True
    ),
    "GET /api/v2/sync/snapshot": Case(headers={"X-Device-Id": "isolation"}, shows=True),
    "GET /api/v2/sync/live": Case(headers={"X-Device-Id": "isolation"}, endless=True),
    "GET /api/persons/{guid}/erase": Case(path=_entity),
    "POST /api/persons/{guid}/erase": Case(path=_entity, body=_erasure, destroys=True),
    "GET /api/persons/{guid}/export": Case(path=_entity, shows=True),
    "GET /api/entities": Case(shows=True),
    "GET /api/entities/count": Case(),
    "GET /api/entities/count-by-form": Case(),
    "GET /api/entities/{guid}": Case(path=_entity, query=lambda _: {"deleted": "true"}, shows=True),
    "GET /api/entities/{guid}/events": Case(path=_entity, shows=True),
    "GET /api/entities/{guid}/history": Case(path=_entity, shows=True),
    "GET /api/conflicts": Case(shows=True),
    "POST /api/conflicts/{conflict}/choose": Case(path=lambda _: {"conflict": 1}, body=lambda _: {"value": "Intruder"}),
    "GET /api/potential-duplicates": Case(query=lambda _: {"detail": "true"}, shows=True),
    "POST /api/potential-duplicates/resolve": Case(body=_pair),
}


def _table() -> dict[str, Route]:
    """The route table as the application has it."""
    table = {}
    for each in build_app(settings_for_tests(), "postgresql://").routes:
        endpoint = getattr(each, "endpoint", None)
        owner = getattr(endpoint, "__self__", None)
        assert isinstance(owner, Endpoint), f"{each} does not come from the route table"
        table[f"{owner._route.method} {template(owner._route.path)}"] = owner._route
    return table


def _statuses() -> dict[str, dict[str, int]]:
    header, *lines = AT_HOME.strip("\n").splitlines()
    assert header.split() == list(CALLERS)
    cells = [line.split() for line in lines]
    return {
        f"{method} {path}": dict(zip(CALLERS, map(int, statuses), strict=True)) for method, path, *statuses in cells
    }


ROUTES = _table()
STATUSES = _statuses()
PUBLIC_ROUTES = [" ".join(line.split()) for line in PUBLIC.strip().splitlines()]
# Last what destroys, so that all others find what they are about.
OF_A_TENANT = sorted(
    (name for name in STATUSES if name in ROUTES and ROUTES[name].tenant != "none"),
    key=lambda name: CASES[name].destroys,
)

Names = Mapping[str, str]
"""How a request names tenants: by "path", "query", "header", "body" or "upload"."""


def ways(name: str) -> list[str]:
    """Where a request to the route can name its tenant."""
    route = ROUTES[name]
    found = ["query", "header"] if route.tenant != "none" else []
    found += ["path"] if route.tenant_in_path else []
    found += ["body"] if route.body is not None and "configId" in route.body.model_fields else []
    found += ["upload"] if route.upload else []
    return found


def _named_always(name: str) -> list[str]:
    return [way for way in ways(name) if way in ("path", "upload")]


def namings(name: str, things: Things) -> Iterator[Names]:
    """Every way to name the one tenant, by its config id and by its number where that is a name."""
    always = dict.fromkeys(_named_always(name), things.config_id)
    if always:
        yield always
    for way in ways(name):
        yield {**always, way: things.config_id}
        if way in ("query", "header"):
            yield {**always, way: str(things.number)}


def disagreements(name: str, one: Things, other: Things) -> Iterator[Names]:
    """Every way to name both tenants at once, in both orders."""
    for first, second in permutations(ways(name), 2):
        always = dict.fromkeys(_named_always(name), one.config_id)
        yield {**always, first: one.config_id, second: other.config_id}
        if second in ("query", "header"):
            yield {**always, first: one.config_id, second: str(other.number)}


def at_disagreement(name: str, caller: str, names: Names, home: Things) -> int:
    """What a caller is answered who names two tenants. Path, query and header are looked at before the body."""
    if caller == "nobody":
        return NOT_SIGNED_IN
    first = next(names[way] for way in ("path", "query", "header") if way in names)
    may_enter = caller == "operator" or (
        first in (home.config_id, str(home.number)) and STATUSES[name][caller] != FORBIDDEN
    )
    return DISAGREE if may_enter else FORBIDDEN


async def send(client: httpx.AsyncClient, name: str, things: Things, names: Names) -> httpx.Response:
    """Calls the route about the things, naming tenants as told."""
    route, case = ROUTES[name], CASES[name]
    path = case.path(things)
    if route.tenant_in_path:
        path[route.tenant_in_path] = names.get("path", things.config_id)
    query = case.query(things) | ({"configId": names["query"]} if "query" in names else {})
    headers = dict(case.headers) | ({"X-Tenant-Id": names["header"]} if "header" in names else {})
    content: dict[str, Any] = {}
    if case.body is not None:
        content["json"] = case.body(things) | ({"configId": names["body"]} if "body" in names else {})
    if case.upload is not None:
        document = case.upload(things) | ({"id": names["upload"]} if "upload" in names else {})
        content["files"] = {"config": upload_of(document)}
    url = template(route.path).format(**path)
    if case.endless:
        return await _beginning(client.stream(route.method, url, params=query, headers=headers))
    return await client.request(route.method, url, params=query, headers=headers, **content)


async def _beginning(stream: AbstractAsyncContextManager[httpx.Response]) -> httpx.Response:
    """The answer, of a stream of events as far as the end of the first one."""
    content = b""
    async with stream as answer:
        async for piece in answer.aiter_bytes():
            content += piece
            if answer.is_success and b"event:" in content and content.endswith(b"\n\n"):
                break
    return httpx.Response(answer.status_code, headers=answer.headers, content=content)


def tells(answer: httpx.Response, things: Things) -> bool:
    """Whether the answer holds anything of the tenant."""
    return things.mark in answer.text or any(things.mark in value for value in answer.headers.values())
