"""Servers whose live listeners live faster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from server import starting
from server.app import build_app
from server.db.embedded import EmbeddedPostgres
from server.live.hub import Pace
from server.live.live import Timing
from server.starting import Addresses
from tests.conftest import Croft, new_database, start_croft

HEARTBEAT = 0.3


@asynccontextmanager
async def start_croft_with(timing: Timing, addresses: Addresses, **changes: Any) -> AsyncIterator[Croft]:
    """A server whose live listeners have this timing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "build_app", partial(build_app, timing=timing))
        async with start_croft(addresses, **changes) as server:
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quick_croft(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server that does of its own accord several times a second what it else does every 15 seconds or minute."""
    timing = Timing(Pace(heartbeat=HEARTBEAT, look=0.3), rights=0.2, keepalive=0.2)
    async with start_croft_with(timing, await new_database(cluster)) as server:
        yield server
