import asyncio
import re
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.health.api import ready
from server.metrics.exposition import Exposition
from server.metrics.rooms import room_of
from server.metrics.sync import SyncMetrics
from tests.conftest import METRICS_TOKEN, Croft, new_database, start_croft


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def read(croft: Croft) -> str:
    answer = await croft.client(METRICS_TOKEN).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {METRICS_TOKEN}", f"Bearer {METRICS_TOKEN}x"]
)
async def test_metrics_need_the_token(croft: Croft, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await croft.client().get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "metrics.token-needed"
    assert "croft_requests" not in answer.text


async def test_operator_without_the_token_cannot_read_metrics(croft: Croft) -> None:
    assert (await croft.operator.get("/metrics")).status_code == 401


async def test_without_a_token_set_there_are_no_metrics(cluster: EmbeddedPostgres) -> None:
    async with start_croft(await new_database(cluster), metrics_token=None) as croft:
        answer = await croft.operator.get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (404, "metrics.off")


async def test_requests_are_counted_by_route_and_timed_by_room(croft: Croft) -> None:
    before = samples(await read(croft))
    for _ in range(3):
        await croft.client().get("/health")
    after = samples(await read(croft))
    counted = ("croft_requests_total", (("method", "GET"), ("route", "/health"), ("status", "2xx")))
    timed = ("croft_room_seconds_count", (("room", "health"),))
    assert after[counted] - before.get(counted, 0) == 3
    assert after[timed] - before.get(timed, 0) == 3


async def test_no_label_is_made_by_a_caller(croft: Croft) -> None:
    mark = "mark-of-a-caller"
    client = croft.client()
    await client.get(f"/{mark}")
    await client.get(f"/artifacts/{mark}.json")
    await client.request(mark.upper(), "/health")
    await client.get("/api/sync/pull", params={"configId": mark}, headers={"X-Tenant-Id": mark, "Origin": mark})
    await client.get("/api/users/me", headers={"Authorization": f"{mark} {mark}", "X-Request-Id": mark})
    text = await read(croft)
    assert mark not in text.lower()
    methods = set(re.findall(r'method="([^"]*)"', text))
    assert methods <= {"GET", "POST", "PUT", "DELETE", "OPTIONS", "other"}


async def test_process_and_version_are_there(croft: Croft) -> None:
    found = {name for name, _ in samples(await read(croft))}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "croft_build"} <= found


async def test_pool_tells_what_is_in_use_and_who_waits(cluster: EmbeddedPostgres) -> None:
    addresses = await new_database(cluster)
    async with Database(addresses.serving, size=1) as database:
        exposition = Exposition(CollectorRegistry(), database)

        def now(name: str) -> float:
            return samples(exposition.render().decode())[f"croft_pool_{name}", ()]

        async def second() -> None:
            async with database.shared():
                pass

        assert [now(each) for each in ("limit", "size", "in_use", "waiting")] == [1, 1, 0, 0]
        async with database.shared():
            waiting = asyncio.create_task(second())
            await asyncio.sleep(0)
            assert [now(each) for each in ("limit", "size", "in_use", "waiting")] == [1, 1, 1, 1]
        await waiting
        assert [now(each) for each in ("in_use", "waiting")] == [0, 0]


def test_events_are_counted_by_their_fate() -> None:
    registry = CollectorRegistry()
    sync = SyncMetrics(registry)
    sync.pushed(accepted=8, known=2)
    sync.pushed(waiting=1, quarantined=3)
    found = samples(generate_latest(registry).decode())
    fates = {fate: found["croft_events_total", (("fate", fate),)] for fate in ("accepted", "known", "waiting")}
    assert fates == {"accepted": 8, "known": 2, "waiting": 1}
    assert found["croft_events_total", (("fate", "quarantined"),)] == 3
    assert found["croft_pushes_total", ()] == 2


def test_room_is_the_package_of_the_handler() -> None:
    assert room_of(ready) == "health"
    assert room_of(partial(partial(ready), database=None)) == "health"
