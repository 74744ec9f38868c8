"""Listeners are ended when what they came with is good no longer, be it a session, an app password or an API key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from server.db import Database, Scope
from server.live.hub import Hub
from server.live.rights import Rights
from server.live.room import Credential
from server.sync.v2.cursor import Head
from tests.conftest import PASSWORD, Croft
from tests.server.auth.factors import APP_PASSWORDS, shared_schema
from tests.server.auth.programs import Programs, programs_of
from tests.server.live.ear import Ear, Ears, push


@dataclass
class Listening:
    """A key that listens, beside another that stays good."""

    programs: Programs
    account: int
    key: dict[str, Any]
    ear: Ear
    other: Ear


@asynccontextmanager
async def listening(croft: Croft) -> AsyncIterator[Listening]:
    programs = await programs_of(await croft.tenant())
    account, steady = await programs.account("collector"), await programs.account("collector")
    key, lasting = await programs.key(account, "sync.pull"), await programs.key(steady, "sync.pull")
    async with AsyncExitStack() as exits:
        ears = []
        for made in (key, lasting):
            each = Ears(croft.url, made["key"], programs.tenant.config_id, exits)
            await exits.enter_async_context(each.client)
            ears.append(await each.open())
        yield Listening(programs, account, key, *ears)


async def test_key_listens_as_a_session_does(quick_croft: Croft) -> None:
    async with listening(quick_croft) as those:
        cursor = await push(those.programs.tenant)
        seq = int(cursor.rpartition(".")[2])
        for ear in (those.ear, those.other):
            assert (await ear.hear_up_to(seq))[-1].seq == seq


async def key_is_revoked(those: Listening) -> None:
    await those.programs.call("DELETE", f"/{those.account}/keys/{those.key['id']}")


async def key_expires(those: Listening) -> None:
    async with shared_schema(those.programs.tenant.croft) as db:
        await db.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", those.key["id"])


async def account_is_deleted(those: Listening) -> None:
    await those.programs.call("DELETE", f"/{those.account}")


async def role_loses_the_right(those: Listening) -> None:
    answer = await those.programs.call("PUT", f"/{those.account}", role="viewer")
    assert answer.status_code == 200


async def scope_is_taken_away(those: Listening) -> None:
    async with shared_schema(those.programs.tenant.croft) as db:
        await db.execute("UPDATE api_keys SET scopes = '{entities.read}' WHERE id = $1", those.key["id"])


End = Callable[[Listening], Awaitable[None]]


@pytest.mark.parametrize(
    "end", [key_is_revoked, key_expires, account_is_deleted, role_loses_the_right, scope_is_taken_away]
)
async def test_key_that_is_good_no_longer_hears_no_more(quick_croft: Croft, end: End) -> None:
    async with listening(quick_croft) as those:
        await those.ear.told()
        await those.other.told()
        await end(those)
        await those.ear.end()
        cursor = await push(those.programs.tenant)
        assert (await those.other.told()).id == cursor


async def test_keys_of_a_suspended_tenant_hear_no_more(quick_croft: Croft) -> None:
    async with listening(quick_croft) as those:
        await quick_croft.operator.post(f"/api/tenants/{those.programs.tenant.config_id}/suspend")
        await those.ear.end()
        await those.other.end()


async def test_phone_hears_no_more_when_its_app_password_is_revoked(quick_croft: Croft) -> None:
    tenant = await quick_croft.tenant()
    email = await tenant.account()
    owner = await quick_croft.signed_in(email)
    made = (await owner.post(APP_PASSWORDS, json={"name": "Phone"})).json()
    tokens = []
    for password in (made["password"], PASSWORD):
        answer = await quick_croft.client().post("/api/users/login", json={"email": email, "password": password})
        tokens.append(answer.json()["token"])
    async with AsyncExitStack() as exits:
        phone, other = [Ears(quick_croft.url, token, tenant.config_id, exits) for token in tokens]
        for each in (phone, other):
            await exits.enter_async_context(each.client)
        ended, steady = await phone.open(), await other.open()
        assert (await owner.delete(f"{APP_PASSWORDS}/{made['id']}")).status_code == 200
        await ended.end()
        await steady.told()
        cursor = await push(tenant)
        assert (await steady.told()).id == cursor


async def test_listener_of_whom_nothing_is_stored_is_ended_at_the_next_look(quick_croft: Croft) -> None:
    async def read(scope: Scope) -> Head:
        return Head("e", 0)

    async with Database(quick_croft.addresses.serving, size=1) as database:
        hub = Hub(read)
        listener, _ = await hub.listen(1, Scope("schema", "role"), Credential("7"))
        await Rights(hub, database).end_those_without()
    assert listener.is_over


async def test_operator_without_the_factor_that_the_installation_asks_for_is_ended(quick_croft: Croft) -> None:
    async def read(scope: Scope) -> Head:
        return Head("e", 0)

    tenant = await quick_croft.tenant()
    async with Database(quick_croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            session = await db.fetchval(
                "SELECT s.id::text FROM sessions s JOIN users u ON u.id = s.user_id AND role = 'ADMIN'"
            )
            number = await db.fetchval("SELECT id FROM tenants WHERE config_id = $1", tenant.config_id)
        hub = Hub(read)
        listener, _ = await hub.listen(number, Scope("schema", "role"), Credential("1", session_id=session))
        await Rights(hub, database).end_those_without()
        assert not listener.is_over
        await Rights(hub, database, operators_need_second_factor=True).end_those_without()
        assert listener.is_over
