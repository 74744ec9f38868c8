"""Attacks through the addresses that an organization may choose: what is behind the server is not to be seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft, TenantHandle, new_database, start_croft
from tests.oidc_issuer import CLIENT_ID, SmallIssuer, anonymous, provider_config, running_issuer

ALLOWED = "127.0.0.1/32"
INSIDE = "127.0.0.2"
"""An address of this machine where something listens that nobody may be led to."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server that may speak to one address of its own network and to no other."""
    async with start_croft(await new_database(cluster), outbound_private_networks=(ALLOWED,)) as server:
        yield server


@asynccontextmanager
async def listening(port: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """Something inside: its port, and who came."""
    seen: list[str] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("somebody came")
        writer.close()

    listener = await asyncio.start_server(serve, INSIDE, port)
    try:
        yield listener.sockets[0].getsockname()[1], seen
    finally:
        listener.close()


async def shown(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, **claims: Any) -> tuple[int, str]:
    """What a token of the issuer is answered: status and body, without the request's own id."""
    token = issuer.token(**claims)
    params = {"configId": tenant.config_id}
    answer = await croft.operator.get("/api/entities", params=params, headers={"Authorization": f"oidc {token}"})
    return answer.status_code, answer.json()["code"]


UNAVAILABLE = (503, "auth.provider-unavailable")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.2:{port}",
        "http://0x7f.0.0.2:{port}",
        "http://0x7f000002:{port}",
        "http://2130706434:{port}",
        "http://127.2:{port}",
        "http://[::ffff:127.0.0.2]:{port}",
        "http://[::ffff:7f00:2]:{port}",
        "http://localhost:{port}",
        "http://[::1]:{port}",
        "http://0.0.0.0:{port}",
        "http://[::]:{port}",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/latest/meta-data",
        "http://10.0.0.1",
        "https://192.168.0.1",
        "http://metadata.google.internal",
    ],
)
async def test_issuer_is_an_address_inside(guarded: Croft, address: str) -> None:
    async with running_issuer() as issuer, listening() as (port, seen):
        config = provider_config(issuer, issuer=address.format(port=port))
        tenant = await guarded.tenant({"authConfigs": [config]})
        assert await shown(guarded, tenant, issuer, iss=config["fields"]["issuer"], sub="x") == UNAVAILABLE
        started = await guarded.operator.get(f"/api/v2/auth/{tenant.config_id}/oidc/start")
        assert started.status_code == 503
        assert seen == []


@pytest.mark.parametrize("field", ["jwksUri", "introspectionEndpoint", "tokenEndpoint", "userinfoEndpoint"])
async def test_one_of_an_issuers_addresses_leads_inside(guarded: Croft, field: str) -> None:
    async with running_issuer() as issuer, listening() as (port, seen):
        config = provider_config(issuer, clientSecret="s", **{field: f"http://{INSIDE}:{port}/x"})
        tenant = await guarded.tenant({"authConfigs": [config]})
        client = anonymous(guarded)
        for token in (issuer.token(sub="x"), "opaque"):
            headers = {"Authorization": f"oidc {token}"}
            await client.get("/api/entities", params={"configId": tenant.config_id}, headers=headers)
        assert seen == []


async def test_description_of_an_issuer_leads_inside(guarded: Croft) -> None:
    async with running_issuer() as issuer, listening() as (port, seen):
        inside = f"http://{INSIDE}:{port}/keys"
        issuer.description = {"jwks_uri": inside, "introspection_endpoint": inside, "token_endpoint": inside}
        tenant = await guarded.tenant({"authConfigs": [provider_config(issuer, clientSecret="s")]})
        assert await shown(guarded, tenant, issuer, sub="x") == UNAVAILABLE
        headers = {"Authorization": "oidc opaque"}
        answer = await guarded.operator.get("/api/entities", params={"configId": tenant.config_id}, headers=headers)
        assert answer.status_code == 503
        assert issuer.asked["openid-configuration"] > 0
        assert seen == []


async def test_issuer_redirects_inside(guarded: Croft) -> None:
    async with listening() as (port, seen), _redirecting(f"http://{INSIDE}:{port}/") as url:
        config = {"type": "oidc", "fields": {"issuer": url, "clientId": CLIENT_ID}}
        tenant = await guarded.tenant({"authConfigs": [config]})
        async with running_issuer() as issuer:
            assert await shown(guarded, tenant, issuer, iss=url, sub="x") == UNAVAILABLE
        assert seen == []


async def test_answers_do_not_tell_open_ports_from_closed_ones(guarded: Croft) -> None:
    """Inside, an open port, a closed one and a host that is not there are the same to whoever chose the address."""
    async with running_issuer() as issuer, listening() as (port, seen):
        told = set()
        for address in (
            f"http://{INSIDE}:{port}",
            f"http://{INSIDE}:1",
            "http://10.99.99.99",
            "https://no-such-host.invalid",
        ):
            tenant = await guarded.tenant({"authConfigs": [provider_config(issuer, issuer=address)]})
            told.add(await shown(guarded, tenant, issuer, iss=address, sub="x"))
        assert told == {UNAVAILABLE}
        assert seen == []


@asynccontextmanager
async def _redirecting(target: str) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
