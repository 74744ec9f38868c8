"""`croft serve --workers 2`, as an operator runs it."""

import json
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from server.db.embedded import EmbeddedPostgres
from server.starting import Addresses, bind
from server.workers import WorkerFailed, workers_serving
from tests.conftest import METRICS_TOKEN, new_database, settings_for_tests, small_config, upload_of
from tests.croft_process import CroftProcess, croft_process, run_croft, settings_of
from tests.server.cli.test_serve import half_sent_login, read_all

WAIT_SECONDS = 20

Serve = Callable[[], CroftProcess]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """A database for the servers of this module."""
    return await new_database(cluster)


@pytest.fixture
def croft(addresses: Addresses, tmp_path: Path) -> Iterator[CroftProcess]:
    """A server of two workers."""
    settings = settings_of({"POSTGRES": addresses.serving, "METRICS_TOKEN": METRICS_TOKEN})
    with croft_process("--migrate", "--workers", "2", cwd=tmp_path, **settings) as process:
        yield process


def workers_of(croft: CroftProcess) -> list[int]:
    """The process ids of the workers that run."""
    children = Path(f"/proc/{croft.process.pid}/task/{croft.process.pid}/children").read_text().split()
    return [int(each) for each in children if is_worker(int(each))]


def is_worker(pid: int) -> bool:
    """Whether it runs and is a worker; a process that has ended and waits to be asked for its code does not run."""
    try:
        return b"server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def is_refused(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=WAIT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it stopped listening just then
        pass
    return False


def health(croft: CroftProcess) -> int:
    """Asks over a connection of its own."""
    return httpx.get(f"{croft.url}/health", timeout=WAIT_SECONDS).status_code


def metrics(croft: CroftProcess) -> dict[str, float]:
    """Sums over all labels, by name."""
    answer = httpx.get(f"{croft.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return dict(sums)


def answered_by(croft: CroftProcess, route: str) -> Counter[int]:
    """How many requests each worker has logged."""
    lines = [json.loads(line) for line in list(croft.out)]
    return Counter(line["worker"] for line in lines if line.get("route") == route)


def test_connections_are_spread_and_the_metrics_of_any_worker_are_the_sum(croft: CroftProcess) -> None:
    assert len(workers_of(croft)) == 2
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        clients = [stack.enter_context(httpx.Client(base_url=croft.url)) for _ in range(8)]
        for _ in range(5):
            answers = list(threads.map(lambda client: client.get("/health").status_code, clients))
            assert answers == [200] * 8
        wait_until(lambda: answered_by(croft, "/health").total() == 40)
        assert min(answered_by(croft, "/health").values()) >= 10
        assert len(answered_by(croft, "/health")) == 2
        for told in (metrics(croft), metrics(croft), metrics(croft)):
            assert told["croft_room_seconds_count"] >= 40
            assert told["croft_workers"] == 2
            assert told["croft_pool_limit"] == 10
    answer = httpx.get(f"{croft.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    assert 'croft_requests_total{method="GET",route="/health",status="2xx"} 40.0' in answer
    for number in (0, 1):
        assert re.search(rf'^process_resident_memory_bytes{{worker="{number}"}} \d', answer, re.MULTILINE)


def test_push_to_one_worker_is_told_to_listeners_of_all(croft: CroftProcess) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(6) as threads:
        client = stack.enter_context(httpx.Client(base_url=croft.url, timeout=WAIT_SECONDS))
        config_id = sign_in_to_new_tenant(client)
        headers = {**client.headers, "X-Tenant-Id": config_id, "X-Device-Id": "a device"}
        streams = [
            stack.enter_context(
                httpx.Client(base_url=croft.url, headers=headers, timeout=WAIT_SECONDS).stream(
                    "GET", "/api/v2/sync/live"
                )
            ).iter_lines()
            for _ in range(6)
        ]
        assert list(threads.map(next_cursor, streams)) == [0] * 6
        event = {
            "guid": "one",
            "entityGuid": "ada",
            "type": "create-individual",
            "data": {"name": "Ada"},
            "timestamp": "2026-01-31T08:15:00.000Z",
            "userId": "7",
        }
        answer = client.post("/api/v2/sync/push", json={"events": [event]}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert list(threads.map(next_cursor, streams)) == [1] * 6


def sign_in_to_new_tenant(client: httpx.Client) -> str:
    credentials = {"email": "admin@croft.test", "password": "Correct-Horse-7"}
    client.headers["Authorization"] = f"Bearer {client.post('/api/users/login', json=credentials).json()['token']}"
    config = small_config(f"told-{time.monotonic_ns()}")
    assert client.post("/api/apps", files={"config": upload_of(config)}).status_code == 200
    return str(config["id"])


def next_cursor(lines: Iterator[str]) -> int:
    """The number behind which the log ends, as a listener is told next."""
    told = next(line for line in lines if line.startswith("data:"))
    return int(json.loads(told.removeprefix("data:"))["cursor"].rpartition(".")[2])


def test_worker_that_is_killed_is_replaced_while_the_other_goes_on(croft: CroftProcess) -> None:
    assert [health(croft) for _ in range(20)] == [200] * 20
    before = metrics(croft)["croft_room_seconds_count"]
    victim, other = workers_of(croft)
    os.kill(victim, signal.SIGKILL)
    assert [health(croft) for _ in range(20)] == [200] * 20
    wait_until(lambda: len(workers_of(croft)) == 2 and metrics(croft).get("croft_workers") == 2)
    assert other in workers_of(croft)
    assert victim not in workers_of(croft)
    # What the killed one had counted is not forgotten.
    assert metrics(croft)["croft_room_seconds_count"] >= before + 20
    # The new one does its part: it has fewer connections than the other.
    with ExitStack() as stack:
        for _ in range(6):
            assert stack.enter_context(httpx.Client(base_url=croft.url)).get("/health").status_code == 200
    wait_until(lambda: answered_by(croft, "/health").total() >= 46)
    assert any("ended with code -9" in line for line in croft.out)


def test_worker_that_is_told_to_end_by_itself_finishes_and_is_replaced(croft: CroftProcess) -> None:
    [first, second] = workers_of(croft)
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: first not in workers_of(croft) and len(workers_of(croft)) == 2)
    assert second in workers_of(croft)
    assert health(croft) == 200


def test_requests_in_flight_finish_after_sigterm(croft: CroftProcess) -> None:
    workers = workers_of(croft)
    with half_sent_login(croft.url) as (connection, rest):
        croft.signal(signal.SIGTERM)
        # As systemd does it, which tells every process of a unit.
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        wait_until(lambda: is_refused(croft.url))
        wait_until(lambda: len(workers_of(croft)) == 1)
        connection.sendall(rest)
        assert read_all(connection).startswith(b"HTTP/1.1 401")
        assert croft.end() == 0
    assert not any(is_worker(worker) for worker in workers)


def test_second_signal_drops_what_is_in_flight(croft: CroftProcess) -> None:
    workers = workers_of(croft)
    with half_sent_login(croft.url) as (connection, _):
        croft.signal(signal.SIGINT)
        wait_until(lambda: is_refused(croft.url))
        croft.signal(signal.SIGINT)
        assert croft.end() == 0
        assert not re.match(rb"HTTP/1.1 [24]", read_all(connection))
    assert not any(is_worker(worker) for worker in workers)


def test_worker_that_hangs_does_not_keep_the_server_from_ending(addresses: Addresses, tmp_path: Path) -> None:
    settings = settings_of({"POSTGRES": addresses.serving})
    with croft_process("--migrate", cwd=tmp_path, WORKERS="2", SHUTDOWN_SECONDS="0", **settings) as croft:
        workers = workers_of(croft)
        os.kill(workers[0], signal.SIGSTOP)
        croft.signal(signal.SIGTERM)
        wait_until(lambda: workers_of(croft) == workers[:1])
        croft.signal(signal.SIGTERM)
        assert croft.end() == 0
    assert not any(is_worker(worker) for worker in workers)


def test_no_worker_outlives_a_parent_that_was_killed_and_its_database_is_found_again() -> None:
    place = Path(tempfile.mkdtemp(prefix="croft-test-"))
    place.chmod(0o711)
    try:
        with croft_process("--workers", "2", cwd=place, PORT=str(free_port())) as croft:
            workers = workers_of(croft)
            assert len(workers) == 2
            port = croft.url.rpartition(":")[2]
            croft.signal(signal.SIGKILL)
            croft.process.wait()
            wait_until(lambda: not any(is_worker(worker) for worker in workers))
        with croft_process("--workers", "2", cwd=place, PORT=port) as again:
            assert health(again) == 200
            assert any("an earlier croft left running" in line for line in again.out)
            again.signal(signal.SIGTERM)
            assert again.end() == 0
    finally:
        shutil.rmtree(place)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_worker_that_cannot_start_ends_the_start_and_the_other_workers(addresses: Addresses) -> None:
    settings = settings_for_tests(postgres_pool_size=4)
    nowhere = Addresses(addresses.serving.replace("croft_", "nowhere_"), addresses.direct)
    with bind(settings) as bound:
        with pytest.raises(WorkerFailed):
            async with workers_serving(settings, nowhere, bound, 2):
                raise AssertionError("not reached")
        assert bound.fileno() == -1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"WORKERS": "6"}, "POSTGRES_POOL_SIZE: must be at least 2 for each of 6 workers"),
        ({"WORKERS": "7", "POSTGRES_POOL_SIZE": "81"}, "POSTGRES_POOL_SIZE: must be at most 80 with the PostgreSQL"),
        ({"WORKERS": "0"}, "WORKERS: "),
    ],
)
def test_connections_that_do_not_suffice_are_told_before_anything_starts(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    ended = run_croft("serve", cwd=tmp_path, **settings)
    assert (ended.returncode, told in ended.stderr) == (2, True)
    assert not (tmp_path / ".croft").exists()
