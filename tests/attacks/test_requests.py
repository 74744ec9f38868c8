"""Attacks by the shape of a request: what is too much, too deep, too slow, or made by a page of another site."""

import asyncio
import gzip
import json
import logging
import socket
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
import pytest
import zstandard

from server.http.route import Route
from server.logs import JsonFormatter
from tests.conftest import Croft, TenantHandle, small_config, start_croft
from tests.isolation.cases import CASES, ROUTES
from tests.isolation.world import submission

BOMB_BYTES = 2 * 1024**3
BOMB_PIECE = bytes(64 * 1024 * 1024)

INJECTIONS = (
    "'; DROP SCHEMA croft CASCADE; --",
    '"; DROP TABLE events; --',
    "$$; SELECT pg_sleep(9); $$",
    "') OR 1=1 --",
    "\\'; SELECT 1; --",
    "%' OR ''='",
    "{{7*7}}",
    "%s%s%n",
    "a\u0000b",
    "\ud800",
    "x" * 5000,
)


async def pushing(croft: Croft) -> tuple[TenantHandle, httpx.AsyncClient]:
    tenant = await croft.tenant()
    return tenant, await tenant.caller("admin")


def packed_bomb(coding: str) -> bytes:
    if coding == "gzip":
        member = gzip.compress(BOMB_PIECE)
        return member * (BOMB_BYTES // len(BOMB_PIECE))
    return zstandard.ZstdCompressor().compress(BOMB_PIECE) * (BOMB_BYTES // len(BOMB_PIECE))


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_decompression_bomb_is_refused_long_before_it_has_gone_off(croft: Croft, coding: str) -> None:
    tenant, client = await pushing(croft)
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await client.post(
        "/api/sync/push", params={"configId": tenant.config_id}, content=packed_bomb(coding), headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body.too-large")


async def test_bomb_inside_a_bomb_is_not_unpacked_twice(croft: Croft) -> None:
    tenant, client = await pushing(croft)
    content = gzip.compress(gzip.compress(BOMB_PIECE))
    for coding in ("gzip, gzip", "gzip"):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        answer = await client.post(
            "/api/sync/push", params={"configId": tenant.config_id}, content=content, headers=headers
        )
        assert answer.status_code in (400, 415)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("path", ["/api/sync/push", "/api/v2/sync/push", "/api/apps", "/api/users/login"])
async def test_json_ten_thousand_deep_is_refused_in_words(croft: Croft, path: str, opening: str) -> None:
    tenant, client = await pushing(croft)
    content = f'{{"events": {opening * 10_000}1'.encode()
    headers = {"Content-Type": "application/json"}
    answer = await client.post(path, params={"configId": tenant.config_id}, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"].startswith("json.")


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-" + "9" * 4000, "1e999999999", "0." + "0" * 4000 + "1", "NaN"])
async def test_huge_number_neither_stalls_nor_breaks_the_server(croft: Croft, number: str) -> None:
    tenant, client = await pushing(croft)
    event = submission("create-individual", str(uuid4()), {"name": "Ann", "n": "HERE"})
    content = json.dumps({"events": [event]}).replace('"HERE"', number)
    headers = {"Content-Type": "application/json"}
    answer = await client.post(
        "/api/sync/push", params={"configId": tenant.config_id}, content=content, headers=headers
    )
    assert answer.status_code in (200, 400)
    assert (await client.get("/api/entities", params={"configId": tenant.config_id})).status_code == 200
    for query in ({"limit": number}, {"page": number}):
        listed = await client.get("/api/apps", params=query)
        assert listed.status_code < 500


async def test_slow_body_is_given_up_and_holds_no_connection_of_the_database(croft: Croft) -> None:
    tenant = await croft.tenant()
    async with start_croft(croft.addresses, request_timeout_seconds=1.0, postgres_pool_size=2) as server:
        token = server.operator.headers["authorization"]
        address = urlsplit(server.url)
        head = (
            f"POST /api/sync/push?configId={tenant.config_id} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
        )
        slow = [await asyncio.open_connection(address.hostname, address.port) for _ in range(8)]
        for _, writer in slow:
            writer.write(head.encode())
        assert (await server.operator.get("/api/users/me")).status_code == 200
        for reader, writer in slow:
            first = await reader.readline()
            assert first.split()[1] == b"503"
            writer.close()


async def test_too_many_headers_and_too_long_ones_are_refused(croft: Croft) -> None:
    for headers in ({"X-Long": "x" * 40_000}, {f"X-{number}": "x" * 60 for number in range(1000)}):
        answer = await croft.client().get("/health", headers=headers)
        assert answer.status_code == 431


async def test_header_and_query_that_disagree_on_the_tenant_reach_neither(croft: Croft) -> None:
    one, other = await croft.tenant(), await croft.tenant()
    client = await one.caller("admin")
    for query, header in ((one, other), (other, one)):
        answer = await client.get(
            "/api/entities", params={"configId": query.config_id}, headers={"X-Tenant-Id": header.config_id}
        )
        assert answer.status_code in (400, 403)
    twice = await client.get(f"/api/entities?configId={one.config_id}&configId={other.config_id}")
    assert twice.status_code == 400


@pytest.mark.parametrize("text", INJECTIONS)
async def test_sql_in_any_string_of_a_query_path_or_header_is_only_a_string(croft: Croft, text: str) -> None:
    tenant, client = await pushing(croft)
    before = await schemas(tenant)
    for name, route in ROUTES.items():
        if route.method != "GET" or name not in CASES or CASES[name].endless:
            continue
        names = [*route.query.model_fields, "configId"]
        query = {field: text.encode("utf-8", "surrogatepass").decode("latin-1") for field in names}
        path = route.path
        for parameter in route_parameters(route):
            given = quote(text.encode("utf-8", "surrogatepass"), safe="")
            path = path.replace(f"{{{parameter}}}", given).replace(f"{{{parameter}:text}}", given)
        for params in ({"configId": tenant.config_id} | {k: v for k, v in query.items() if k != "configId"}, query):
            answer = await client.get(path, params=params)
            assert answer.status_code < 500, (name, params, answer.text)
    assert await schemas(tenant) == before


def route_parameters(route: Route) -> list[str]:
    return [part.strip("{}").partition(":")[0] for part in route.path.split("/") if part.startswith("{")]


async def test_sql_in_any_string_of_a_config_is_only_a_string(croft: Croft) -> None:
    tenant = await croft.tenant()
    before = await schemas(tenant)
    config = full_config(tenant.config_id)
    for path in sorted(set(string_paths(config))):
        for text in INJECTIONS[:6]:
            answer = await croft.operator.post("/api/apps", json=with_string(config, path, text))
            assert answer.status_code in (200, 400, 422), (path, text, answer.text)
    assert (await croft.operator.post("/api/apps", json=config)).status_code == 200
    after = await schemas(tenant)
    assert before <= after
    assert await tenant.as_owner("SELECT count(*) FROM entities WHERE guid = 'a row'") in (0, 1)


def full_config(config_id: str) -> dict[str, Any]:
    return {
        **small_config(config_id),
        "description": "words",
        "version": "1",
        "entityData": [{"name": "individual", "data": [{"id": "a row", "name": "Ann", "story": "words"}]}],
        "externalSync": {"type": "openspp", "url": "https://example.org", "extraFields": [{"name": "a", "value": "b"}]},
        "authConfigs": [{"type": "auth0", "fields": {"domain": "example.org", "clientId": "words"}}],
        "duplicates": {"rules": [{"form": "individual", "fields": ["name"]}]},
        "customEventTypes": ["visit"],
    }


Steps = tuple[str | int, ...]


def string_paths(value: Any, steps: Steps = ()) -> list[Steps]:
    if isinstance(value, str):
        return [steps]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, each in inner if steps or key != "id" for path in string_paths(each, (*steps, key))]


def with_string(document: Any, steps: Steps, text: str) -> Any:
    if not steps:
        return text
    copy = document.copy()
    copy[steps[0]] = with_string(document[steps[0]], steps[1:], text)
    return copy


async def schemas(tenant: TenantHandle) -> set[str]:
    listed = await tenant.as_owner("SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname !~ '^pg_'")
    return set(listed.split())


SCHEMA_NAMES = ("croft", "public", "pg_catalog", "information_schema", "pg_temp", '"croft"', "croft.users", "t_%", "..")


@pytest.mark.parametrize("name", SCHEMA_NAMES)
async def test_name_of_a_schema_is_no_name_of_a_tenant(croft: Croft, name: str) -> None:
    tenant, client = await pushing(croft)
    own_schema = await tenant.as_owner("SELECT current_schema()")
    for given in (name, own_schema):
        named = await client.get("/api/entities", params={"configId": given})
        headed = await client.get("/api/entities", headers={"X-Tenant-Id": given})
        assert (named.status_code, headed.status_code) == (404, 404)


async def test_config_ids_that_would_share_a_schema_name_get_schemas_of_their_own(croft: Croft) -> None:
    stem = f"Same-{uuid4().hex}"
    names = [f"{stem}_a", f"{stem}-a", f"{stem}-A", f"{stem}_A", "croft", "public", "pg_catalog"]
    tenants = [await croft.tenant({"id": name}) for name in names]
    found = [await tenant.as_owner("SELECT current_schema()") for tenant in tenants]
    assert len(set(found)) == len(names)
    assert not {"croft", "public", "pg_catalog"} & set(found)
    for tenant in tenants[-3:]:
        assert (await croft.operator.delete(f"/api/tenants/{tenant.config_id}")).status_code == 200


async def test_fields_that_a_body_does_not_have_are_assigned_to_nothing(croft: Croft) -> None:
    tenant = await croft.tenant()
    smuggled = {
        "id": 1,
        "passwordHash": "x",
        "password_hash": "x",
        "isOperator": True,
        "is_operator": True,
        "tenantId": 1,
        "state": "deleted",
        "schema": "croft",
        "schema_name": "croft",
        "role_name": "croft",
        "secondFactor": False,
    }
    email = f"{uuid4().hex}@croft.test"
    body = {**smuggled, "email": email, "password": "Correct-Horse-7", "role": "USER"}
    made = await croft.operator.post("/api/users", json=body)
    assert made.status_code == 201
    assert made.json()["id"] != 1
    own = await croft.signed_in(email)
    assert (await own.get("/api/users/me")).json()["role"] == "USER"
    config = small_config(tenant.config_id) | smuggled | {"id": tenant.config_id, "artifactId": "mine"}
    schema = await tenant.as_owner("SELECT current_schema()")
    assert (await croft.operator.post("/api/apps", json=config)).status_code == 200
    shown = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()
    assert (shown["state"], shown["artifactId"]) != ("deleted", "mine")
    assert await tenant.as_owner("SELECT current_schema()") == schema


SCRIPT = "<script>alert(document.cookie)</script>"


async def test_script_in_a_name_comes_back_as_data_that_no_browser_runs(croft: Croft) -> None:
    tenant = await croft.tenant({"name": SCRIPT, "description": SCRIPT})
    client = await tenant.caller("admin")
    guid = str(uuid4())
    event = submission("create-individual", guid, {"name": SCRIPT, "entityName": "individual"})
    await client.post("/api/sync/push", params={"configId": tenant.config_id}, json={"events": [event]})
    artifact = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["artifactId"]
    for path in (f"/api/entities/{guid}", "/api/entities", f"/api/apps/{tenant.config_id}", f"/api/apps/{SCRIPT}"):
        await check_no_browser_runs(await client.get(path, params={"configId": tenant.config_id}))
    await check_no_browser_runs(await client.get(f"/artifacts/{artifact}.json"))
    await check_no_browser_runs(await client.get(f"/{SCRIPT}"))


async def check_no_browser_runs(answer: httpx.Response) -> None:
    assert answer.headers["content-type"].partition(";")[0] in ("application/json", "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


FORGED = 'x\r\n{"level":"error","message":"forged"}\u2028\x1b[31m'


async def test_line_breaks_in_what_strangers_send_make_no_line_of_the_log(
    croft: Croft, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = croft.client()
    await client.post("/api/users/login", json={"email": FORGED, "password": FORGED})
    raw = FORGED.encode().hex()
    await client.get(f"/{httpx.QueryParams({'a': FORGED})}", headers={"X-Request-Id": raw[:64], "X-Tenant-Id": raw})
    formatter = JsonFormatter()
    lines = [formatter.format(record) for record in caplog.records]
    assert lines
    for line in lines:
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line
        assert json.loads(line).get("message") != "forged"


async def test_request_that_smuggles_a_second_one_gets_one_answer(croft: Croft) -> None:
    address = urlsplit(croft.url)
    smuggling = (
        f"POST /api/users/login HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        f"GET /metrics HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(address.hostname, address.port, family=socket.AF_INET)
    writer.write(smuggling.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.split()[1] in (b"400", b"422", b"415")
    writer.close()
