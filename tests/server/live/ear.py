"""A device that listens: what it is told, word by word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import orjson

from tests.conftest import PASSWORD, TenantHandle

PATH = "/api/v2/sync/live"
STILL_HERE = ": still here"
SECONDS = 5.0
"""How long something may take that is to come at once: far less than what is done of its own accord, every 15."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event."""

    name: str
    id: str
    data: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.id.rpartition(".")[2])


class Ear:
    """A stream that is open."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = blocks_of(response.aiter_text())

    async def block(self, seconds: float = SECONDS) -> str:
        """The next block as it came, without the empty line behind it. Raises StopAsyncIteration at the end."""
        async with asyncio.timeout(seconds):
            return await anext(self._blocks)

    async def told(self, seconds: float = SECONDS) -> Told:
        """The next event; what is none is passed over."""
        async with asyncio.timeout(seconds):
            async for block in self._blocks:
                lines = dict(line.split(": ", 1) for line in block.split("\n"))
                if "event" in lines:
                    return Told(lines["event"], lines["id"], orjson.loads(lines["data"]))
        raise AssertionError("the stream ended")

    async def hear_up_to(self, seq: int) -> list[Told]:
        """Every event until one tells of this number or a later one."""
        heard = [await self.told()]
        while heard[-1].seq < seq:
            heard.append(await self.told())
        return heard

    async def end(self, seconds: float = SECONDS) -> None:
        """Returns when the stream ends as it should; what is told before is passed over."""
        async with asyncio.timeout(seconds):
            async for _ in self._blocks:
                pass


async def blocks_of(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """The text between empty lines."""
    kept = ""
    async for text in texts:
        *blocks, kept = (kept + text).split("\n\n")
        for block in blocks:
            yield block
    assert not kept


class Ears:
    """Opens streams to one tenant of a server, all closed at the end of the block."""

    def __init__(self, url: str, token: str, config_id: str, exits: AsyncExitStack) -> None:
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "X-Tenant-Id": config_id, "X-Device-Id": "ear"},
            timeout=60,
            limits=httpx.Limits(max_connections=None),
        )
        self._exits = exits

    async def open(self, cursor: str = "", **headers: str) -> Ear:
        """A stream from the cursor; asserts that it is one."""
        response = await self.ask(cursor, **headers)
        assert response.status_code == 200, await response.aread()
        return Ear(response)

    async def ask(self, cursor: str = "", **headers: str) -> httpx.Response:
        """The answer, whatever it is, not read yet."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        stream = self.client.stream("GET", PATH, params={"cursor": cursor} if cursor else {}, headers=named)
        return await self._exits.enter_async_context(stream)

    async def refusal(self, cursor: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and problem of an answer that is none."""
        response = await self.ask(cursor, **headers)
        return response.status_code, orjson.loads(await response.aread())


@asynccontextmanager
async def ears_of(tenant: TenantHandle, email: str | None = None, url: str = "") -> AsyncIterator[Ears]:
    """Ears of an account, a new collector where none is given, at the tenant's server or another one."""
    email = email or await tenant.account()
    async with httpx.AsyncClient(base_url=url or tenant.croft.url, timeout=60) as client:
        answer = await client.post("/api/users/login", json={"email": email, "password": PASSWORD})
    async with AsyncExitStack() as exits:
        ears = Ears(url or tenant.croft.url, answer.json()["token"], tenant.config_id, exits)
        await exits.enter_async_context(ears.client)
        yield ears


def an_event() -> dict[str, Any]:
    """A new person."""
    return {
        "guid": str(uuid4()),
        "entityGuid": str(uuid4()),
        "type": "create-individual",
        "data": {"name": "Asha"},
        "timestamp": "2026-01-31T08:15:00.000Z",
        "userId": "7",
    }


async def push(tenant: TenantHandle, *, url: str = "", events: int = 1) -> str:
    """Pushes new events; answers the cursor behind them."""
    answer = await tenant.api.post(
        f"{url}/api/v2/sync/push",
        params={"configId": tenant.config_id},
        headers={"X-Device-Id": "pusher"},
        json={"events": [an_event() for _ in range(events)]},
    )
    assert answer.status_code == 200, answer.text
    receipt = answer.json()["receipt"]
    return f"{receipt['epoch']}.{receipt['last']}"
