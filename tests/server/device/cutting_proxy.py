"""A TCP proxy before a server, which cuts connections where a test says."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

Direction = Literal["request", "answer"]
_PART = 4096


class CuttingProxy:
    """Passes bytes on, to `server` and back, and counts them. `cut` says after how many it cuts a connection, once."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._left: dict[Direction, int | None] = {"request": None, "answer": None}
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.passed: dict[Direction, int] = {"request": 0, "answer": 0}
        self.cuts = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listener)
        self.cut_all()

    def cut(self, direction: Direction, after: int) -> None:
        """Cuts the connection on which byte number `after` + 1 from now on would go in this direction."""
        with self._lock:
            self._left[direction] = after

    def cut_all(self) -> None:
        """Cuts every connection there is."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            _end(each)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            with self._lock:
                self._sockets += [near, far]
            for source, sink, direction in ((near, far, "request"), (far, near, "answer")):
                threading.Thread(target=self._relay, args=(source, sink, direction), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        try:
            while part := source.recv(_PART):
                allowed = self._allowed(direction, len(part))
                sink.sendall(part[:allowed])
                if allowed < len(part):
                    break
        except OSError:
            pass
        finally:
            _end(source)
            _end(sink)

    def _allowed(self, direction: Direction, wanted: int) -> int:
        with self._lock:
            left = self._left[direction]
            allowed = wanted if left is None else min(left, wanted)
            self.passed[direction] += allowed
            if left is not None:
                self._left[direction] = left - allowed
            if allowed < wanted:
                self._left[direction] = None
                self.cuts += 1
        return allowed


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
