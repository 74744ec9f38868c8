"""No parameter of any route takes the server down: each is sent what no honest client sends."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from server.app import build_app
from server.db.embedded import EmbeddedPostgres
from server.http.endpoint import Endpoint
from server.http.route import Route
from server.openapi.document import template
from tests.conftest import PASSWORD, Croft, TenantHandle, new_database, settings_for_tests, small_config, start_croft

IN_ADDRESS = [
    "%00",
    "a%00b",
    "%ED%A0%80",  # half of a surrogate pair
    "%FF%FE",
    "%F4%90%80%80",  # beyond the last character
    "%",
    "%zz",
    "x" * 10_000,
    "%F0%9F%8C%BE" * 500,
    "9" * 30,
    "-" + "9" * 30,
    "9" * 5_000,
    str(2**63),
    str(-(2**63) - 1),
    str(2**31),
    "0",
    "-1",
    "1e400",
    "NaN",
    "0x10",
    "%D9%A3",  # a digit, but not one of ours
    "10000-01-01T00:00:00Z",
    "0001-01-01T00:00:00%2B14:00",
    "9999-12-31T23:59:59-14:00",
    "%0D%0ASet-Cookie:%20a=b",
    "';--",
    "..%2F..%2Fetc",
    "WyIiXQ",
]
IN_HEADER = [b"\xff\xfe", b"\xed\xa0\x80", b"x" * 10_000, b"9" * 30, b"9" * 5_000, b"-1", str(2**63).encode(), b"';--"]
HEADERS = ["X-Tenant-Id", "X-Device-Id", "X-Request-Id", "Authorization", "X-Forwarded-For", "Origin", "Content-Type"]

BODIES: Mapping[str, Any] = {
    "POST /api/users/login": {"email": "nobody@croft.test", "password": "Wrong-Horse-7"},
    "POST /api/v2/auth/login": {"email": "nobody@croft.test", "password": "Wrong-Horse-7"},
    "POST /api/v2/auth/refresh": {"refreshToken": "a.b.c"},
    "POST /api/v2/auth/password-reset": {"email": "nobody@croft.test"},
    "POST /api/v2/auth/password-reset/confirm": {"token": "x", "newPassword": "short"},
    "POST /api/v2/auth/email/confirm": {"token": "x"},
    "POST /api/v2/auth/invitations/accept": {"token": "x", "password": "short"},
    "POST /api/v2/account/password": {"currentPassword": PASSWORD, "newPassword": PASSWORD},
    "POST /api/v2/account/email": {"newEmail": "no address", "password": PASSWORD},
    "POST /api/v2/account/invitations/accept": {"token": "x"},
    "POST /api/members/invitations": {"email": "no address", "role": "viewer"},
    "POST /api/v2/auth/browser": {"email": "nobody@croft.test", "password": "Wrong-Horse-7"},
    "POST /api/v2/account/app-passwords": {"name": ""},
    "POST /api/v2/account/second-factor": {"password": PASSWORD},
    "POST /api/v2/account/second-factor/confirm": {"code": ""},
    "POST /api/v2/account/second-factor/recovery-codes": {"password": PASSWORD, "code": ""},
    "DELETE /api/v2/account/second-factor": {"password": PASSWORD, "code": ""},
    "POST /api/roles": {"name": "", "permissions": []},
    "PUT /api/roles/{name}": {"permissions": []},
    "PUT /api/members/{user}": {"role": "viewer"},
    "POST /api/service-accounts": {"name": "", "role": "viewer"},
    "PUT /api/service-accounts/{account}": {},
    "POST /api/service-accounts/{account}/keys": {"name": "", "scopes": []},
    "PUT /api/tenants/{id}/security": {},
    "POST /api/tenants/{id}/break-glass": {"reason": "", "minutes": 5},
    "POST /api/persons/{guid}/erase": {"reason": "", "confirm": ""},
    "POST /api/users": {"email": "somebody@croft.test", "password": "short", "role": "USER"},
    "PUT /api/users/{user}": {},
    "POST /api/apps": {"id": "hostile"},
    "PUT /api/apps/{id}": {"name": "Hostile"},
    "POST /api/apps/{id}/rollback": {"number": 1},
    "POST /api/tenants": {"id": "hostile", "name": ""},
    "POST /api/tenants/{id}/restore": {},
    "POST /api/sync/push": {"events": []},
    "POST /api/sync/push/audit-logs": {"auditLogs": []},
    "POST /api/sync/external": {},
    "POST /api/v2/sync/push": {"events": []},
    "POST /api/conflicts/{conflict}/choose": {"event": "a"},
    "POST /api/potential-duplicates/resolve": {"newItem": "a", "existingItem": "b"},
}
# Its answer to an honest request: no adapter is there.
FAILS_ALWAYS = {"POST /api/sync/external": 502}
ENDS_THE_SESSION = "POST /api/users/logout"


def table() -> dict[str, Route]:
    """Every route by method and path."""
    owners = (getattr(each, "endpoint", None) for each in build_app(settings_for_tests(), "postgresql://").routes)
    routes = [endpoint.__self__._route for endpoint in owners if isinstance(endpoint.__self__, Endpoint)]  # type: ignore[union-attr]
    return {f"{route.method} {template(route.path)}": route for route in routes}


ROUTES = table()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    token = SecretStr("metrics-token-of-the-tests")
    async with start_croft(await new_database(cluster), metrics_token=token) as croft:
        yield croft


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant(server: Croft) -> TenantHandle:
    return await server.tenant(small_config("hostile"))


def queries(route: Route) -> list[str]:
    """The names of the parameters that the route reads, and one that none does."""
    return [*dict.fromkeys([*route.query.model_fields, "configId", "unheard-of"])]


def targets(route: Route) -> Iterator[str]:
    """An address for each parameter of path and query and each value."""
    named = dict.fromkeys(re.findall(r"{(\w+)}", template(route.path)), "hostile")
    honest = template(route.path).format(**named)
    tenant = "configId=hostile&" if route.tenant != "none" and not route.tenant_in_path else ""
    for value in IN_ADDRESS:
        for name in named:
            yield template(route.path).format(**{**named, name: value}) + f"?{tenant}"
        for name in queries(route):
            yield f"{honest}?{tenant if name != 'configId' else ''}{name}={value}"
        yield f"{honest}?{tenant}{value}={value}"


async def statuses(
    client: httpx.AsyncClient, name: str, requests: list[tuple[str, dict[str, bytes]]]
) -> dict[str, int]:
    """What fails, by address and headers."""
    failed = {}
    for target, headers in requests:
        async with client.stream(
            ROUTES[name].method,
            "/",
            json=BODIES.get(name),
            headers=headers,  # type: ignore[arg-type]
            extensions={"target": target.encode()},
        ) as answer:
            if ROUTES[name].media_type != "text/event-stream":
                await answer.aread()
        if answer.status_code >= 500 and answer.status_code != FAILS_ALWAYS.get(name):
            failed[f"{target[:120]} {headers}"[:200]] = answer.status_code
    return failed


def test_every_route_that_reads_a_body_is_sent_one() -> None:
    assert {name for name, route in ROUTES.items() if route.body is not None or route.upload} == BODIES.keys()


@pytest.mark.parametrize("name", ROUTES)
async def test_no_value_in_path_or_query_is_a_failure(tenant: TenantHandle, name: str) -> None:
    client = await tenant.croft.signed_in(tenant.croft.settings.admin_email)
    assert await statuses(client, name, [(target, {}) for target in targets(ROUTES[name])]) == {}


@pytest.mark.parametrize("name", ROUTES)
async def test_no_value_in_a_header_is_a_failure(tenant: TenantHandle, name: str) -> None:
    client = await tenant.croft.signed_in(tenant.croft.settings.admin_email)
    target = re.sub(r"{\w+}", "hostile", template(ROUTES[name].path))
    requests = [(target, {header: value}) for header in HEADERS for value in IN_HEADER]
    requests += [(f"{target}?configId=hostile", {header: value}) for header in HEADERS for value in IN_HEADER]
    assert await statuses(client, name, requests) == {}
