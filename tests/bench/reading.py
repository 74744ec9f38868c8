"""Reading from Croft: pages one after the other, or a stream, by as many clients as wanted."""

import asyncio
import gzip
from collections.abc import Callable, Sequence
from re import compile as pattern
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

import zstandard

from tests.bench.http_client import HttpClient
from tests.bench.timing import Run

NDJSON: Final = "Accept: application/x-ndjson\r\n"
_CURSOR: Final = pattern(rb'"(?:cursor|nextCursor)": ?"([^"]*)"')


class HttpReader:
    """Reads one tenant of one server, signed in with the token."""

    def __init__(self, url: str, token: str, tenant: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._fixed = f"Authorization: Bearer {token}\r\nX-Tenant-Id: {tenant}\r\n"
        self._clients: list[HttpClient] = []

    async def connect(self, clients: int) -> None:
        """Opens as many connections anew, each a device of its own."""
        for number in range(len(self._clients), clients):
            fixed = f"{self._fixed}X-Device-Id: reader-{number}\r\n"
            self._clients.append(HttpClient(self._host, self._port, fixed.encode()))
        for client in self._clients[:clients]:
            await client.connect()

    async def pages(self, path: str, starts: Sequence[str], *, requests: int, marker: str) -> Run:
        """From each of the cursors at once: so many pages one behind the other. `path` ends where the cursor belongs.

        As many rows came as the marker stands in the answers; counted when the clock has stopped.
        """
        run = Run()
        answers: list[bytes] = []
        await self.connect(len(starts))
        began = perf_counter()
        await asyncio.gather(
            *(
                self._follow(client, path.encode(), start.encode(), requests, run, answers)
                for client, start in zip(self._clients, starts, strict=False)
            )
        )
        run.seconds = perf_counter() - began
        run.rows = sum(answer.count(marker.encode()) for answer in answers) if marker else len(answers)
        run.bytes = sum(map(len, answers))
        return run

    async def stream(self, path: str, headers: str, *, encoding: str = "identity", rows: int) -> Run:
        """One stream to its end, which has to have a line for each of so many rows, and few others."""
        run = Run(rows=rows)
        kept: list[bytes] = []
        lines = 0
        await self.connect(1)
        began = perf_counter()
        async for piece in self._clients[0].stream(path.encode(), f"{headers}Accept-Encoding: {encoding}\r\n".encode()):
            run.bytes += len(piece)
            if encoding == "identity":
                lines += piece.count(b"\n")
            else:
                kept.append(piece)
        run.seconds = perf_counter() - began
        run.took.append(run.seconds)
        if kept:
            lines = _UNPACK[encoding](b"".join(kept)).count(b"\n")
        assert rows <= lines <= rows * 1.05 + 10, f"{lines} lines came where {rows} rows were expected"
        return run

    async def close(self) -> None:
        """Hangs up."""
        for client in self._clients:
            await client.close()

    async def _follow(
        self, client: HttpClient, path: bytes, cursor: bytes, requests: int, run: Run, answers: list[bytes]
    ) -> None:
        for _ in range(requests):
            began = perf_counter()
            head, body = await client.get(path + cursor)
            run.took.append(perf_counter() - began)
            assert head.status == 200, (head.text, body[:1_000])
            answers.append(body)
            cursor = cursor_in(body)


def cursor_in(answer: bytes) -> bytes:
    """Where the next page goes on. It stands near one end of the answer, before or behind all rows."""
    found = _CURSOR.search(answer, 0, 400) or _CURSOR.search(answer, max(0, len(answer) - 400))
    assert found is not None, answer[:400]
    return found[1]


def _unzstd(packed: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).readall()


_UNPACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.decompress,
    "zstd": _unzstd,
}
