"""Answers that are sent piece by piece: to slow readers, to those who leave, and when something fails on the way."""

import asyncio
import logging
import socket
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import zstandard

from server.http.streaming import StreamedResponse
from server.kit.call import Answer, Call, Streamed
from tests.server.http.conftest import Serve

PATIENCE = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: croft.test\r\n\r\n"
pytestmark = pytest.mark.usefixtures("heard")


class Pieces:
    """An answer that never ends, of pieces too large for any socket to keep many of them."""

    def __init__(self, size: int = 256 * 1024) -> None:
        self.size = size
        self.made = 0
        self.ended = asyncio.Event()

    async def __call__(self, _: Call) -> Streamed:
        return Streamed(self._make())

    async def _make(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.made += 1
                yield b"x" * self.size
                await asyncio.sleep(0)
        finally:
            self.ended.set()

    async def wait_for_end(self) -> None:
        await asyncio.wait_for(self.ended.wait(), PATIENCE)


async def connect(address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that takes in little by itself, and whose client has asked and reads nothing yet."""
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bare.setblocking(False)
    await asyncio.get_running_loop().sock_connect(bare, address)
    reader, writer = await asyncio.open_connection(sock=bare, limit=4096)
    writer.write(REQUEST)
    return reader, writer


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes; nothing after a connection that was reset."""
    received = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), PATIENCE):
            received += piece
    except ConnectionError:
        pass
    return received


async def line_of_the_log(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            for record in caplog.records:
                if record.name == "croft.requests":
                    return vars(record)
            await asyncio.sleep(0.01)


async def test_stream_ends_for_a_client_that_reads_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "croft.requests")
    pieces = Pieces()
    async with serve(pieces) as address:
        _, writer = await connect(address)
        await pieces.wait_for_end()
        assert (await line_of_the_log(caplog))["broken"] == "left"
        writer.close()


async def test_stream_goes_on_for_a_client_that_reads_slowly(serve: Serve) -> None:
    """Slowly: over several times as long as he may take who reads nothing."""
    pieces = Pieces()
    async with serve(pieces) as address:
        reader, writer = await connect(address)
        for _ in range(12):
            assert await asyncio.wait_for(reader.readexactly(200_000), PATIENCE)
            await asyncio.sleep(0.1)
        assert not pieces.ended.is_set()
        writer.close()
        await pieces.wait_for_end()


async def test_whole_answer_that_nobody_reads_holds_no_connection(serve: Serve) -> None:
    async def answer(_: Call) -> Answer:
        return Answer(b"x" * 20_000_000)

    async with serve(answer) as address:
        reader, writer = await connect(address)
        # The server gives up while there is much to send; what came before can be read still, but not the whole.
        await asyncio.sleep(1.5)
        assert len(await rest_of(reader)) < 20_000_000
        writer.close()


async def test_stream_ends_as_soon_as_the_client_has_left(serve: Serve) -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def wait_for_ever(_: Call) -> Streamed:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"first"
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        return Streamed(pieces())

    async with serve(wait_for_ever) as address:
        _, writer = await connect(address)
        await asyncio.wait_for(begun.wait(), PATIENCE)
        writer.close()
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def failing(_: Call) -> Streamed:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise KeyError("secret")

    return Streamed(pieces())


async def test_failure_on_the_way_is_logged_once_and_breaks_the_connection(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(failing) as address:
        reader, writer = await connect(address)
        received = await rest_of(reader)
        writer.close()
        assert b"first" in received
        assert not received.endswith(b"0\r\n\r\n")
        assert b"secret" not in received
        assert (await line_of_the_log(caplog))["broken"] == "server.failed"
    failures = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.name, record.getMessage()) for record in failures] == [("croft.problems", "server.failed")]


async def test_client_of_an_old_http_sees_the_break_too(serve: Serve) -> None:
    async with serve(failing) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()


async def test_failure_before_the_first_piece_is_answered_as_a_problem(serve: Serve) -> None:
    def make() -> bytes:
        raise KeyError("secret")

    async def fail(_: Call) -> Streamed:
        async def pieces() -> AsyncIterator[bytes]:
            yield make()

        return Streamed(pieces())

    async with serve(fail) as (host, port), httpx.AsyncClient() as client:
        answer = await client.get(f"http://{host}:{port}/")
        assert (answer.status_code, answer.json()["code"]) == (500, "server.failed")


@pytest.mark.parametrize("pieces", [[], [b""], [b"", b"a"], [b"a", b"", b"b"]])
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_stream_is_its_pieces_one_after_the_other(serve: Serve, pieces: list[bytes], coding: str) -> None:
    async def answer(_: Call) -> Streamed:
        async def each() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return Streamed(each())

    async with serve(answer) as (host, port), httpx.AsyncClient() as client:
        got = await client.get(f"http://{host}:{port}/", headers={"Accept-Encoding": coding})
        assert (got.status_code, got.content) == (200, b"".join(pieces))
        assert got.headers["content-type"] == "application/x-ndjson"


def unpacker(coding: str) -> Any:
    return zlib.decompressobj(31) if coding == "gzip" else zstandard.ZstdDecompressor().decompressobj()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_packed_piece_can_be_read_before_the_next_one_is_made(serve: Serve, coding: str) -> None:
    go_on = asyncio.Event()

    async def answer(_: Call) -> Streamed:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b'{"number": %d}\n' % number
                await go_on.wait()
                go_on.clear()
            yield b"y" * 1_000_000

        return Streamed(pieces())

    async with (
        serve(answer) as (host, port),
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", f"http://{host}:{port}/", headers={"Accept-Encoding": coding}) as got,
    ):
        assert got.headers["content-encoding"] == coding
        assert "Accept-Encoding" in got.headers["vary"]
        raw, unpack = got.aiter_raw(), unpacker(coding)
        for number in range(3):
            assert unpack.decompress(await anext(raw)) == b'{"number": %d}\n' % number
            go_on.set()
        rest = b"".join([unpack.decompress(piece) async for piece in raw])
        assert rest == b"y" * 1_000_000
        assert unpack.eof


async def test_event_stream_is_not_packed(serve: Serve) -> None:
    async def answer(_: Call) -> Streamed:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"event: head\n\n"

        return Streamed(pieces(), "text/event-stream")

    async with serve(answer) as (host, port), httpx.AsyncClient() as client:
        got = await client.get(f"http://{host}:{port}/", headers={"Accept-Encoding": "zstd, gzip"})
        assert "content-encoding" not in got.headers
        assert got.content == b"event: head\n\n"


async def test_stream_that_is_cancelled_ends_its_pieces() -> None:
    pieces, is_blocked = Pieces(1), asyncio.Event()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(_: Any) -> None:
        if pieces.made > 3:
            is_blocked.set()
            await asyncio.Event().wait()

    facts: dict[str, Any] = {}
    streamed = await pieces(None)  # type: ignore[arg-type]
    answering = asyncio.create_task(StreamedResponse(streamed)({"croft": facts}, receive, send))
    await asyncio.wait_for(is_blocked.wait(), PATIENCE)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert pieces.ended.is_set()
    assert facts["broken"] == "stopped"
