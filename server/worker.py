"""A worker: one of several processes that serve at one socket. `server.workers` starts it and holds its other end.

That end is a socket of its own, over which both speak in lines. The worker is given its task, says `serves`, and is
told to `finish` the requests in flight or to `drop` them. When the line is dead, so is whoever started it, and it ends
by itself.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop
from pydantic import SecretStr

from server.auth.passwords import share_processors
from server.http.accepting import Loads
from server.logs import configure_logging
from server.metrics.sharing import share_metrics
from server.settings import Settings
from server.starting import Addresses, Server, ServerFailed, serving

LOADS_FILE = "loads"

SERVES = b"serves\n"
FINISH = b"finish\n"
DROP = b"drop\n"


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do: `number` is its own among `of`, from 0; `shared` a directory that is theirs."""

    settings: Settings
    addresses: Addresses
    shared: Path
    number: int
    of: int

    def line(self) -> bytes:
        """The task as it is sent. Holds secrets."""
        plain = {name: _revealed(value) for name, value in self.settings.model_dump().items()}
        addresses = asdict(self.addresses)
        return orjson.dumps([plain, addresses, str(self.shared), self.number, self.of]) + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> "Task":
        """The task that was sent."""
        settings, addresses, shared, number, of = orjson.loads(line)
        return cls(Settings(**settings), Addresses(**addresses), Path(shared), number, of)


def _revealed(value: Any) -> Any:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case Path():
            return str(value)
        case _:
            return value


def main() -> None:
    """Works on the sockets whose numbers are the program's arguments: the line and the one to serve at."""
    line, bound = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    for each in (line, bound):
        os.set_inheritable(each.fileno(), False)
    # An interrupt is for whoever started the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        uvloop.run(_work(line, bound))
    except ServerFailed:
        sys.exit(1)  # why has been logged


async def _work(line: socket.socket, bound: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=line, limit=2**20)
    task = Task.of_line(await reader.readline())
    configure_logging(task.settings.log_level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Numbering(task.number))
    share_processors(task.of)
    registry = share_metrics(task.shared, task.number)
    loads = Loads(task.shared / LOADS_FILE, task.number, task.of)
    async with serving(task.settings, task.addresses, bound, registry=registry, loads=loads) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _finish, server)
        writer.write(SERVES)
        obeying = asyncio.create_task(_obey(reader, server))
        await server.ended.wait()
        obeying.cancel()
    writer.close()


async def _obey(reader: asyncio.StreamReader, server: Server) -> None:
    while said := await reader.readline():
        _finish(server)
        if said == DROP:
            server.stop()
    _finish(server)


class _Numbering(logging.Filter):
    """Notes in each line of the log which worker wrote it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def filter(self, record: logging.LogRecord) -> bool:
        record.worker = self._number
        return True


def _finish(server: Server) -> None:
    """Said twice, it is no more than once: systemd, say, signals each process of a unit by itself."""
    if not server.should_exit:
        server.stop()


if __name__ == "__main__":
    main()
