"""Connections that bring no request, seen from a bare socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from server.http.connection import Connection
from tests.conftest import Croft

PATIENCE = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: croft.test\r\n"


class Hasty(Connection):
    """As the server's own, but soon out of patience."""

    header_seconds = 0.3


class Client:
    """A socket, and what came out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by name in lower case, and body of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        status, *lines = head.decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(status.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))


@asynccontextmanager
async def connected(host: str | None, port: int | None) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Connected to a server that answers `hello` and is soon out of patience."""
    config = uvicorn.Config(PlainTextResponse("hello"), http=Hasty, ws="none", log_config=None)
    config.load()
    state = ServerState()
    app_state: dict[str, Any] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Hasty(config, state, app_state), "127.0.0.1", 0)
    async with server, connected(*server.sockets[0].getsockname()) as client:
        yield client


async def test_silent_connection_is_closed(client: Client) -> None:
    assert await client.until_closed() == b""


async def test_header_that_trickles_in_is_cut_off(client: Client) -> None:
    closed = asyncio.ensure_future(client.until_closed())
    sent = 0
    for piece in chain([REQUEST, b"X-Endless: "], repeat(b"x")):
        # The server may have closed just before: then nobody is there to take this piece.
        with suppress(ConnectionError):
            await client.send(piece)
        sent += 1
        if (await asyncio.wait({closed}, timeout=0.01))[0]:
            break
    assert sent > 5
    assert closed.exception() is not None or closed.result() == b""


async def test_header_that_never_ends_is_cut_off_at_the_same_time_as_none(client: Client) -> None:
    await client.send(REQUEST)
    assert await client.until_closed() == b""


async def test_second_request_of_a_connection_has_a_deadline_of_its_own(client: Client) -> None:
    await client.send(REQUEST + b"\r\n")
    assert (await client.answer())[0::2] == (200, b"hello")
    await client.send(REQUEST)
    assert await client.until_closed() == b""


async def test_requests_sent_at_once_are_answered_in_turn(client: Client) -> None:
    await client.send((REQUEST + b"\r\n") * 3 + REQUEST)
    assert [(await client.answer())[2] for _ in range(3)] == [b"hello"] * 3
    assert await client.until_closed() == b""


async def test_body_that_never_ends_does_not_hold_an_answered_connection(client: Client) -> None:
    await client.send(b"POST / HTTP/1.1\r\nHost: croft.test\r\nContent-Length: 9\r\n\r\nhalf")
    assert (await client.answer())[0] == 200
    assert await client.until_closed() == b""


# The server as it is served


@asynccontextmanager
async def connected_to(croft: Croft) -> AsyncIterator[Client]:
    url = urlsplit(croft.url)
    async with connected(url.hostname, url.port) as client:
        yield client


def problem(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    document = orjson.loads(body)
    assert document["status"] == status
    return status, document["code"]


async def test_connection_is_kept_for_the_next_request(croft: Croft) -> None:
    async with connected_to(croft) as client:
        for _ in range(3):
            await client.send(b"GET /health HTTP/1.1\r\nHost: croft.test\r\n\r\n")
            assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        b"X-Long: " + b"x" * 70_000 + b"\r\n",
        b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(70)),
        b"X-Long: " + b"x" * 33_000 + b"\r\n",
    ],
    ids=["one line", "many lines", "just too long"],
)
async def test_header_beyond_32_kib_is_refused(croft: Croft, header: bytes) -> None:
    async with connected_to(croft) as client:
        await client.send(b"GET /health HTTP/1.1\r\nHost: croft.test\r\n" + header + b"\r\n")
        assert problem(await client.answer()) == (431, "request.header-too-large")


async def test_header_beyond_32_kib_is_refused_before_its_end_has_come(croft: Croft) -> None:
    async with connected_to(croft) as client:
        await client.send(b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 33_000)
        assert problem(await client.answer()) == (431, "request.header-too-large")
        assert await client.until_closed() == b""


async def test_address_beyond_32_kib_is_refused(croft: Croft) -> None:
    async with connected_to(croft) as client:
        await client.send(b"GET /health?" + b"x" * 33_000 + b" HTTP/1.1\r\nHost: croft.test\r\n\r\n")
        assert problem(await client.answer()) == (431, "request.header-too-large")


async def test_header_of_30_kib_is_taken(croft: Croft) -> None:
    async with connected_to(croft) as client:
        await client.send(b"GET /health HTTP/1.1\r\nHost: croft.test\r\nX-Long: " + b"x" * 30_000 + b"\r\n\r\n")
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: croft.test\r\nX-Name: a\x00b\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /a\xffb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["no HTTP", "NUL in a header", "no host", "two hosts", "negative length", "address not ASCII", "TLS"],
)
async def test_what_is_no_http_is_a_problem_and_ends_the_connection(croft: Croft, sent: bytes) -> None:
    async with connected_to(croft) as client:
        await client.send(sent)
        assert problem(await client.answer()) == (400, "request.invalid")
        assert await client.until_closed() == b""
