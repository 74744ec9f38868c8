"""Lines come whole and in order, and nothing is left open behind a stream that is given up."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
import pytest

from server.sync.v2.lines import PIECE, lines_of, one_ahead


def test_values_become_lines_with_one_member_each() -> None:
    lines = lines_of("event", [b'{"a":1}', b"[2]"])
    assert lines.endswith(b"\n")
    assert [orjson.loads(line) for line in lines.splitlines()] == [{"event": {"a": 1}}, {"event": [2]}]
    assert lines_of("event", []) == b""


async def test_batches_come_whole_in_pieces() -> None:
    batches = [bytes([65 + number]) * size for number, size in enumerate((1, PIECE, 3 * PIECE + 7, 0, 5))]

    async def read() -> AsyncGenerator[bytes, None]:
        for batch in batches:
            yield batch

    pieces = [piece async for piece in one_ahead(read())]
    assert b"".join(pieces) == b"".join(batches)
    assert max(map(len, pieces)) == PIECE


async def test_next_batch_is_read_while_one_is_sent() -> None:
    second_is_read = asyncio.Event()

    async def read() -> AsyncGenerator[bytes, None]:
        yield b"first"
        second_is_read.set()
        yield b"second"

    pieces = one_ahead(read())
    assert await anext(pieces) == b"first"
    async with asyncio.timeout(5):
        await second_is_read.wait()
    assert [piece async for piece in pieces] == [b"second"]


async def test_stream_that_is_given_up_ends_its_reading() -> None:
    has_ended = asyncio.Event()
    never = asyncio.Event()

    async def read() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await never.wait()
        finally:
            has_ended.set()

    async with aclosing(one_ahead(read())) as pieces:  # type: ignore[type-var]
        assert await anext(pieces) == b"first"
    assert has_ended.is_set()


async def test_failure_of_reading_comes_behind_what_was_read() -> None:
    async def read() -> AsyncGenerator[bytes, None]:
        yield b"first"
        raise OSError("lost")

    pieces = one_ahead(read())
    assert await anext(pieces) == b"first"
    with pytest.raises(OSError, match="lost"):
        await anext(pieces)
