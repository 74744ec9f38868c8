"""How many requests, with what result, how fast. Labels are routes of the table, never what a caller sent."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class RequestMetrics:
    """Counts requests in the given registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["method", "route"]
        self._count = Counter("croft_requests", "Requests answered.", [*labels, "status"], registry=registry)
        self._seconds = Histogram(
            "croft_request_seconds", "Time from request to answer.", labels, registry=registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request; `route` is empty where no route matched."""
        method = method if method in ("GET", "POST", "PUT", "DELETE", "OPTIONS") else "other"
        self._count.labels(method, route, f"{status // 100}xx").inc()
        self._seconds.labels(method, route).observe(seconds)
