"""What a device that listens is told, and what it is refused."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from random import Random
from time import monotonic

import httpx
import pytest

from server.db import Database, Scope
from server.db.embedded import EmbeddedPostgres
from server.live import hub
from server.live.hub import Pace
from server.live.live import Timing
from server.starting import running_server
from server.sync.epoch import begin_epoch
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from
from tests.conftest import METRICS_TOKEN, Croft, TenantHandle, new_database, settings_for_tests, start_croft
from tests.server.live.conftest import HEARTBEAT, start_croft_with
from tests.server.live.ear import SECONDS, STILL_HERE, Ear, Ears, an_event, ears_of, push


async def stored(croft: Croft, config_id: str) -> Tenant:
    """The tenant as the shared schema has it."""
    async with Database(croft.addresses.serving, size=1) as database, database.shared() as db:
        row = await db.fetchrow(f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE config_id = $1", config_id)
    assert row is not None
    return tenant_from(row)


async def begin_epoch_as_the_command_line_does(croft: Croft, scope: Scope) -> None:
    async with Database(croft.addresses.serving, size=1) as database, database.inside(scope) as db:
        await begin_epoch(db)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Returns once it holds: what another process sees only when it looks."""
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.01)


async def is_let_in(ears: Ears) -> bool:
    return (await ears.ask()).status_code == 200


async def opened(ear: Ear) -> None:
    """Passes over what every stream begins with."""
    assert await ear.block() == "retry: 3000"


async def test_without_a_cursor_the_first_event_tells_where_the_head_is(croft: Croft) -> None:
    tenant = await croft.tenant()
    cursor = await push(tenant, events=3)
    async with ears_of(tenant) as ears:
        ear = await ears.open()
        assert [await ear.block(), await ear.block()] == [
            "retry: 3000",
            f'id: {cursor}\nevent: head\ndata: {{"cursor": "{cursor}"}}',
        ]
        assert ear.response.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert ear.response.headers["cache-control"] == "no-store"
        assert ear.response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in ear.response.headers


async def test_device_at_the_head_is_told_of_the_next_push_and_until_then_that_the_server_is_there(
    quick_croft: Croft,
) -> None:
    tenant = await quick_croft.tenant()
    cursor = await push(tenant)
    async with ears_of(tenant) as ears:
        ear = await ears.open(cursor)
        await opened(ear)
        assert [await ear.block(2 * HEARTBEAT) for _ in range(3)] == [STILL_HERE] * 3
        later = await push(tenant)
        told = await ear.told()
        assert (told.name, told.id, told.data) == ("head", later, {"cursor": later})


async def test_device_behind_the_head_is_told_at_once(croft: Croft) -> None:
    tenant = await croft.tenant()
    early, late = await push(tenant), await push(tenant)
    async with ears_of(tenant) as ears:
        ear = await ears.open(early)
        assert (await ear.told()).id == late


async def test_last_event_id_goes_before_the_cursor_of_the_address(quick_croft: Croft) -> None:
    tenant = await quick_croft.tenant()
    early, late = await push(tenant), await push(tenant)
    async with ears_of(tenant) as ears:
        ear = await ears.open(early, Last_Event_ID=late)
        await opened(ear)
        assert await ear.block() == STILL_HERE
        assert (await (await ears.open(late, Last_Event_ID=early)).told()).id == late


async def test_cursor_that_is_none_or_of_another_log_is_refused(croft: Croft) -> None:
    tenant, other = await croft.tenant(), await croft.tenant()
    epoch, _, seq = (await push(tenant)).partition(".")
    foreign = await push(other)
    async with ears_of(tenant) as ears:
        for bad in ("nonsense", "1.2.3", f"{epoch}.x", "x" * 500):
            assert (await ears.refusal(bad))[0] == 400
        assert (await ears.refusal(Last_Event_ID="nonsense"))[1]["code"] == "sync.bad-cursor"
        for gone in (foreign, f"{epoch}.{int(seq) + 1}"):
            status, problem = await ears.refusal(gone)
            assert (status, problem["code"], problem["epoch"]) == (410, "sync.epoch-changed", epoch)


async def test_device_has_to_say_which_it_is(croft: Croft) -> None:
    tenant = await croft.tenant()
    async with ears_of(tenant) as ears:
        del ears.client.headers["X-Device-Id"]
        status, problem = await ears.refusal()
        assert (status, problem["code"]) == (400, "sync.device-missing")
        assert (await ears.refusal(X_Device_Id="x" * 129))[0] == 400


async def test_push_at_one_server_wakes_the_listeners_of_another_within_a_second(croft: Croft) -> None:
    tenant = await croft.tenant()
    cursor = await push(tenant)
    async with start_croft(croft.addresses) as other, ears_of(tenant, url=other.url) as ears:
        ear = await ears.open(cursor)
        await opened(ear)
        for url in (croft.url, other.url, croft.url):
            later = await push(tenant, url=url)
            assert (await ear.told(1.0)).id == later


async def test_push_of_an_old_phone_is_told(croft: Croft) -> None:
    tenant = await croft.tenant()
    async with ears_of(tenant) as ears:
        ear = await ears.open()
        before = await ear.told()
        events = [{**an_event(), "syncLevel": 0}]
        answer = await tenant.api.post("/api/sync/push", json={"configId": tenant.config_id, "events": events})
        assert answer.status_code == 200
        assert (await ear.told()).seq == before.seq + 1


async def test_pushes_of_another_tenant_are_never_told(quick_croft: Croft) -> None:
    tenant, neighbour = await quick_croft.tenant(), await quick_croft.tenant()
    cursor = await push(tenant)
    async with ears_of(tenant) as ears, ears_of(neighbour) as neighbours:
        ear, other = await ears.open(cursor), await neighbours.open()
        await opened(ear)
        for _ in range(3):
            theirs = await push(neighbour)
            await other.hear_up_to(int(theirs.partition(".")[2]))
            assert await ear.block() == STILL_HERE
        assert (await ears.refusal(X_Tenant_Id=neighbour.config_id))[0] == 403


async def test_new_epoch_is_told_and_the_cursor_of_the_old_one_is_over(quick_croft: Croft) -> None:
    tenant = await quick_croft.tenant()
    cursor = await push(tenant)
    async with ears_of(tenant) as ears:
        ear = await ears.open(cursor)
        await opened(ear)
        await begin_epoch_as_the_command_line_does(quick_croft, (await stored(quick_croft, tenant.config_id)).scope)
        told = await ear.told()
        assert told.name == "epoch"
        epoch = told.data["epoch"]
        assert epoch != cursor.partition(".")[0]
        status, problem = await ears.refusal(Last_Event_ID=cursor)
        assert (status, problem["epoch"]) == (410, epoch)
        again = await ears.open(Last_Event_ID=told.id)
        later = await push(tenant)
        assert later.startswith(epoch)
        assert [(await each.told()).id for each in (ear, again)] == [later, later]


Act = Callable[[TenantHandle, str, httpx.AsyncClient], Awaitable[httpx.Response]]


def sign_out(_: TenantHandle, __: str, account: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return account.post("/api/users/logout")


def sign_out_everywhere(_: TenantHandle, __: str, account: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return account.delete("/api/v2/auth/sessions")


def lose_the_phone(tenant: TenantHandle, email: str, _: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return tenant.api.delete(f"/api/members/{email}/sessions", params={"configId": tenant.config_id})


def take_membership(tenant: TenantHandle, email: str, _: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return tenant.api.put(f"/api/users/{email}", json={"memberships": []})


def make_viewer(tenant: TenantHandle, email: str, _: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    roles = [{"configId": tenant.config_id, "role": "viewer"}]
    return tenant.api.put(f"/api/users/{email}", json={"memberships": roles})


def delete_account(tenant: TenantHandle, email: str, _: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return tenant.api.delete(f"/api/users/{email}")


def suspend(tenant: TenantHandle, _: str, __: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return tenant.api.post(f"/api/tenants/{tenant.config_id}/suspend")


async def be_away_too_long(tenant: TenantHandle, email: str, _: httpx.AsyncClient) -> httpx.Response:
    async with Database(tenant.croft.addresses.serving, size=1) as database, database.shared() as db:
        await db.execute(
            "UPDATE sessions SET renewed_at = now() - interval '2 days'"
            " WHERE user_id = (SELECT id FROM users WHERE email = $1)",
            email,
        )
    return await tenant.api.put(f"/api/tenants/{tenant.config_id}/security", json={"offlineDays": 1})


def delete_tenant(tenant: TenantHandle, _: str, __: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return tenant.api.delete(f"/api/apps/{tenant.config_id}")


@pytest.mark.parametrize(
    "act",
    [
        sign_out,
        sign_out_everywhere,
        lose_the_phone,
        take_membership,
        make_viewer,
        delete_account,
        suspend,
        be_away_too_long,
        delete_tenant,
    ],
    ids=lambda act: act.__name__,
)
async def test_stream_ends_once_it_could_not_begin_any_more(quick_croft: Croft, act: Act) -> None:
    tenant, elsewhere = await quick_croft.tenant(), await quick_croft.tenant()
    email = await tenant.account()
    async with ears_of(tenant, email) as ears, ears_of(elsewhere) as others:
        ear, other = await ears.open(), await others.open()
        await ear.told()
        await other.told()
        answer = await act(tenant, email, ears.client)
        assert answer.is_success, answer.text
        await ear.end()
        assert (await ears.ask()).status_code in {401, 403, 404}
        assert [await other.block(), await other.block()] == [STILL_HERE] * 2


async def test_suspended_tenant_goes_on_for_operators(quick_croft: Croft) -> None:
    tenant = await quick_croft.tenant()
    async with ears_of(tenant, quick_croft.settings.admin_email) as ears, ears_of(tenant) as members:
        ear, member = await ears.open(), await members.open()
        await ear.told()
        assert (await suspend(tenant, "", ears.client)).is_success
        await member.end()
        assert [await ear.block(), await ear.block()] == [STILL_HERE] * 2


async def test_stream_ends_when_its_time_is_over(cluster: EmbeddedPostgres) -> None:
    timing = Timing(Pace(heartbeat=0.2, lifetime=0.5))
    async with start_croft_with(timing, await new_database(cluster)) as croft:
        tenant = await croft.tenant()
        async with ears_of(tenant) as ears:
            ear = await ears.open()
            await ear.told()
            await ear.end(2.0)


async def test_listeners_hold_no_connection_to_the_database(cluster: EmbeddedPostgres) -> None:
    async with start_croft(await new_database(cluster), postgres_pool_size=2) as croft:
        tenant = await croft.tenant()
        async with ears_of(tenant) as ears:
            listening = [await ears.open() for _ in range(20)]
            cursor = await push(tenant)
            for ear in listening:
                assert (await ear.hear_up_to(1))[-1].id == cursor


async def test_account_may_have_so_many_listeners_and_one_that_leaves_makes_room(
    croft: Croft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_OF_AN_ACCOUNT", 3)
    tenant = await croft.tenant()
    async with ears_of(tenant) as ears, ears_of(tenant) as colleagues:
        listening = [await ears.open() for _ in range(3)]
        status, problem = await ears.refusal()
        assert (status, problem["code"]) == (429, "live.too-many")
        await colleagues.open()
        await listening[0].response.aclose()
        await until(lambda: is_let_in(ears))


async def test_listeners_are_counted_while_they_are_there(quick_croft: Croft) -> None:
    async def counted() -> int:
        answer = await quick_croft.client(METRICS_TOKEN).get("/metrics")
        found = re.search(r"^croft_live_listeners (\d+)", answer.text, re.MULTILINE)
        assert found is not None
        return int(found[1])

    tenant = await quick_croft.tenant()
    before = await counted()
    async with ears_of(tenant) as ears:
        listening = [await ears.open() for _ in range(5)]
        assert await counted() == before + len(listening)

    async def has_fallen() -> bool:
        return await counted() == before

    await until(has_fallen)


async def test_streams_end_promptly_when_the_server_stops(cluster: EmbeddedPostgres) -> None:
    addresses = await new_database(cluster)
    async with start_croft(addresses) as croft:
        tenant = await croft.tenant()
        email = await tenant.account()
    async with running_server(settings_for_tests(), addresses, migrate=False) as url:
        exits = ears_of(tenant, email, url)
        ears = await exits.__aenter__()
        listening = [await ears.open() for _ in range(20)]
        for ear in listening:
            await ear.told()
        stopped_at = monotonic()
    assert monotonic() - stopped_at < 2
    for ear in listening:
        await ear.end()
    await exits.__aexit__(None, None, None)


async def test_nobody_misses_the_last_push_however_pushes_and_connects_race(croft: Croft) -> None:
    chance = Random(7)
    tenant = await croft.tenant()
    start = await push(tenant)
    async with start_croft(croft.addresses) as other:
        urls = [croft.url, other.url]
        async with ears_of(tenant) as here, ears_of(tenant, url=other.url) as there:

            async def listen() -> Ear:
                await asyncio.sleep(chance.uniform(0, 0.5))
                return await chance.choice([here, there]).open(chance.choice(["", start]))

            async def push_some() -> str:
                cursor = ""
                for _ in range(8):
                    await asyncio.sleep(chance.uniform(0, 0.1))
                    cursor = await push(tenant, url=chance.choice(urls))
                return cursor

            async with asyncio.TaskGroup() as tasks:
                listening = [tasks.create_task(listen()) for _ in range(60)]
                pushing = [tasks.create_task(push_some()) for _ in range(4)]
            final = max((task.result() for task in pushing), key=lambda cursor: int(cursor.partition(".")[2]))
            last = int(final.partition(".")[2])
            for task in listening:
                heard = [told.seq for told in await task.result().hear_up_to(last)]
                assert heard == sorted(set(heard))
                assert heard[-1] == last


async def test_lost_connection_to_hear_news_comes_back_and_nothing_is_missed(croft: Croft) -> None:
    """Well before the next look of its own accord."""
    tenant = await croft.tenant()
    cursor = await push(tenant)
    async with start_croft(croft.addresses) as other, ears_of(tenant, url=other.url) as ears:
        ear = await ears.open(cursor)
        for _ in range(3):
            await end_connections_that_listen(croft)
            later = await push(tenant)
            assert (await ear.told()).id == later


async def end_connections_that_listen(croft: Croft) -> None:
    """Ends that of each of two servers, which comes back a moment after it was ended before."""
    ended: set[int] = set()
    async with asyncio.timeout(20), Database(croft.addresses.serving, size=1) as database:
        while len(ended) < 2:
            async with database.shared() as db:
                rows = await db.fetch(
                    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE '%pg_notify($1%' AND pid <> pg_backend_pid() "
                    "AND pid <> ALL ($1::integer[])",
                    list(ended),
                )
            ended.update(row["pid"] for row in rows)
