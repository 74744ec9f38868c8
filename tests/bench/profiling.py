"""Where the server's own time goes: its event loop runs in this process under cProfile, its load in another one."""

import asyncio
import cProfile
import pstats
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from server.db.embedded import EmbeddedPostgres
from server.settings import load_settings
from server.starting import Addresses, running_server
from tests.bench.load import V2
from tests.bench.pull import filled_pair, pages, snapshot, stream
from tests.bench.rounds import Rounds
from tests.bench.servers import PASSWORD, Bench
from tests.bench.sides import PushSides, ReadSides, Shape
from tests.croft_process import settings_of

WORKLOADS: Final = ("push", "pages", "stream", "snapshot")

_EVENTS: Final = 20_000
_SHOWN: Final = 45


def profile(workload: str, batch: int) -> None:
    """Prints the functions in which most time was spent, by themselves and with all they call."""
    with tempfile.TemporaryDirectory() as place, EmbeddedPostgres(Path(place) / "postgres") as postgres:
        profiler = cProfile.Profile()
        asyncio.run(_serve(postgres, workload, batch, profiler))
        stats = pstats.Stats(profiler).strip_dirs()
        stats.sort_stats("tottime").print_stats(_SHOWN)
        stats.sort_stats("cumulative").print_stats(_SHOWN)


async def _serve(postgres: EmbeddedPostgres, workload: str, batch: int, profiler: cProfile.Profile) -> None:
    given = settings_of({"POSTGRES": postgres.dsn(), "ADMIN_PASSWORD": PASSWORD, "LOG_LEVEL": "error", "PORT": "0"})
    settings = load_settings(given, None)
    async with running_server(settings, Addresses(postgres.dsn(), postgres.dsn()), migrate=True) as url:
        bench = Bench(url, postgres.dsn(), postgres.superuser_dsn("croft"), 0)
        await asyncio.to_thread(bench.sign_in)
        loop = asyncio.get_running_loop()

        def watched(run: Callable[[], object]) -> None:
            """From another thread: profiles the event loop while the load runs."""
            loop.call_soon_threadsafe(profiler.enable)
            run()
            loop.call_soon_threadsafe(profiler.disable)

        await asyncio.to_thread(_load, bench, workload, batch, watched)


def _load(bench: Bench, workload: str, batch: int, watched: Callable[[Callable[[], object]], None]) -> None:
    if workload == "push":
        _push(bench, batch, watched)
        return
    with ReadSides(bench, filled_pair(bench, 5 * _EVENTS)) as sides:
        load: dict[str, Callable[[], Rounds]] = {
            "pages": lambda: sides.pages(pages(sides, 1), 3),
            "stream": lambda: sides.stream(stream(sides), 1),
            "snapshot": lambda: sides.stream(snapshot(sides), 1),
        }
        watched(load[workload])


def _push(bench: Bench, batch: int, watched: Callable[[Callable[[], object]], None]) -> None:
    pair = bench.new_pair()
    with PushSides(bench, V2) as sides:
        shape = Shape(batch, 1, _EVENTS)
        sides.prepare([pair], shape, 5)
        sides.push()
        sides.prepare([pair], shape, shape.pushes)
        watched(sides.push)
