"""What one tenant, and all together, may have under way at once."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from server.db.embedded import EmbeddedPostgres
from server.db.scope import Scope, enter_statement
from server.http.load import Bounds, Load
from server.kit.problem import Problem
from tests.conftest import Croft, TenantHandle, new_database, start_croft
from tests.old_client import SyncFailed

BOUNDS = Bounds(tenant_requests=2, listeners=4, body_bytes=100, one_body=30)


def code_of(entering: Any) -> str:
    with pytest.raises(Problem) as refused, entering:
        pass
    assert int(refused.value.headers["Retry-After"]) > 0
    return f"{refused.value.status} {refused.value.code}"


def test_tenant_has_so_many_requests_and_leaves_others_theirs() -> None:
    load = Load(BOUNDS)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(load.request_of("north"))
        assert code_of(load.request_of("north")) == "429 tenants.busy"
        held.enter_context(load.request_of("south"))
    with load.request_of("north"):
        pass


def test_tenant_has_half_of_the_listeners_and_all_have_no_more_than_there_are() -> None:
    load = Load(BOUNDS)
    with ExitStack() as held:
        for name in ("north", "north", "south", "south"):
            held.enter_context(load.listener_of(name))
        assert code_of(load.listener_of("north")) == "429 tenants.busy"
        assert code_of(load.listener_of("east")) == "503 server.overloaded"
        held.enter_context(load.request_of("north"))


def test_listeners_and_requests_do_not_count_against_each_other() -> None:
    load = Load(BOUNDS)
    with load.listener_of("north"), load.listener_of("north"), load.request_of("north"), load.request_of("north"):
        pass


def test_one_whole_body_is_always_taken() -> None:
    with Load(Bounds(body_bytes=1, one_body=30)).body_of("north") as body:
        body.add(30)
        with pytest.raises(Problem):
            body.add(1)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 40), st.booleans())))
def test_bytes_held_never_exceed_the_bounds_and_are_all_given_back(steps: list[tuple[str, int, bool]]) -> None:
    """The oracle adds up what was taken, of each owner and of all."""
    load, held = Load(BOUNDS), ExitStack()
    taken: dict[str, int] = {}
    with held:
        for owner, size, is_announced in steps:
            body = held.enter_context(load.body_of(owner))
            of_owner, of_all = taken.get(owner, 0) + size, sum(taken.values()) + size
            expected = "tenants.busy" if of_owner > 30 else "server.overloaded" if of_all > 100 else ""
            try:
                (body.check if is_announced else body.add)(size)
            except Problem as problem:
                refused = problem.code
            else:
                refused = ""
                taken[owner] = taken.get(owner, 0) + (0 if is_announced else size)
            assert refused == expected
    for owner in "abc":
        with load.body_of(owner) as body:
            body.add(30)


# The server as it is served

PATIENCE = 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server that is soon overloaded."""
    async with start_croft(
        await new_database(cluster),
        max_tenant_requests=2,
        max_live_listeners=2,
        max_body_bytes=100_000,
        max_bodies_bytes=200_000,
        postgres_pool_size=3,
        postgres_wait_seconds=0.3,
    ) as croft:
        yield croft


@asynccontextmanager
async def blocked(tenant: TenantHandle) -> AsyncIterator[None]:
    """The tenant's pushes wait for as long as the block runs."""
    db = await asyncpg.connect(tenant.croft.addresses.direct)
    try:
        row = await db.fetchrow(
            "SELECT schema_name, role_name FROM croft.tenants WHERE config_id = $1", tenant.config_id
        )
        assert row is not None
        async with db.transaction():
            await db.execute(enter_statement(Scope(row["schema_name"], row["role_name"])))
            await db.fetch("SELECT head FROM sync_head FOR UPDATE")
            yield
    finally:
        await db.close()


@asynccontextmanager
async def half_sent(tenant: TenantHandle, length: int) -> AsyncIterator[asyncio.StreamWriter]:
    """A push of which the server has taken in the header."""
    host = urlsplit(tenant.croft.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    head = [
        f"POST /api/sync/push?configId={tenant.config_id} HTTP/1.1",
        "Host: localhost",
        f"Authorization: {tenant.api.headers['Authorization']}",
        f"Content-Length: {length}",
        "Expect: 100-continue",
    ]
    try:
        writer.write("\r\n".join([*head, "", ""]).encode())
        assert b"100" in await asyncio.wait_for(reader.readline(), PATIENCE)
        yield writer
    finally:
        writer.close()
        await writer.wait_closed()


def event(guid: str) -> dict[str, Any]:
    return {
        "guid": guid,
        "entityGuid": guid,
        "type": "create-individual",
        "data": {"name": "Amina", "entityName": "individual"},
        "timestamp": "2026-01-31T08:15:00.000Z",
        "userId": "7",
        "syncLevel": 0,
    }


async def push(tenant: TenantHandle, device: str, guid: str) -> tuple[int, str]:
    answer = await tenant.api.post(
        f"/api/sync/push?configId={tenant.config_id}", json={"events": [event(guid)]}, headers={"X-Device-Id": device}
    )
    return answer.status_code, answer.json().get("code", "")


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Asks until it is so."""
    async with asyncio.timeout(PATIENCE):
        for _ in count():
            if await is_so():
                return
            await asyncio.sleep(0.01)


async def test_tenant_that_waits_for_itself_is_told_to_come_back_and_loses_nothing(small: Croft) -> None:
    busy, other = await small.tenant(), await small.tenant()
    async with blocked(busy):
        first = [asyncio.ensure_future(push(busy, f"phone{each}", f"guid-{each}")) for each in range(2)]
        # One of the two has the tenant's only share of the connections; the other one's patience ends.
        done, waiting = await asyncio.wait(first, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [(429, "tenants.busy")]
        assert (await push(other, "phone", "guid"))[0] == 200
    assert [await each for each in waiting] == [(200, "")]
    assert {await push(busy, "phone", f"guid-{each}") for each in range(2)} == {(200, "")}
    for each in range(2):
        assert (await busy.api.get(f"/api/entities/guid-{each}?configId={busy.config_id}")).status_code == 200


async def test_tenant_with_too_many_requests_is_refused_at_once(small: Croft) -> None:
    busy, other = await small.tenant(), await small.tenant()
    async with half_sent(busy, 500), half_sent(busy, 500):
        assert await push(busy, "phone", "guid") == (429, "tenants.busy")
        assert (await push(other, "phone", "guid"))[0] == 200

    async def is_taken() -> bool:
        return (await push(busy, "phone", "guid"))[0] == 200

    await until(is_taken)


async def test_old_phone_that_was_refused_keeps_what_it_has_and_sends_it_later(small: Croft) -> None:
    busy = await small.tenant()
    phone = await busy.device()
    guid = phone.create_individual({"name": "Amina"})
    async with half_sent(busy, 500), half_sent(busy, 500):
        with pytest.raises(SyncFailed):
            await phone.sync()
    await phone.sync()
    answer = await busy.api.get(f"/api/entities/{guid}?configId={busy.config_id}")
    assert answer.status_code == 200


async def test_server_without_a_free_connection_says_so_before_the_requests_time_is_over(small: Croft) -> None:
    tenants = [await small.tenant() for _ in range(2)]
    async with blocked(tenants[0]), blocked(tenants[1]):
        holding = [asyncio.ensure_future(push(each, "phone", "guid")) for each in tenants]
        answers = []

        async def is_refused() -> bool:
            answers.append(await small.operator.get("/api/users/me"))
            return answers[-1].status_code != 200

        await until(is_refused)
        refused = answers[-1]
        assert (refused.status_code, refused.json()["code"]) == (503, "server.overloaded")
        assert int(refused.headers["retry-after"]) > 0
    assert [await each for each in holding] == [(200, "")] * 2


async def test_bodies_of_one_tenant_are_bounded_together(small: Croft) -> None:
    busy = await small.tenant()
    address = f"/api/sync/push?configId={busy.config_id}"
    large = b'{"events": []}'.ljust(50_000)

    async def is_refused() -> bool:
        return (await busy.api.post(address, content=large)).status_code == 429

    async def is_taken() -> bool:
        return (await busy.api.post(address, content=large)).status_code == 200

    async with half_sent(busy, 90_000) as writer:
        writer.write(b" " * 80_000)
        await until(is_refused)
        packed = await busy.api.post(address, content=gzip.compress(large), headers={"Content-Encoding": "gzip"})
        assert (packed.status_code, packed.json()["code"]) == (429, "tenants.busy")
        assert (await busy.api.post(address, content=b'{"events": []}')).status_code == 200
    await until(is_taken)


async def test_live_listeners_are_bounded_by_themselves(small: Croft) -> None:
    tenant, other = await small.tenant(), await small.tenant()
    headers = {"X-Device-Id": "phone", "Accept": "text/event-stream"}

    def listen(to: TenantHandle) -> Any:
        return to.api.stream("GET", f"/api/v2/sync/live?configId={to.config_id}", headers=headers)

    async with listen(tenant) as first, listen(other) as second:
        assert (first.status_code, second.status_code) == (200, 200)
        async with listen(tenant) as refused:
            assert refused.status_code == 429
        third = await small.tenant()
        async with listen(third) as refused:
            assert refused.status_code == 503
        assert (await push(tenant, "phone", "guid"))[0] == 200
