"""Gauges of what is looked up: connections, listeners, whatever a process has at a moment."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

Look = Callable[[], float]


class Gauges:
    """Gauges in the given registry that `observe` sets. Of several processes that share one, they are summed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._looks: list[tuple[Gauge, Look]] = []

    def add(self, name: str, what: str, look: Look) -> None:
        """A gauge without labels of what `look` says."""
        self._looks.append((Gauge(name, what, registry=self._registry, multiprocess_mode="livesum"), look))

    def observe(self) -> None:
        """Looks at everything now."""
        for gauge, look in self._looks:
            gauge.set(look())
