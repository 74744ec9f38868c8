"""All metrics as Prometheus reads them: what was counted, and what is looked up at the moment of reading."""

import asyncio

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from server import __version__
from server.db import Database
from server.metrics.gauges import Gauges
from server.metrics.pool import gauge_pools
from server.metrics.sharing import SharedRegistry, WorkersCollector

_SECONDS_BETWEEN = 1.0


class Exposition:
    """The text of /metrics: the registry of what is counted, the processes, and `gauges`, looked at when it is read.

    Of a server of several processes each tells of all; of the others' gauges, how they were up to a second ago.
    """

    media_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, registry: CollectorRegistry, *databases: Database) -> None:
        self._counted = registry
        self.gauges = Gauges(registry)
        gauge_pools(self.gauges, databases)
        self._processes = CollectorRegistry()
        if isinstance(registry, SharedRegistry):
            self._processes.register(WorkersCollector(registry.directory))
        else:
            ProcessCollector(registry=self._processes)
        self.gauges.add("croft_workers", "Processes that serve.", lambda: 1)
        what = "1, with the version that runs."
        build = Gauge("croft_build", what, ["version"], registry=registry, multiprocess_mode="livemax")
        build.labels(__version__).set(1)

    async def run(self) -> None:
        """Looks now and then, so that other processes can tell how it is here. Runs until cancelled."""
        while True:
            self.gauges.observe()
            await asyncio.sleep(_SECONDS_BETWEEN)

    def render(self) -> bytes:
        """The metrics in the text format 0.0.4 of Prometheus."""
        self.gauges.observe()
        return generate_latest(self._counted) + generate_latest(self._processes)
