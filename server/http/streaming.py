"""Answers that are sent piece by piece, to callers who may be slow.

How long a caller may take to read is watched by the connection, which breaks off when nothing more is taken.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.http.packing import Packer
from server.http.problems import log_failure
from server.kit.call import Streamed


class StreamedResponse(Response):
    """Sends the pieces as they come, packed if `packer` is given. Ends with the caller.

    A failure before the first piece is raised; a later one is logged and breaks the connection, so that nobody takes
    what came for the whole.
    """

    def __init__(self, streamed: Streamed, packer: Packer | None = None) -> None:
        super().__init__(headers=dict(streamed.headers), media_type=streamed.media_type)
        del self.headers["content-length"]
        self._pieces = streamed.pieces
        self._packer = packer
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer."""
        # In this order: the pieces have to be begun, so that they can end properly, whatever else happens.
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            has_ended = sending.done()
        except asyncio.CancelledError:
            scope["croft"]["broken"] = "stopped"
            raise
        finally:
            await _cancel((sending, leaving))
        if has_ended:
            await self._end(sending.exception(), scope, receive)
        else:
            scope["croft"]["broken"] = "left"

    async def _send(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:  # type: ignore[type-var]
            first = await anext(pieces, b"")
            self._has_begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in _followed(first, pieces):
                body = await self._packer.pack(piece) if self._packer else piece
                await send({"type": "http.response.body", "body": body, "more_body": True})
        rest = self._packer.finish() if self._packer else b""
        await send({"type": "http.response.body", "body": rest, "more_body": False})

    async def _end(self, error: BaseException | None, scope: Scope, receive: Receive) -> None:
        if error is None:
            return
        break_off: Callable[[], None] | None = scope.get("state", {}).get("break_off")
        if not self._has_begun or not isinstance(error, Exception) or break_off is None:
            raise error
        scope["croft"]["broken"] = log_failure(error, scope).code
        break_off()
        await _left(receive)


async def _followed(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in pieces:
        yield piece


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(waited: "Iterable[asyncio.Future[None]]") -> None:
    """Cancels those that are not done, and waits for their end."""
    for each in waited:
        each.cancel()
    await asyncio.gather(*waited, return_exceptions=True)
