"""One connection: how long it may wait for a request, and what it answers to what is no HTTP."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Any, ClassVar

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from server.http.admission import HEADER_TOO_LARGE
from server.http.problems import BAD_REQUEST, problem_response
from server.http.request_log import SECURITY_HEADERS

_SIZE_OF_INT = 4
_LINGER_NOT = struct.pack("ii", 1, 0)


class Connection(H11Protocol):
    """Closes when a whole header has not come within `header_seconds`, be it the first or a later request's.

    The time runs from the opening of the connection or the end of the answer before, and no byte makes it longer.
    Refusals of what cannot be parsed are problems as everywhere.

    A client that has taken nothing of an answer for `stall_seconds` is cut off. One that takes a little now and then is
    waited for: in the field, lines are slow.

    `scope["state"]["break_off"]` ends the connection amid an answer, which nobody takes for a whole one then.
    """

    header_seconds: ClassVar[float] = 15.0
    stall_seconds: ClassVar[float] = 60.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "break_off": self._break_off}, _loop)
        self._unsent = 0
        self._stall_check: asyncio.TimerHandle | None = None
        # The timer after an answer is started with it.
        self.timeout_keep_alive = self.header_seconds  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.header_seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_watching()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_sending()

    def _watch_sending(self) -> None:
        """Looks from now on whether what is to be sent gets less; nothing is added to it meanwhile."""
        self._stop_watching()
        if self.transport.get_write_buffer_size():
            self._unsent = self._bytes_on_their_way()
            self._stall_check = self.loop.call_later(self.stall_seconds, self._check_sending)

    def _check_sending(self) -> None:
        if self._bytes_on_their_way() < self._unsent:
            self._watch_sending()
        else:
            self.transport.abort()

    def _bytes_on_their_way(self) -> int:
        """What the client has not received yet. The kernel holds megabytes of it and takes more only now and then."""
        return self.transport.get_write_buffer_size() + _bytes_in_kernel(self.transport)

    def _stop_watching(self) -> None:
        if self._stall_check is not None:
            self._stall_check.cancel()
            self._stall_check = None

    def _break_off(self) -> None:
        """What was sent before still reaches the client where the end of the connection is no end of the answer."""
        if self.scope["http_version"] == "1.0":
            # So that the connection is reset, where it would end as after a whole answer.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self.transport.abort()
        else:
            self.transport.close()
            self._watch_sending()

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


def _bytes_in_kernel(transport: asyncio.Transport) -> int:
    """What was written to the socket and is not acknowledged yet; nothing where the system does not tell."""
    size = bytearray(_SIZE_OF_INT)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, size)
    except (OSError, ValueError):
        return 0
    return int.from_bytes(size, sys.byteorder)
