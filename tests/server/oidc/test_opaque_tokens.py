"""Tokens that say nothing by themselves."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from server.kit.problem import Problem
from server.oidc.identification import TenantProviders
from tests.conftest import Croft, TenantHandle, new_database, start_croft
from tests.oidc_issuer import CLIENT_ID, CLIENT_SECRET, LOOPBACK, SmallIssuer, provider_config, running_issuer
from tests.server.oidc.conftest import Clock, TenantOf
from tests.server.oidc.test_access_tokens import ask, linked


def says(issuer: SmallIssuer, token: str, **more: Any) -> None:
    """Lets the issuer know an opaque token of its person."""
    said = {"client_id": CLIENT_ID, "exp": int(time.time()) + 300, **issuer.person, **more}
    issuer.says[token] = {name: value for name, value in said.items() if value is not None}


async def test_issuer_is_asked_about_an_opaque_token(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer, clientSecret=CLIENT_SECRET)
    await linked(tenant, issuer)
    says(issuer, "opaque-1")
    for _ in range(3):
        assert (await ask(friendly, tenant, "opaque-1")).status_code == 200
        assert (await ask(friendly, tenant, "unknown-1")).status_code == 401
    assert issuer.asked["introspect"] == 2, "each answer is kept, the bad one as well"
    assert (await ask(friendly, tenant, "opaque-1", "Bearer")).status_code == 401, "no issuer can be told from it"


GOOD: tuple[dict[str, Any], ...] = (
    {"aud": CLIENT_ID},
    {"aud": ["other", CLIENT_ID]},
    {"client_id": None, "aud": CLIENT_ID},
    {"exp": None},
)
BAD: tuple[dict[str, Any], ...] = (
    {"aud": "other"},
    {"client_id": "other"},
    {"client_id": None},
    {"client_id": "other", "aud": CLIENT_ID},
    {"iss": "https://other.test"},
    {"exp": 1},
    {"exp": "soon"},
    {"exp": True},
    {"nbf": 99999999999},
    {"sub": None},
    {"sub": ""},
    {"sub": "with\0nothing"},
    {"sub": "x" * 300},
    {"active": "true"},
)


async def test_what_the_issuer_says_has_to_be_meant_for_us(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, client_secret=CLIENT_SECRET)
    await linked(tenant, issuer)
    for expected, cases in ((200, GOOD), (401, BAD)):
        for number, said in enumerate(cases):
            token = f"opaque-{expected}-{number}"
            says(issuer, token, **said)
            assert (await ask(friendly, tenant, token)).status_code == expected, said


async def test_answer_is_kept_for_a_minute(
    issuer: SmallIssuer, tenant_of: TenantOf, providers: TenantProviders, clock: Clock
) -> None:
    tenant = await tenant_of(issuer, clientSecret=CLIENT_SECRET)
    await linked(tenant, issuer)
    says(issuer, "opaque")
    await providers.identify("oidc", "opaque", tenant=tenant.config_id, device_id="")
    del issuer.says["opaque"]
    clock.now += 59
    await providers.identify("oidc", "opaque", tenant=tenant.config_id, device_id="")
    clock.now += 1
    with pytest.raises(Problem, match="required"):
        await providers.identify("oidc", "opaque", tenant=tenant.config_id, device_id="")


async def test_outage_is_told_and_does_not_make_tokens_bad(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, clientSecret=CLIENT_SECRET, introspectionEndpoint=f"{issuer.url}/introspect")
    await linked(tenant, issuer)
    says(issuer, "opaque")
    await issuer.stop()
    assert (await ask(friendly, tenant, "opaque")).status_code == 503
    await issuer.start()
    assert (await ask(friendly, tenant, "opaque")).status_code == 200


async def test_provider_without_a_secret_cannot_be_asked(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    says(issuer, "opaque")
    assert (await ask(friendly, tenant, "opaque")).status_code == 401
    assert issuer.asked["introspect"] == issuer.asked["userinfo"] == 0, "userinfo is not allowed here"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def trusted() -> AsyncIterator[SmallIssuer]:
    """An issuer that the operator allows to be asked for userinfo."""
    async with running_issuer() as issuer:
        yield issuer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def trusting(cluster: EmbeddedPostgres, trusted: SmallIssuer) -> AsyncIterator[Croft]:
    settings = {"outbound_private_networks": (LOOPBACK,), "oidc_userinfo_issuers": (trusted.issuer,)}
    async with start_croft(await new_database(cluster), **settings) as croft:
        yield croft


async def make(croft: Croft, issuer: SmallIssuer) -> TenantHandle:
    return await croft.tenant({"authConfigs": [provider_config(issuer)]})


async def test_userinfo_is_asked_for_where_the_operator_allows_it(
    trusting: Croft, trusted: SmallIssuer, issuer: SmallIssuer
) -> None:
    for asked, expected in ((trusted, 200), (issuer, 401)):
        tenant = await make(trusting, asked)
        await linked(tenant, asked)
        says(asked, "opaque")
        assert (await ask(trusting, tenant, "opaque")).status_code == expected
        assert (await ask(trusting, tenant, "unknown")).status_code == 401
    assert issuer.asked["userinfo"] == 0
