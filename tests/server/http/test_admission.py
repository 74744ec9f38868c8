"""How many requests are let in at once."""

import asyncio
from urllib.parse import urlsplit

import httpx
from starlette.types import Receive, Scope, Send

from server.http.admission import Admission
from server.http.problems import Problems
from tests.conftest import Croft

OK = {"type": "http.response.start", "status": 200, "headers": []}


class Slow:
    """Answers nothing before `go_on` is set; `reached` counts who waits."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.reached = asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.release()
        await self.go_on.wait()
        await send(OK)
        await send({"type": "http.response.body", "body": b""})


async def test_request_too_many_is_a_problem_that_says_when_to_come_back() -> None:
    slow = Slow()
    transport = httpx.ASGITransport(Problems(Admission(slow, most=2)))
    async with httpx.AsyncClient(transport=transport, base_url="http://croft.test") as client:
        admitted = [asyncio.ensure_future(client.get("/")) for _ in range(2)]
        for _ in admitted:
            await slow.reached.acquire()
        refused = await client.get("/")
        assert (refused.status_code, refused.json()["code"]) == (503, "server.overloaded")
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        slow.go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*admitted)] == [200, 200]
        assert (await client.get("/")).status_code == 200


async def test_request_that_fails_or_is_given_up_leaves_its_place_to_the_next() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionError

    transport = httpx.ASGITransport(Problems(Admission(failing, most=1)))
    async with httpx.AsyncClient(transport=transport, base_url="http://croft.test") as client:
        codes = [(await client.get("/")).json()["code"] for _ in range(3)]
        assert codes == ["database.unavailable"] * 3
    slow = Slow()
    transport = httpx.ASGITransport(Admission(slow, most=1))
    async with httpx.AsyncClient(transport=transport, base_url="http://croft.test") as client:
        given_up = asyncio.ensure_future(client.get("/"))
        await slow.reached.acquire()
        given_up.cancel()
        await asyncio.wait({given_up})
        slow.go_on.set()
        assert (await client.get("/")).status_code == 200


async def test_connections_without_a_request_keep_nobody_out(croft: Croft) -> None:
    url = urlsplit(croft.url)
    idle = [await asyncio.open_connection(url.hostname, url.port) for _ in range(200)]
    try:
        answers = await asyncio.gather(*(croft.client().get("/health") for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
    finally:
        for _, writer in idle:
            writer.close()
