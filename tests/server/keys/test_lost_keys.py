"""A server whose ENCRYPTION_KEY was lost or changed: what it says, what still works, and how it is mended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from server.app_configs.secrets import MASK
from server.db.embedded import EmbeddedPostgres
from server.starting import Addresses
from server.vault import Keyring
from tests.conftest import Croft, new_database, start_croft, upload_of
from tests.oidc_issuer import CLIENT_ID, CLIENT_SECRET, LOOPBACK, provider_config, running_issuer
from tests.server.keys.sealed_things import NEW, OLD, external_sync, present_sections, tenants_with_secrets

old, new = Keyring(OLD), Keyring(NEW)
SECRETS = ("hunter2", "100000", OLD, NEW)


@dataclass
class Left:
    """An installation whose server is down: one tenant `id` with secrets under the old key, and a token."""

    addresses: Addresses
    id: str
    number: int
    token: str

    @asynccontextmanager
    async def serving(self, key: str = NEW) -> AsyncIterator[Croft]:
        """A server with another key."""
        async with start_croft(self.addresses, encryption_key=SecretStr(key)) as croft:
            yield croft


@pytest_asyncio.fixture(loop_scope="session")
async def left(cluster: EmbeddedPostgres) -> Left:
    """What a server with the old key left behind."""
    addresses = await new_database(cluster)
    async with start_croft(addresses, encryption_key=SecretStr(OLD)) as croft:
        [tenant] = await tenants_with_secrets(croft, 1)
        number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
        token = croft.operator.headers["Authorization"].removeprefix("Bearer ")
    return Left(addresses, tenant.config_id, number, token)


async def put(croft: Croft, tenant: str, **section: Any) -> httpx.Response:
    return await croft.operator.put(f"/api/apps/{tenant}", files={"config": upload_of({"id": tenant, **section})})


async def test_start_says_in_one_line_which_keys_are_missing(left: Left, caplog: pytest.LogCaptureFixture) -> None:
    async with left.serving():
        pass
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("server.keys")]
    assert len(lines) == 1
    assert old.current in lines[0]
    assert new.current not in lines[0]
    assert not [secret for secret in SECRETS if secret in caplog.text]


async def test_start_with_every_key_says_nothing(left: Left, caplog: pytest.LogCaptureFixture) -> None:
    async with start_croft(
        left.addresses, encryption_key=SecretStr(NEW), encryption_other_keys=(SecretStr(OLD),)
    ) as croft:
        assert (await put(croft, left.id, name="Renamed")).status_code == 200
    assert not [each for each in caplog.records if each.name.startswith("server.keys")]


async def test_config_with_a_lost_secret_is_read_and_listed_with_its_mask(left: Left) -> None:
    async with left.serving() as croft:
        config = (await croft.operator.get(f"/api/apps/{left.id}")).json()
        assert config["externalSync"]["password"] == MASK
        [listed] = (await croft.operator.get("/api/apps")).json()["data"]
        assert listed["externalSync"] == config["externalSync"]
        artifact = await croft.client().get(f"/artifacts/{config['artifactId']}.json")
        assert artifact.status_code == 200
        assert "sealed:" not in artifact.text


async def test_mask_at_a_lost_secret_is_refused_by_its_path_and_entering_it_mends_it(left: Left) -> None:
    async with left.serving() as croft:
        config = (await croft.operator.get(f"/api/apps/{left.id}")).json()
        refused = await put(croft, left.id, externalSync=config["externalSync"])
        assert (refused.status_code, refused.json()["code"]) == (422, "app-configs.secret-lost")
        paths = [error["path"] for error in refused.json()["errors"]]
        assert paths == ["externalSync.password", "externalSync.extraFields[0].value"]
        assert "sealed:" not in refused.text

        assert (await put(croft, left.id, externalSync=external_sync(5))).status_code == 200
        assert (await put(croft, left.id, externalSync=config["externalSync"])).status_code == 200
    assert await present_sections(left.addresses, new) == {left.id: external_sync(5)}


async def test_change_of_something_else_keeps_what_the_old_key_still_opens(left: Left) -> None:
    async with left.serving() as croft:
        assert (await put(croft, left.id, name="Renamed")).status_code == 200
    assert await present_sections(left.addresses, old) == {left.id: external_sync(0)}


async def test_rolling_back_and_restoring_under_another_id_need_no_key(left: Left) -> None:
    async with left.serving() as croft:
        assert (await put(croft, left.id, externalSync=external_sync(5))).status_code == 200
        answer = await croft.operator.post(f"/api/apps/{left.id}/rollback", json={"number": 1})
        assert answer.status_code == 200, answer.text
        assert (await croft.operator.delete(f"/api/tenants/{left.id}")).status_code == 200
        restored = await croft.operator.post(f"/api/tenants/{left.number}/restore", json={"newId": "restored"})
        assert restored.status_code == 200, restored.text
    assert await present_sections(left.addresses, old) == {"restored": external_sync(0)}


async def test_sessions_go_on(left: Left) -> None:
    async with left.serving() as croft:
        assert (await croft.client(left.token).get("/api/users/me")).status_code == 200


async def test_use_of_a_lost_secret_is_told_as_such_until_it_is_entered_again(cluster: EmbeddedPostgres) -> None:
    addresses = await new_database(cluster)
    loopback: dict[str, Any] = {"outbound_private_networks": (LOOPBACK,)}
    async with running_issuer() as issuer:
        providers = [provider_config(issuer, clientSecret=CLIENT_SECRET)]
        issuer.says["opaque"] = {**issuer.person, "iss": issuer.issuer, "aud": CLIENT_ID, "email_verified": True}
        headers = {"Authorization": "oidc opaque"}
        async with start_croft(addresses, encryption_key=SecretStr(OLD), **loopback) as croft:
            tenant = await croft.tenant({"authConfigs": providers})
            here = {"configId": tenant.config_id}
            issuer.says["opaque"]["email"] = await tenant.account()
            assert (await croft.client().get("/api/entities", params=here, headers=headers)).status_code == 200
        async with start_croft(addresses, encryption_key=SecretStr(NEW), **loopback) as croft:
            refused = await croft.client().get("/api/entities", params=here, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (503, "app-configs.secret-unreadable")
            assert not [secret for secret in (CLIENT_SECRET, "sealed:", OLD, NEW) if secret in refused.text]
            assert (await put(croft, tenant.config_id, authConfigs=providers)).status_code == 200
            assert (await croft.client().get("/api/entities", params=here, headers=headers)).status_code == 200
