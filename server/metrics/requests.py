"""How many requests, with what result, how fast. Labels are routes and rooms of the table, never what a caller sent."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts and times requests in the given registry.

    `rooms` names the room that answers a method and route of the table: the first package of its handler's module.
    """

    def __init__(self, registry: CollectorRegistry, rooms: Mapping[tuple[str, str], str] | None = None) -> None:
        labels = ["method", "route"]
        self._rooms = rooms or {}
        self._count = Counter("croft_requests", "Requests answered.", [*labels, "status"], registry=registry)
        self._seconds = Histogram("croft_request_seconds", "Time from request to answer.", labels, registry=registry)
        self._room_seconds = Histogram(
            "croft_room_seconds", "Time from request to answer, by the room that answers.", ["room"], registry=registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request; `route` is the path as in the table, empty where no route matched."""
        room = self._rooms.get((method, route), "none")
        method = method if method in _METHODS else "other"
        self._count.labels(method, route, f"{status // 100}xx").inc()
        self._seconds.labels(method, route).observe(seconds)
        self._room_seconds.labels(room).observe(seconds)
