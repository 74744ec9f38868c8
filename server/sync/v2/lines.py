"""Lines of JSON as they are sent, and reading them while others are on their way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Final

PIECE: Final = 256 * 1024
"""How many bytes are sent at once."""


def lines_of(name: str, values: Sequence[bytes]) -> bytes:
    """JSON values as lines, each as the one member of an object."""
    if not values:
        return b""
    opening = b'{"%s":' % name.encode()
    return opening + (b"}\n" + opening).join(values) + b"}\n"


def sliced(content: bytes) -> Iterator[bytes]:
    """The content in pieces to send."""
    for at in range(0, len(content), PIECE):
        yield content[at : at + PIECE]


async def one_ahead(batches: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The batches in pieces to send; the next batch is read while one is sent."""
    reading = asyncio.create_task(anext(batches, None))
    try:
        while (batch := await reading) is not None:
            reading = asyncio.create_task(anext(batches, None))
            for piece in sliced(batch):
                yield piece
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await batches.aclose()
