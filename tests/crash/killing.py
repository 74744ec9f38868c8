"""A server and its database that can be killed one by one, and started again."""

import asyncio
import os
import signal
import socket
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from server.db.embedded import EmbeddedPostgres
from server.db.embedded.postmaster import IMMEDIATE_SHUTDOWN, find_postmaster
from tests.croft_process import CroftProcess, croft_process, settings_of

_WAIT_SECONDS = 30


class Installation:
    """`croft serve` with workers, on a PostgreSQL that keeps its promises. `url` stays the same."""

    def __init__(self, home: Path, workers: int) -> None:
        self.postgres = EmbeddedPostgres(home, durable=True)
        self._home = home
        self._workers = workers
        self._port = _free_port()
        self._running = ExitStack()
        self._croft: CroftProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> "Installation":
        async with AsyncExitStack() as undo:
            undo.push_async_callback(asyncio.to_thread, self.postgres.destroy)
            await asyncio.to_thread(self.postgres.start)
            await self.start_server()
            undo.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._running.close)
        await asyncio.to_thread(self.postgres.destroy)

    async def start_server(self) -> None:
        settings = settings_of({"POSTGRES": self.postgres.dsn(), "PORT": str(self._port), "LOG_LEVEL": "warning"})
        serving = croft_process("--migrate", "--workers", str(self._workers), cwd=self._home, **settings)
        self._croft = await asyncio.to_thread(self._running.enter_context, serving)

    async def kill_server(self) -> None:
        """Every process of the server at once; then it is started again."""
        assert self._croft is not None
        for process_id in [self._croft.process.pid, *self._worker_ids()]:
            os.kill(process_id, signal.SIGKILL)
        await asyncio.to_thread(self._running.close)
        await self.start_server()

    async def kill_worker(self) -> None:
        """One of the workers; the server replaces it."""
        os.kill(self._worker_ids()[0], signal.SIGKILL)

    async def stop_database_immediately(self) -> None:
        """Without a checkpoint; then it is started again."""
        await self._end_database(IMMEDIATE_SHUTDOWN)

    async def kill_database(self) -> None:
        """Its main process, and with it all others; then it is started again."""
        await self._end_database(signal.SIGKILL)

    async def kill_both(self) -> None:
        """The server, and the database before the server is there again."""
        assert self._croft is not None
        for process_id in [self._croft.process.pid, *self._worker_ids()]:
            os.kill(process_id, signal.SIGKILL)
        await self._end_database(signal.SIGKILL)
        await asyncio.to_thread(self._running.close)
        await self.start_server()

    async def _end_database(self, how: signal.Signals) -> None:
        await asyncio.to_thread(end_postmaster, self.postgres.data_directory, how)
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.to_thread(self.postgres.start)

    def _worker_ids(self) -> list[int]:
        assert self._croft is not None
        parent = self._croft.process.pid
        return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def end_postmaster(data: Path, how: signal.Signals) -> None:
    """Ends the server on the data directory by a signal, and returns when it is no more."""
    postmaster = find_postmaster(data)
    assert postmaster is not None
    os.kill(postmaster.process_id, how)
    deadline = time.monotonic() + _WAIT_SECONDS
    while find_postmaster(data) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
