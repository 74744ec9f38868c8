"""What devices push: how often, and what became of the events."""

from prometheus_client import CollectorRegistry, Counter


class SyncMetrics:
    """Counts pushes and the fates of their events in the given registry. Make one for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pushes = Counter("croft_pushes", "Pushes that were committed.", registry=registry)
        events = Counter("croft_events", "Events pushed, by what became of them.", ["fate"], registry=registry)
        # Named here once, so that each is there with 0 from the start and no other can come.
        self._accepted = events.labels("accepted")
        self._known = events.labels("known")
        self._waiting = events.labels("waiting")
        self._quarantined = events.labels("quarantined")

    def pushed(self, *, accepted: int = 0, known: int = 0, waiting: int = 0, quarantined: int = 0) -> None:
        """One push and the number of its events of each fate. Call it when its transaction has committed."""
        self._pushes.inc()
        self._accepted.inc(accepted)
        self._known.inc(known)
        self._waiting.inc(waiting)
        self._quarantined.inc(quarantined)
