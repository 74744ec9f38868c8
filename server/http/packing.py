"""Answers that are packed for whoever asks for it by Accept-Encoding.

No answer mixes a secret with what a stranger chose: credentials travel in a header that no page of another origin can
make a browser send. So the size of a packed answer tells nobody anything.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

_LARGE = 128 * 1024
"""More bytes than this are packed in a thread."""

_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1
"""On pages of events, level 1 of both is several times as fast as what follows, for at most a fifth of the size."""

_GZIP_FORMAT = 31
"""What zlib calls the gzip format."""

_SAME = {"x-gzip": "gzip"}


class Packer(Protocol):
    """Packs an answer piece by piece; what was given to `pack` can be unpacked without what follows."""

    async def pack(self, piece: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class _Zstd:
    def __init__(self) -> None:
        self._packer = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()

    async def pack(self, piece: bytes) -> bytes:
        return await _aside(piece, self._pack)

    def _pack(self, piece: bytes) -> bytes:
        return self._packer.compress(piece) + self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


class _Gzip:
    def __init__(self) -> None:
        self._packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)

    async def pack(self, piece: bytes) -> bytes:
        return await _aside(piece, self._pack)

    def _pack(self, piece: bytes) -> bytes:
        return self._packer.compress(piece) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._packer.flush(zlib.Z_FINISH)


_PACKERS: dict[str, Callable[[], Packer]] = {"zstd": _Zstd, "gzip": _Gzip}


def packer_of(coding: str) -> Packer:
    """A packer for one answer."""
    return _PACKERS[coding]()


async def packed(content: bytes, coding: str) -> bytes:
    """A whole answer, packed."""
    return await _aside(content, _PACK_WHOLE[coding])


def _zstd_whole(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(content)


def _gzip_whole(content: bytes) -> bytes:
    return zlib.compress(content, _GZIP_LEVEL, _GZIP_FORMAT)


_PACK_WHOLE: dict[str, Callable[[bytes], bytes]] = {"zstd": _zstd_whole, "gzip": _gzip_whole}


async def _aside(content: bytes, pack: Callable[[bytes], bytes]) -> bytes:
    return await asyncio.to_thread(pack, content) if len(content) > _LARGE else pack(content)


def coding_of_answer(accept_encoding: str) -> str | None:
    """The coding that the caller likes best of those there are; None where that is the answer as it is.

    Of those he likes as much, zstd; and a coding rather than none, unless he says otherwise.
    """
    liked = dict(_qualities(accept_encoding))
    for_any = liked.get("*", 0.0)
    best = max(_PACKERS, key=lambda coding: liked.get(coding, for_any))
    quality = liked.get(best, for_any)
    return best if quality > 0 and quality >= liked.get("identity", 0.0) else None


def _qualities(accept_encoding: str) -> Iterator[tuple[str, float]]:
    for each in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in each.split(";"))
        if coding:
            yield _SAME.get(coding, coding), _quality(parameters)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
