"""Bodies that come packed, by their Content-Encoding: unpacked part by part, within limits."""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import zstandard

from server.kit.problem import ProblemKind

NOT_DECODABLE = ProblemKind("body.not-decodable", 400, "The body is not what its Content-Encoding says.")

CODINGS = "zstd, gzip"
"""What can be unpacked, as Accept-Encoding says it."""

_WINDOW_BYTES = 8 * 1024 * 1024
"""What a zstd frame may ask for as its window: as much as RFC 9659 lets senders expect."""

_MOST_PARTS = 10_000
"""How many gzip members or zstd frames one body may have: each costs, though it may be empty."""

_LARGE = 2 * 1024
"""More packed bytes than this may become megabytes and are unpacked in a thread."""

_GZIP_FORMAT = 31
"""What zlib calls the gzip format."""


class _Decoder(Protocol):
    """One gzip member or zstd frame, as zlib and zstandard both have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Unpacking:
    """How to unpack a coding. From `slice_bytes` packed bytes come 4 MiB at most, whatever they are."""

    decoder: Callable[[], _Decoder]
    slice_bytes: int


def _zstd_decoder() -> _Decoder:
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj(write_size=64 * 1024)


_UNPACKING = {
    "gzip": _Unpacking(lambda: zlib.decompressobj(_GZIP_FORMAT), 4096),
    "zstd": _Unpacking(_zstd_decoder, 128),
}
_SAME = {"x-gzip": "gzip"}


def coding_of_body(content_encoding: str) -> str | None:
    """The coding that a Content-Encoding names, `identity` where it names none, None where it cannot be unpacked."""
    named = [each.strip().lower() for each in content_encoding.split(",")]
    codings = [_SAME.get(each, each) for each in named if each not in ("", "identity")]
    if not codings:
        return "identity"
    return codings[0] if len(codings) == 1 and codings[0] in _UNPACKING else None


class Unpacker:
    """Unpacks a body part by part. Raises `body.not-decodable`, and what `too_large` makes of the limit.

    No more than `limit` bytes are ever unpacked, but for those of one last piece.
    """

    def __init__(self, coding: str, limit: int, too_large: Callable[[int], Exception]) -> None:
        self._how = _UNPACKING[coding]
        self._limit = limit
        self._left = limit
        self._too_large = too_large
        self._decoder = self._how.decoder()
        self._parts = 1
        self._begun = False

    async def unpack(self, packed: bytes) -> list[bytes]:
        """What the next packed bytes are, as pieces."""
        if len(packed) <= _LARGE:
            return list(self._pieces(packed))
        return await asyncio.to_thread(lambda: list(self._pieces(packed)))

    def finish(self) -> None:
        """Says that no more comes."""
        if self._begun and not self._decoder.eof:
            raise NOT_DECODABLE("The body ends before its Content-Encoding does.")

    def _pieces(self, packed: bytes) -> Iterator[bytes]:
        for start in range(0, len(packed), self._how.slice_bytes):
            rest = packed[start : start + self._how.slice_bytes]
            while rest:
                piece, rest = self._decoded(rest)
                self._left -= len(piece)
                if self._left < 0:
                    raise self._too_large(self._limit)
                if piece:
                    yield piece

    def _decoded(self, packed: bytes) -> tuple[bytes, bytes]:
        """What the packed bytes hold of this member or frame, and what follows it."""
        if self._decoder.eof:
            self._begin_next()
        self._begun = True
        try:
            piece = self._decoder.decompress(packed)
        except (zlib.error, zstandard.ZstdError):
            raise NOT_DECODABLE() from None
        return piece, self._decoder.unused_data if self._decoder.eof else b""

    def _begin_next(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise NOT_DECODABLE("The body has too many parts.")
        self._decoder = self._how.decoder()
