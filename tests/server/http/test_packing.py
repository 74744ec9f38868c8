"""Bodies that come packed, and answers that leave so."""

import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request

from server.http.body import read_body
from server.http.packing import coding_of_answer
from server.http.unpacking import coding_of_body
from server.kit.call import Answer, Call
from server.kit.problem import Problem
from tests.conftest import Croft
from tests.server.http.conftest import Serve

LIMIT = 1_000_000


def packed_as(coding: str, content: bytes) -> bytes:
    return gzip.compress(content, 1) if coding == "gzip" else zstandard.compress(content)


async def read(wire: list[bytes], coding: str, limit: int = LIMIT, *, length: bool = True) -> bytes:
    """What is read of a body that comes in these parts."""
    headers = [(b"content-encoding", coding.encode())]
    if length:
        headers.append((b"content-length", str(sum(map(len, wire))).encode()))
    parts = iter(wire)

    async def receive() -> Any:
        part = next(parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return await read_body(request, limit, packed=True)


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("coding", ["gzip", "zstd", "identity"])
@given(
    contents=st.lists(st.binary() | st.binary(min_size=1, max_size=4).map(lambda each: each * 1_000), max_size=4),
    size=st.integers(1, 5_000),
)
async def test_body_is_the_same_however_it_is_packed_and_cut(coding: str, contents: list[bytes], size: int) -> None:
    """Several members or frames are one body."""
    wire = b"".join(packed_as(coding, each) if coding != "identity" else each for each in contents)
    assert await read(cut(wire, size), coding) == b"".join(contents)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@given(content=st.binary(min_size=1, max_size=300), data=st.data())
async def test_body_that_was_cut_off_is_refused(coding: str, content: bytes, data: st.DataObject) -> None:
    wire = packed_as(coding, content)
    with pytest.raises(Problem) as refused:
        await read([wire[: data.draw(st.integers(1, len(wire) - 1))]], coding)
    assert (refused.value.status, refused.value.code) == (400, "body.not-decodable")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@given(content=st.binary(max_size=300), junk=st.binary(min_size=1, max_size=300))
async def test_what_is_not_packed_is_read_as_nothing_else(coding: str, content: bytes, junk: bytes) -> None:
    for wire in (junk, packed_as(coding, content) + junk):
        try:
            taken = await read([wire], coding)
        except Problem as problem:
            refusal = problem.code
        else:
            # Junk that is packed by chance is what another reader makes of it.
            refusal = "body.not-decodable" if taken == _all_of(coding, wire) else "taken"
        assert refusal == "body.not-decodable"


def _all_of(coding: str, wire: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(wire)
    return zstandard.ZstdDecompressor().stream_reader(wire, read_across_frames=True).read()


def run_of_blocks(blocks: int) -> bytes:
    """A zstd frame of blocks that say "128 KiB of the letter a" in four bytes each."""
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b"a"
    return b"\x28\xb5\x2f\xfd\x00\x38" + block * blocks


@pytest.mark.parametrize(
    ("coding", "wire"),
    [
        ("gzip", gzip.compress(bytes(50_000_000))),
        ("zstd", zstandard.compress(bytes(500_000_000))),
        ("zstd", run_of_blocks(100_000)),
        ("gzip", gzip.compress(b"a" * (LIMIT // 2 + 1)) * 6),
    ],
    ids=["gzip", "zstd", "zstd by hand", "many members"],
)
@pytest.mark.parametrize("size", [100, 1_000_000])
async def test_bomb_is_refused_before_it_has_come_as_a_whole(coding: str, wire: bytes, size: int) -> None:
    parts = cut(wire, size)
    came = 0

    def counted() -> Any:
        nonlocal came
        for part in parts:
            came += 1
            yield part

    with pytest.raises(Problem) as refused:
        await read(counted(), coding, length=False)
    assert (refused.value.status, refused.value.code) == (413, "body.too-large")
    assert came <= max(1, len(parts) // 2 + 1)


async def test_body_of_just_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    for coding in ("gzip", "zstd"):
        assert len(await read([packed_as(coding, b"a" * LIMIT)], coding)) == LIMIT
        with pytest.raises(Problem):
            await read([packed_as(coding, b"a" * (LIMIT + 1))], coding)


async def test_limit_counts_what_is_on_the_wire_too() -> None:
    empty = gzip.compress(b"") * 100
    with pytest.raises(Problem) as refused:
        await read([empty], "gzip", limit=1_000)
    assert refused.value.code == "body.too-large"


async def test_more_members_than_anybody_needs_are_refused() -> None:
    with pytest.raises(Problem) as refused:
        await read([gzip.compress(b"") * 20_000], "gzip")
    assert refused.value.code == "body.not-decodable"


async def test_frame_that_asks_for_a_window_beyond_8_mib_is_refused() -> None:
    for log, is_taken in ((23, True), (24, False)):
        parameters = zstandard.ZstdCompressionParameters(window_log=log)
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        wire = packer.compress(b"small") + packer.flush()
        if is_taken:
            assert await read([wire], "zstd") == b"small"
        else:
            with pytest.raises(Problem) as refused:
                await read([wire], "zstd")
            assert refused.value.code == "body.not-decodable"


@pytest.mark.parametrize(
    ("given_header", "coding"),
    [
        ("", "identity"),
        ("identity", "identity"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        (" identity , zstd", "zstd"),
        ("gzip, gzip", None),
        ("br", None),
        ("gzip, br", None),
    ],
)
def test_coding_of_a_body_is_one_that_is_known(given_header: str, coding: str | None) -> None:
    assert coding_of_body(given_header) == coding


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_push_may_come_packed_and_others_say_what_they_take(croft: Croft, coding: str) -> None:
    tenant = await croft.tenant()
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    wire = packed_as(coding, b'{"events": [5], "configId": "%b"}' % tenant.config_id.encode())
    answer = await croft.operator.post("/api/sync/push", content=wire, headers=headers)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["events"]) == 1
    refused = await croft.operator.post("/api/sync/push", content=wire, headers={**headers, "Content-Encoding": "br"})
    assert (refused.status_code, refused.json()["code"]) == (415, "body.encoding")
    assert refused.headers["accept-encoding"] == "zstd, gzip"
    corrupt = await croft.operator.post("/api/sync/push", content=wire[:-3], headers=headers)
    assert (corrupt.status_code, corrupt.json()["code"]) == (400, "body.not-decodable")


# Answers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("gzip, zstd", "zstd"),
        ("zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd; q=0, gzip ; Q=0.001", "gzip"),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=nonsense", None),
        ("gzip;q=nan", None),
        ("gzip;q=-1", None),
        ("br, deflate", None),
        (",;,=;q", None),
    ],
)
def test_coding_of_an_answer_is_the_one_liked_best(accepted: str, coding: str | None) -> None:
    assert coding_of_answer(accepted) == coding


@given(st.text())
def test_whatever_is_accepted_leads_to_an_answer(accepted: str) -> None:
    assert coding_of_answer(accepted) in (None, "gzip", "zstd")


def unpacked(coding: str | None, content: bytes) -> bytes:
    match coding:
        case "gzip":
            return zlib.decompress(content, 31)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
        case _:
            return content


@pytest.mark.parametrize("accepted", ["zstd, gzip", "gzip", "identity"])
@pytest.mark.parametrize("size", [0, 1_023, 1_024, 300_000])
async def test_answer_of_a_kilobyte_or_more_is_packed(serve: Serve, accepted: str, size: int) -> None:
    content = b"[" + b"1," * (size // 2 - 2) + b"1 ]" if size else b""
    content = content[:size].ljust(size)

    async def answer(_: Call) -> Answer:
        return Answer(content, headers={"ETag": '"strong"'})

    async with (
        serve(answer) as (host, port),
        httpx.AsyncClient() as client,
        client.stream("GET", f"http://{host}:{port}/", headers={"Accept-Encoding": accepted}) as got,
    ):
        raw = b"".join([piece async for piece in got.aiter_raw()])
    coding = got.headers.get("content-encoding")
    assert coding == (accepted.split(",")[0] if size >= 1_024 and accepted != "identity" else None)
    assert unpacked(coding, raw) == content
    assert len(raw) == int(got.headers["content-length"])
    assert ("Accept-Encoding" in got.headers.get("vary", "")) == (size >= 1_024)
    assert got.headers["etag"] == ('W/"strong"' if coding else '"strong"')


async def test_picture_is_not_packed(serve: Serve) -> None:
    async def answer(_: Call) -> Answer:
        return Answer(bytes(10_000), media_type="image/png")

    async with serve(answer) as (host, port), httpx.AsyncClient() as client:
        got = await client.get(f"http://{host}:{port}/", headers={"Accept-Encoding": "zstd, gzip"})
        assert "content-encoding" not in got.headers


class Lines(BaseModel):
    events: list[Any]


async def test_packed_lines_are_read(serve: Serve) -> None:
    async def count(call: Call) -> Any:
        return call.body.events

    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}

    async def parts() -> AsyncIterator[bytes]:
        for part in cut(gzip.compress(b"1\n\n2\n"), 3):
            yield part

    async with (
        serve(count, "POST", Lines, lines="events", compressed=True) as (host, port),
        httpx.AsyncClient() as client,
    ):
        answer = await client.post(f"http://{host}:{port}/", content=parts(), headers=headers)
        assert answer.json() == [1, 2]
