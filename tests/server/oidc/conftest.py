"""A provider, a server that may speak to it, and tenants that name it in their config."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio

from server.app import keyring_of
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.oidc.identification import TenantProviders
from server.outbound import Guard, Outbound
from server.outbound.addresses import networks_of
from tests.conftest import Croft, TenantHandle, new_database, start_croft
from tests.oidc_issuer import LOOPBACK, SmallIssuer, provider_config, running_issuer

TenantOf = Callable[..., Awaitable[TenantHandle]]
"""Makes a tenant whose config names the provider; fields of it can be added."""


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def friendly(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server that may speak to loopback."""
    async with start_croft(await new_database(cluster), outbound_private_networks=(LOOPBACK,)) as croft:
        yield croft


@pytest_asyncio.fixture(loop_scope="session")
async def issuer() -> AsyncIterator[SmallIssuer]:
    """A provider of this test alone."""
    async with running_issuer() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def tenant_of(friendly: Croft) -> TenantOf:
    async def make(issuer: SmallIssuer, kind: str = "oidc", **fields: Any) -> TenantHandle:
        return await friendly.tenant({"authConfigs": [provider_config(issuer, kind, **fields)]})

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def providers(friendly: Croft, clock: Clock) -> AsyncIterator[TenantProviders]:
    """What the server has, with a clock of the test's own."""
    outbound = Outbound(Guard(networks_of([LOOPBACK])))
    async with Database(friendly.addresses.serving, size=2) as database:
        yield TenantProviders(database, outbound, keyring_of(friendly.settings), clock=clock)
