import json
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from server.db.embedded import EmbeddedPostgres
from server.db.embedded.postmaster import find_postmaster
from server.starting import install_shared_schema
from tests.conftest import new_database
from tests.croft_process import croft_process, run_croft, settings_of

PASSWORD_LINE = re.compile(r"Password\s+(\S+)")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory through which PostgreSQL's own user may pass."""
    directory = Path(tempfile.mkdtemp(prefix="croft-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


def readiness(url: str) -> tuple[int, object]:
    answer = httpx.get(f"{url}/ready")
    return answer.status_code, answer.json()


def login(url: str, password: str) -> httpx.Response:
    return httpx.post(f"{url}/api/users/login", json={"email": "admin@croft.local", "password": password})


@contextmanager
def half_sent_login(url: str) -> Iterator[tuple[socket.socket, bytes]]:
    """A login that the server is reading, and the part of its body that it still waits for."""
    address = urlsplit(url)
    body = b'{"email": "admin@croft.local", "password": "not the one"}'
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        connection.sendall(
            b"POST /api/users/login HTTP/1.1\r\nHost: croft\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert b"100 Continue" in connection.recv(1000)  # sent when the request's handling asks for the body
        connection.sendall(body[:10])
        yield connection, body[10:]


def wait_until_refused(url: str) -> None:
    address = urlsplit(url)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection((address.hostname or "", address.port or 0), timeout=1).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it stopped listening just then
            pass
    raise AssertionError("the server still takes connections")


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(4096):
        received += part
    return received


def is_stopped(home: Path) -> bool:
    return find_postmaster(home / "postgres") is None and not (home / "postgres/postmaster.pid").exists()


def test_version_and_help_are_told(tmp_path: Path) -> None:
    assert re.fullmatch(r"croft \d+\.\d+\.\d+\n", run_croft("--version", cwd=tmp_path).stdout)
    told = run_croft("--help", cwd=tmp_path).stdout
    for command in ("serve", "migrate", "tenants", "users", "demo"):
        assert re.search(rf"\b{command}\b", told)


def test_every_problem_of_the_settings_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=loud\n")
    ended = run_croft(
        "serve", cwd=tmp_path, POSTGRES="mysql://db", PORT="seventy", METRICS_TOKEN="short", ADMIN_PASSWORD="weak"
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    for name in ("POSTGRES", "PORT", "METRICS_TOKEN", "ADMIN_PASSWORD", "JWT_SECRET", "ENCRYPTION_KEY", "LOG_LEVEL"):
        assert len(re.findall(rf"^  {name}: ", ended.stderr, re.MULTILINE)) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "weak" not in ended.stderr
    assert not (tmp_path / ".croft").exists()


def test_port_that_is_taken_is_told_before_the_database_is_made(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_croft("serve", cwd=place, PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "Set HOST and PORT" in ended.stderr
    assert not (place / ".croft/postgres").exists()


def test_first_start_shows_the_password_and_the_second_is_quick_and_does_not(place: Path) -> None:
    with croft_process(cwd=place) as croft:
        shown = PASSWORD_LINE.search("".join(croft.err))
        assert shown is not None
        assert login(croft.url, shown[1]).status_code == 200
        assert not is_stopped(place / ".croft")
        croft.signal(signal.SIGTERM)
        assert croft.end() == 0
    assert is_stopped(place / ".croft")
    assert shown[1] not in "".join(croft.out)

    began = time.monotonic()
    with croft_process(cwd=place) as croft:
        assert time.monotonic() - began < 5
        assert login(croft.url, shown[1]).status_code == 200
        croft.signal(signal.SIGINT)
        assert croft.end() == 0
    assert not PASSWORD_LINE.search("".join(croft.err))


def test_request_in_flight_finishes_after_sigterm_and_the_database_stops(place: Path) -> None:
    with croft_process(cwd=place) as croft, half_sent_login(croft.url) as (connection, rest):
        croft.signal(signal.SIGTERM)
        wait_until_refused(croft.url)
        assert croft.process.poll() is None
        connection.sendall(rest)
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 401"), answer
        assert b"Invalid email or password" in answer
        assert croft.end() == 0
    assert is_stopped(place / ".croft")
    lines = [json.loads(line) for line in croft.out]
    assert {"message": "request", "route": "/api/users/login", "status": 401}.items() <= lines[-1].items()


def test_second_signal_drops_what_is_in_flight(place: Path) -> None:
    with croft_process(cwd=place) as croft, half_sent_login(croft.url) as (connection, _):
        croft.signal(signal.SIGTERM)
        wait_until_refused(croft.url)
        croft.signal(signal.SIGTERM)
        assert croft.end() == 0
        assert not re.match(rb"HTTP/1.1 [24]", read_all(connection))
    assert is_stopped(place / ".croft")


def test_request_that_takes_longer_than_the_shutdown_may_is_dropped(place: Path) -> None:
    with croft_process(cwd=place, SHUTDOWN_SECONDS="0.5") as croft, half_sent_login(croft.url):
        croft.signal(signal.SIGTERM)
        assert croft.end() == 0
    assert is_stopped(place / ".croft")


async def test_database_without_migrations_stops_the_start_unless_asked_to_migrate(
    cluster: EmbeddedPostgres, tmp_path: Path
) -> None:
    addresses = await new_database(cluster)
    settings = settings_of({"POSTGRES": addresses.serving})
    ended = run_croft("serve", cwd=tmp_path, **settings)
    assert ended.returncode == 1
    assert "croft migrate" in ended.stderr
    assert "Traceback" not in ended.stderr
    with croft_process("--migrate", cwd=tmp_path, **settings) as croft:
        assert readiness(croft.url) == (200, {"status": "ready", "tenantsBehind": 0})
    with croft_process(cwd=tmp_path, **settings) as croft:
        assert readiness(croft.url) == (200, {"status": "ready", "tenantsBehind": 0})
    assert not (tmp_path / ".croft").exists()


async def test_tenant_that_is_behind_is_named_and_the_others_are_served(
    cluster: EmbeddedPostgres, tmp_path: Path
) -> None:
    addresses = await new_database(cluster)
    await install_shared_schema(addresses)
    db = await asyncpg.connect(addresses.direct)
    try:
        await db.execute(
            "INSERT INTO croft.tenants (config_id, artifact_id, name, schema_name, role_name, schema_version) "
            "VALUES ('north-hills', 'a', 'North Hills', 's', 'r', '0000.before-all')"
        )
    finally:
        await db.close()
    with croft_process(cwd=tmp_path, **settings_of({"POSTGRES": addresses.serving})) as croft:
        assert readiness(croft.url) == (200, {"status": "ready", "tenantsBehind": 1})
    warnings = [line for line in map(json.loads, croft.out) if line["level"] == "warning"]
    assert any("north-hills" in line["message"] for line in warnings)


async def test_database_that_cannot_be_reached_is_told_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as refused:
        port = refused.getsockname()[1]
    settings = settings_of({"POSTGRES": f"postgresql://croft:hunter2@127.0.0.1:{port}/croft"})
    ended = run_croft("serve", cwd=tmp_path, **settings)
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr


def test_log_holds_no_query_string_body_or_token(place: Path) -> None:
    with croft_process(cwd=place, LOG_LEVEL="debug") as croft:
        httpx.get(f"{croft.url}/health?secret-of-query=1", headers={"Authorization": "Bearer secret-of-header"})
        httpx.post(f"{croft.url}/api/users/login", json={"email": "a@b.test", "password": "secret-of-body"})
        croft.signal(signal.SIGTERM)
        croft.end()
    assert "secret-of" not in "".join(croft.out + croft.err)
    assert [line["status"] for line in map(json.loads, croft.out) if line["message"] == "request"] == [200, 401]
