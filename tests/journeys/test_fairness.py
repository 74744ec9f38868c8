"""A tenant that pushes as fast as it can, beside one that goes about its small business.

Phases alternate within one run, so that whatever else the machine does falls on all of them alike; of the rounds the
one that was disturbed least counts. Server, database and both loads share the processors of one machine here: what is
left for the small requests depends on how many there are, hence the bound. Without the lane and the turns it is passed.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from tests.conftest import ADMIN_EMAIL, PASSWORD, new_database, small_config, upload_of
from tests.croft_process import ROOT, croft_process, settings_of

pytestmark = pytest.mark.slow

ROUNDS = 3
QUIET_SECONDS = 0.8
SOLO_SECONDS = 0.8
BESIDE_SECONDS = 1.5


@dataclass
class Load:
    """A tenant's devices, in a process of their own. `times` are in seconds."""

    process: "subprocess.Popen[str]"

    def begin(self, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def end(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def run(self, seconds: float) -> dict[str, Any]:
        self.begin(seconds)
        return self.end()


def rate(told: dict[str, Any]) -> float:
    """Requests a second."""
    return float(told["done"] / told["seconds"])


def p95(told: dict[str, Any]) -> float:
    """Milliseconds."""
    return float(statistics.quantiles(told["times"], n=20)[-1] * 1000)


@dataclass
class Place:
    """A server with two tenants."""

    url: str
    token: str

    @contextmanager
    def load(self, config_id: str, *, clients: int, batch: int) -> Iterator[Load]:
        address = urlsplit(self.url)
        arguments = [str(address.hostname), str(address.port), config_id, str(clients), str(batch)]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.journeys.mass_sync", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{self.token}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            try:
                yield Load(process)
            finally:
                process.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def place(cluster: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Place]:
    addresses = await new_database(cluster)
    with croft_process("--migrate", cwd=tmp_path, **settings_of({"POSTGRES": addresses.serving})) as croft:
        async with httpx.AsyncClient(base_url=croft.url) as client:
            login = await client.post("/api/users/login", json={"email": ADMIN_EMAIL, "password": PASSWORD})
            token = login.json()["token"]
            for name in ("busy", "quiet"):
                files = {"config": upload_of(small_config(name))}
                made = await client.post("/api/apps", files=files, headers={"Authorization": f"Bearer {token}"})
                assert made.status_code == 200
        yield Place(croft.url, token)


def test_mass_sync_of_one_tenant_leaves_the_others_their_pace(place: Place) -> None:
    slower, kept, figures = [], [], []
    with place.load("busy", clients=8, batch=1_000) as busy, place.load("quiet", clients=2, batch=10) as quiet:
        busy.run(0.3)
        quiet.run(0.3)
        for _ in range(ROUNDS):
            alone, solo = quiet.run(QUIET_SECONDS), busy.run(SOLO_SECONDS)
            busy.begin(BESIDE_SECONDS)
            beside, shared = quiet.run(BESIDE_SECONDS), busy.end()
            slower.append(p95(beside) / p95(alone))
            kept.append(rate(shared) / rate(solo))
            figures.append(f"p95 {p95(alone):.0f} and {p95(beside):.0f} ms; {rate(solo):.1f} and {rate(shared):.1f}/s")
    assert min(slower) <= 5, figures
    assert max(kept) >= 0.5, figures
