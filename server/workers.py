"""Several processes that serve at one socket, and the process that starts, replaces and ends them."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import server
from server.http.accepting import Loads
from server.metrics.sharing import forget_worker
from server.settings import Settings
from server.starting import Addresses, url_of
from server.worker import DROP, FINISH, LOADS_FILE, SERVES, Task

log = logging.getLogger(__name__)

_BACKLOG = 2048
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_STEADY_SECONDS = 60.0
"""A worker that has served so long is replaced at once."""

_ENDING_SECONDS = 5.0
"""How long a worker may take to end beyond the time that its requests have."""

_DROPPING_SECONDS = 3.0
"""How long a worker may take to end when its requests are dropped."""

_ROOT = Path(server.__file__).parents[1]


class WorkerFailed(Exception):
    """A worker ended before it served. Its log says why."""

    def __init__(self) -> None:
        super().__init__("A worker ended before it served; the log says why.")


class Workers:
    """The workers of one server, each with its part of the pool.

    `ended` is set when none of them serves any more. `url` is where they serve.
    """

    def __init__(
        self, settings: Settings, addresses: Addresses, bound: socket.socket, count: int, shared: Path
    ) -> None:
        self._loads = Loads(shared / LOADS_FILE, 0, count)
        share = settings.model_copy(update={"postgres_pool_size": max(1, settings.postgres_pool_size // count)})
        self._tasks = [Task(share, addresses, shared, number, count) for number in range(count)]
        self._bound = bound
        self._finishing_seconds = settings.shutdown_seconds + _ENDING_SECONDS
        self._workers: dict[int, _Worker] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._dropping = asyncio.Event()
        self.ended = asyncio.Event()
        self.url = url_of(settings.host, bound)

    async def start(self) -> None:
        """Returns when all of them serve. Raises WorkerFailed when one cannot."""
        # Connections that come while no worker takes them wait in the queue of the socket, which is ours as well.
        self._bound.listen(_BACKLOG)
        running = [self._begin(task) for task in self._tasks]
        self._keepers = [asyncio.create_task(self._keep(*each)) for each in zip(self._tasks, running, strict=True)]
        for task, each in zip(self._tasks, running, strict=True):
            await _first_of(each, self._workers[task.number].serves)
            if each.done():
                raise WorkerFailed

    def stop(self) -> None:
        """Lets requests in flight finish; called again, it drops them."""
        self._bound.close()
        if self._stopping.is_set():
            self._dropping.set()
        self._stopping.set()
        for worker in self._workers.values():
            worker.tell(DROP if self._dropping.is_set() else FINISH)

    async def end(self) -> None:
        """Stops whatever serves still, and waits for its end."""
        if not self._stopping.is_set():
            self.stop()
        await asyncio.gather(*self._keepers)

    def _begin(self, task: Task) -> "asyncio.Task[int]":
        worker = self._workers[task.number] = _Worker(task, self._bound)
        return asyncio.create_task(worker.run())

    async def _keep(self, task: Task, running: "asyncio.Task[int]") -> None:
        """Replaces the worker whenever it ends, after a pause that grows while none of them lasts."""
        pause = _FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._end_of(task, running)
            forget_worker(task.shared, task.number)
            self._loads.forget(task.number)
            if self._stopping.is_set():
                break
            log.error("Worker %d ended with code %d; another one takes its place.", task.number, code)
            lasted = asyncio.get_running_loop().time() - began > _STEADY_SECONDS
            pause = _FIRST_PAUSE if lasted else min(2 * pause, _LONGEST_PAUSE)
            await _first_of(self._stopping, seconds=pause)
            if self._stopping.is_set():
                break
            running = self._begin(task)
        if all(keeper.done() or keeper is asyncio.current_task() for keeper in self._keepers):
            self.ended.set()

    async def _end_of(self, task: Task, running: "asyncio.Task[int]") -> int:
        """The worker's exit code, once it has ended. One that is told to end and does not is killed."""
        await _first_of(running, self._stopping)
        await _first_of(running, self._dropping, seconds=self._finishing_seconds)
        if self._dropping.is_set():
            await _first_of(running, seconds=_DROPPING_SECONDS)
        if not running.done():
            log.error("Worker %d does not end and is killed.", task.number)
            self._workers[task.number].kill()
        return await running


class _Worker:
    """One process, and our end of the line to it. `serves` is set once it does."""

    def __init__(self, task: Task, bound: socket.socket) -> None:
        self.serves = asyncio.Event()
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        with theirs:
            self._process = _spawn(theirs, bound)
        self.tell(task.line())

    async def run(self) -> int:
        """Listens to it until it has ended; its exit code."""
        loop = asyncio.get_running_loop()
        with self._line, suppress(ConnectionError):
            while await loop.sock_recv(self._line, len(SERVES)):
                self.serves.set()
        return await asyncio.to_thread(self._process.wait)

    def tell(self, line: bytes) -> None:
        """Says something to it; one that has ended does not hear it."""
        # Few words are ever said, and the line holds far more than these.
        with suppress(OSError):
            self._line.send(line)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()


def _spawn(line: socket.socket, bound: socket.socket) -> "subprocess.Popen[bytes]":
    """A process that has nothing of ours but the two sockets, our output and our environment."""
    # What stands in the current directory must not be taken for a part of the server.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    numbers = (line.fileno(), bound.fileno())
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "server.worker", *map(str, numbers)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        pass_fds=numbers,
        # Ctrl-C in a terminal must reach the parent alone, which then tells the workers.
        start_new_session=True,
    )


async def _first_of(*awaited: "asyncio.Event | asyncio.Task[int]", seconds: float | None = None) -> None:
    """Returns when the first of them is set or done, or the time is over. Tasks go on."""
    waiting = [each if isinstance(each, asyncio.Task) else asyncio.create_task(each.wait()) for each in awaited]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each, task in zip(awaited, waiting, strict=True):
            if each is not task:
                task.cancel()


@asynccontextmanager
async def workers_serving(
    settings: Settings, addresses: Addresses, bound: socket.socket, count: int
) -> AsyncIterator[Workers]:
    """Workers on the bound socket for as long as the block runs. The database must have been prepared.

    Raises WorkerFailed when one of them cannot start. What they counted is gone with the block.
    """
    with TemporaryDirectory(prefix="croft-workers-", ignore_cleanup_errors=True) as shared:
        workers = Workers(settings, addresses, bound, count, Path(shared))
        try:
            await workers.start()
            yield workers
        finally:
            await workers.end()
