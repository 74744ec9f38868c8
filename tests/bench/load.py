"""The load on Croft: requests prepared first, then sent by as many clients as wanted, each a device of its own."""

import asyncio
from collections import deque
from collections.abc import Sequence
from random import Random
from time import perf_counter
from urllib.parse import urlsplit

import orjson

from server.db import Scope
from tests.bench.http_client import HttpClient, with_length
from tests.bench.people import registered
from tests.bench.servers import Tenant
from tests.bench.settling import Settling
from tests.bench.timing import Run

V1 = "/api/sync/push"
V2 = "/api/v2/sync/push"


class HttpLoad:
    """Drives one server, signed in with the token; `superuser_dsn` tells when it has done everything."""

    def __init__(self, url: str, token: str, superuser_dsn: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._token = token
        self._random = Random(1)
        self._clients: list[HttpClient] = []
        self._requests: deque[bytes] = deque()
        self._size = 0
        self._scopes: list[Scope] = []
        self._settling = Settling(superuser_dsn)

    async def prepare(self, tenants: Sequence[Tenant], *, first: int, size: int, count: int, clients: int) -> None:
        """Makes `count` pushes of `size` people each, numbered from `first`, to the tenants in turn."""
        await self._have_clients(clients)
        await self._settling.connect()
        self._size = size
        self._scopes = [tenant.scope for tenant in tenants]
        self._requests = deque(
            self._push(tenants[index % len(tenants)].config_id, first + index * size, size) for index in range(count)
        )

    async def push(self, path: str) -> Run:
        """Sends what was prepared; every event has to be accepted. Ends when all that follows from it is done, too."""
        run = Run(rows=len(self._requests) * self._size)
        answers: list[bytes] = []
        for client in self._clients:
            await client.connect()
        began = perf_counter()
        await asyncio.gather(*(self._send(client, path.encode(), run, answers) for client in self._clients))
        run.answered = perf_counter() - began
        await self._settling.wait(self._scopes)
        run.seconds = perf_counter() - began
        accepted = sum(answer.count(b'"accepted"') for answer in answers)
        assert accepted == run.rows, f"{accepted} of {run.rows} events were accepted: {answers[0][:500]!r}"
        return run

    async def close(self) -> None:
        """Hangs up."""
        for client in self._clients:
            await client.close()
        await self._settling.close()

    async def _send(self, client: HttpClient, path: bytes, run: Run, answers: list[bytes]) -> None:
        while self._requests:
            request = self._requests.popleft()
            began = perf_counter()
            head, body = await client.post(path, request)
            run.took.append(perf_counter() - began)
            assert head.status == 200, (head.text, body)
            answers.append(body)

    def _push(self, tenant: str, first: int, size: int) -> bytes:
        events = [registered(number, self._random) for number in range(first, first + size)]
        return with_length(
            b"X-Tenant-Id: %b\r\nContent-Type: application/json\r\n" % tenant.encode(), orjson.dumps({"events": events})
        )

    async def _have_clients(self, clients: int) -> None:
        while len(self._clients) > clients:
            await self._clients.pop().close()
        for number in range(len(self._clients), clients):
            fixed = f"Authorization: Bearer {self._token}\r\nX-Device-Id: tablet-{number}\r\n"
            self._clients.append(HttpClient(self._host, self._port, fixed.encode()))
