"""All metrics as Prometheus reads them: what was counted, and what is looked up at the moment of reading."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server import __version__
from server.db import Database


class PoolCollector(Collector):
    """The connections of the pool at the moment of reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        """Gauges of the pool's limit, its open connections, those in use, and requests that wait for one."""
        pool = self._database.pool
        in_use = pool.get_size() - pool.get_idle_size()
        yield GaugeMetricFamily("croft_pool_limit", "Most connections the pool opens.", pool.get_max_size())
        yield GaugeMetricFamily("croft_pool_size", "Connections open in the pool.", pool.get_size())
        yield GaugeMetricFamily("croft_pool_in_use", "Connections of the pool that serve a request.", in_use)
        yield GaugeMetricFamily(
            "croft_pool_waiting", "Transactions that wait for a connection.", self._database.waiting
        )


class Exposition:
    """The text of /metrics: the registry of what is counted, the pool and this process."""

    media_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, registry: CollectorRegistry, database: Database) -> None:
        self._counted = registry
        self._observed = CollectorRegistry()
        self._observed.register(PoolCollector(database))
        ProcessCollector(registry=self._observed)
        build = Gauge("croft_build", "1, with the version that runs.", ["version"], registry=self._observed)
        build.labels(__version__).set(1)

    def render(self) -> bytes:
        """The metrics in the text format 0.0.4 of Prometheus."""
        return generate_latest(self._counted) + generate_latest(self._observed)
