"""Answers that are sent piece by piece, to callers who may be slow."""

import asyncio
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.kit.call import Streamed

STALL_SECONDS = 60.0
"""How long a caller may take to read one piece before his connection is given up."""


class StreamedResponse(Response):
    """Sends the pieces as they come; ends with the caller, or when he has read nothing for STALL_SECONDS."""

    def __init__(self, streamed: Streamed) -> None:
        super().__init__(headers=dict(streamed.headers), media_type=streamed.media_type)
        del self.headers["content-length"]
        self._pieces = streamed.pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._pieces) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
