"""The signing secret is changed, by the runbook and by accident."""

from contextlib import AbstractAsyncContextManager

import pytest_asyncio
from pydantic import SecretStr

from server.db.embedded import EmbeddedPostgres
from server.starting import Addresses
from tests.conftest import Croft, new_database, start_croft
from tests.server.auth.sessions.signing import Device, device_of, new_account, refused

FIRST, SECOND = "the first secret of this installation", "the second secret of this installation"


@pytest_asyncio.fixture(loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """The database of one installation, on which servers follow each other."""
    return await new_database(cluster)


def serving(addresses: Addresses, secret: str, *others: str) -> AbstractAsyncContextManager[Croft]:
    """A server with these secrets."""
    return start_croft(
        addresses, jwt_secret=SecretStr(secret), jwt_other_secrets=tuple(SecretStr(each) for each in others)
    )


def moved(device: Device, server: Croft) -> Device:
    """The same device, before another server."""
    return Device(server, device.email, server.client(), device.access, device.refresh)


async def old_token(server: Croft, email: str) -> str:
    return (await server.signed_in(email)).headers["authorization"].removeprefix("Bearer ")


async def holds(server: Croft, token: str) -> bool:
    return (await server.client(token).get("/api/users/check-token")).status_code == 200


async def test_secret_changes_by_the_runbook_and_nobody_is_signed_out(addresses: Addresses) -> None:
    async with serving(addresses, FIRST) as server:
        device = await device_of(server, (await new_account(server))[1])
        token = await old_token(server, device.email)
    # A phone that was away while the secrets were swapped still comes back, as long as the earlier one is accepted.
    away = device.copy()
    async with serving(addresses, FIRST, SECOND) as server:
        assert (await moved(away, server).ask()).status_code == 200
    async with serving(addresses, SECOND, FIRST) as server:
        device = moved(away, server)
        assert (await device.ask()).status_code == 200
        assert await holds(server, token)
        assert (await device.renew()).status_code == 200
        newer = await old_token(server, device.email)
    # Of two processes one may not have been restarted yet.
    async with serving(addresses, FIRST, SECOND) as server:
        assert (await moved(device, server).ask()).status_code == 200
    async with serving(addresses, SECOND) as server:
        device = moved(device, server)
        assert (await device.ask()).status_code == 200
        assert (await device.renew()).status_code == 200
        assert await holds(server, newer)
        assert not await holds(server, token)


async def test_lost_secret_asks_everybody_to_sign_in_and_costs_nothing_else(addresses: Addresses) -> None:
    async with serving(addresses, FIRST) as server:
        device = await device_of(server, (await new_account(server))[1])
        token = await old_token(server, device.email)
    async with serving(addresses, SECOND) as server:
        device = moved(device, server)
        assert not await holds(server, token)
        assert refused(await device.ask(), "auth.required")
        assert refused(await device.renew(), "auth.required")
        await device.sign_in()
        assert (await device.ask()).status_code == 200
