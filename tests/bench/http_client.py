"""A lean HTTP/1.1 client over a bare socket: it must not be what is measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

_LARGEST_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and headers of an answer."""

    status: int
    text: bytes

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, named in lower case."""
        for line in self.text.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


class HttpClient:
    """One connection, kept from `connect` on. `fixed` are header lines sent with every request, each ended by CRLF."""

    def __init__(self, host: str, port: int, fixed: bytes) -> None:
        self._address = host, port
        self._fixed = b"Host: %b:%d\r\n%b" % (host.encode(), port, fixed)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: bytes, headers_and_body: bytes) -> tuple[Head, bytes]:
        """Sends a request whose last headers and body are given as `with_length` made them; the whole answer."""
        return await self._ask((b"POST %b HTTP/1.1\r\n" % path, self._fixed, headers_and_body))

    async def get(self, path: bytes, headers: bytes = b"") -> tuple[Head, bytes]:
        """The whole answer."""
        return await self._ask((b"GET %b HTTP/1.1\r\n" % path, self._fixed, headers, b"\r\n"))

    async def stream(self, path: bytes, headers: bytes = b"") -> AsyncIterator[bytes]:
        """The body of an answer of status 200 in the pieces in which it comes."""
        head = await self._begin((b"GET %b HTTP/1.1\r\n" % path, self._fixed, headers, b"\r\n"))
        assert head.status == 200, head.text
        async for piece in self._pieces(head):
            yield piece

    async def connect(self) -> None:
        """Connects anew: a server hangs up on connections that have been idle for some seconds."""
        await self.close()
        self._reader, self._writer = await asyncio.open_connection(*self._address, limit=_LARGEST_PIECE)

    async def close(self) -> None:
        """Hangs up."""
        if self._writer is not None:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def _ask(self, parts: tuple[bytes, ...]) -> tuple[Head, bytes]:
        head = await self._begin(parts)
        return head, b"".join([piece async for piece in self._pieces(head)])

    async def _begin(self, parts: tuple[bytes, ...]) -> Head:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.writelines(parts)
        await self._writer.drain()
        text = await self._reader.readuntil(b"\r\n\r\n")
        return Head(int(text[9:12]), text)

    async def _pieces(self, head: Head) -> AsyncIterator[bytes]:
        assert self._reader is not None
        length = head.header(b"content-length")
        if length is not None or head.status in (204, 304):
            yield await self._reader.readexactly(int(length or 0))
            return
        assert (head.header(b"transfer-encoding") or b"").lower() == b"chunked", head.text
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)


def with_length(headers: bytes, body: bytes) -> bytes:
    """The last headers of a request and its body; `headers` are lines ended by CRLF."""
    return b"%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)
