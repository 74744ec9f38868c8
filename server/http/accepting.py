"""Taking connections off a socket at which several processes listen, so that each gets as many as the others."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sized
from mmap import mmap
from pathlib import Path
from struct import Struct

log = logging.getLogger(__name__)

_BACKLOG = 2048
_PAUSE_SECONDS = 1.0
_DEFERENCE_SECONDS = 0.005
_MOST_LEFT = 64

_COUNT = Struct("=i")
_NOBODY = 2**31 - 1


class Loads:
    """How many connections each of several processes has, in a file that all of them have mapped.

    `number` is this process's own among `of`, from 0. The file is made where it is missing.
    """

    def __init__(self, file: Path, number: int, of: int) -> None:
        with file.open("a+b") as opened:
            if opened.tell() == 0:
                opened.write(_COUNT.pack(_NOBODY) * of)
                opened.flush()
            self._counts = mmap(opened.fileno(), 0)
        self._own = number * _COUNT.size

    def note(self, count: int) -> None:
        """Tells the others how many connections this process has."""
        _COUNT.pack_into(self._counts, self._own, count)

    def forget(self, number: int) -> None:
        """Says that a process has ended: nobody waits for it to take anything."""
        _COUNT.pack_into(self._counts, number * _COUNT.size, _NOBODY)

    def least(self) -> int:
        """The number of whoever has the fewest."""
        return min(int(count) for (count,) in _COUNT.iter_unpack(self._counts))


class Sharing:
    """Takes a connection at once where no other process has fewer, else a moment later if it is still there.

    Of what others leave again and again, because they are busy or hang, it takes more each time.

    A server of asyncio would take all that wait, and one process would have the work of all. Takes the place of such a
    server; `close` leaves the socket itself open. `connections` are those that are open now.
    """

    def __init__(
        self, bound: socket.socket, protocol: Callable[[], asyncio.BaseProtocol], connections: Sized, loads: Loads
    ) -> None:
        self.sockets = (bound,)
        self._bound = bound
        self._protocol = protocol
        self._connections = connections
        self._loads = loads
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._most_left = 1
        self._is_open = True
        bound.setblocking(False)
        bound.listen(_BACKLOG)
        self._listen()

    def close(self) -> None:
        """Takes no more."""
        self._is_open = False
        self._loop.remove_reader(self._bound)

    async def wait_closed(self) -> None:
        """Returns when all that were taken have their protocol."""
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def _listen(self) -> None:
        self._loads.note(self._count())
        if self._is_open:
            self._loop.add_reader(self._bound, self._take_or_leave)

    def _count(self) -> int:
        return len(self._connections) + len(self._beginning)

    def _take_or_leave(self) -> None:
        while not self._is_ahead():
            if not self._take():
                return
        self._loop.remove_reader(self._bound)
        self._loop.call_later(_DEFERENCE_SECONDS, self._take_what_was_left)

    def _is_ahead(self) -> bool:
        count = self._count()
        self._loads.note(count)
        return count > self._loads.least()

    def _take_what_was_left(self) -> None:
        if self._is_open:
            self._listen()
            was_left = all(self._take() for _ in range(self._most_left))
            self._most_left = min(2 * self._most_left, _MOST_LEFT) if was_left else 1

    def _take(self) -> bool:
        """Takes one connection; False when there is none."""
        try:
            connection, _ = self._bound.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process has taken it, or it has gone again
        except OSError as error:
            log.error("No connection can be taken for now: %s", error)
            self._loop.remove_reader(self._bound)
            self._loop.call_later(_PAUSE_SECONDS, self._listen)
            return False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        beginning = self._loop.create_task(self._begin(connection))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)
        return True

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()
