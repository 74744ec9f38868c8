"""One connection: how long it may wait for a request, and what it answers to what is no HTTP."""

import asyncio
import sys
from typing import Any, ClassVar

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from server.http.admission import HEADER_TOO_LARGE
from server.http.problems import BAD_REQUEST, problem_response
from server.http.request_log import SECURITY_HEADERS


class Connection(H11Protocol):
    """Closes when a whole header has not come within `header_seconds`, be it the first or a later request's.

    The time runs from the opening of the connection or the end of the answer before, and no byte makes it longer.
    Refusals of what cannot be parsed are problems as everywhere.
    """

    header_seconds: ClassVar[float] = 15.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # The timer after an answer is started with it.
        self.timeout_keep_alive = self.header_seconds  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.header_seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        # Where the parent stops the timer at any byte, only a whole header does, in handle_events.
        self.conn.receive_data(data)
        self.handle_events()

    def send_400_response(self, msg: str) -> None:
        """Answers while the error of what came is being handled, and closes. `msg` says nothing that callers need."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(self._refusal(sys.exception()))
        self.transport.close()

    def _refusal(self, error: BaseException | None) -> bytes:
        too_large = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == HEADER_TOO_LARGE.status
        problem = (HEADER_TOO_LARGE if too_large else BAD_REQUEST)()
        answer = problem_response(problem)
        answer.headers.update({**SECURITY_HEADERS, "Connection": "close"})
        events: list[h11.Event] = [
            h11.Response(status_code=answer.status_code, headers=answer.raw_headers),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ]
        return b"".join(self.conn.send(event) or b"" for event in events)
