"""What whoever runs the server asks of it, and its description."""

from functools import partial
from typing import Any

from server.health import api as health
from server.health.model import Health, Readiness
from server.http.route import Handler, Route
from server.metrics import api as metrics
from server.metrics.exposition import Exposition
from server.openapi import api as openapi
from server.openapi.api import Reference
from server.roles.permissions import Permission
from server.routes.parts import Parts


def operating_routes(parts: Parts, table: list[Route]) -> list[Route]:
    """Routes of whoever runs the server; `table` is the whole table, which they describe."""
    reference = Reference(table)

    def line(path: str, handler: Handler, summary: str, *, tag: str = "operating", **more: Any) -> Route:
        return Route(
            "GET", path, handler, Permission.PUBLIC, summary, tag, scope="none", tenant="none", write=False, **more
        )

    return [
        line("/health", health.live, "Whether the server lives", answers={200: Health}),
        line(
            "/ready",
            partial(health.ready, database=parts.database),
            "Whether the server can do its work",
            answers={200: Readiness},
        ),
        line(
            "/metrics",
            partial(metrics.read_metrics, exposition=parts.exposition, token=parts.metrics_token),
            "Metrics for Prometheus, for whoever shows METRICS_TOKEN as Bearer",
            problems=(401, 404),
            media_type=Exposition.media_type,
        ),
        line(
            "/openapi.json",
            partial(openapi.read_openapi, reference=reference),
            "This description",
            tag="reference",
            answers={200: dict[str, Any]},
        ),
        line("/api-docs", openapi.show_reference, "The interactive reference", tag="reference", media_type="text/html"),
        line(
            "/api-docs/{name}",
            partial(openapi.read_page_file, reference=reference),
            "What the interactive reference loads",
            tag="reference",
            media_type="*/*",
        ),
    ]
