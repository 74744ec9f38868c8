"""The path of a request: which layers it passes, outermost first, and the routes at the end of it."""

from collections.abc import Sequence

from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route as StarletteRoute

from server.http.admission import Admission
from server.http.endpoint import Endpoint, Serving
from server.http.problems import Problems
from server.http.request_log import RequestLog
from server.http.route import Route
from server.metrics.requests import RequestMetrics

_METHODS = ["GET", "POST", "PUT", "DELETE"]
_HEADERS = [
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "If-None-Match",
    "Last-Event-ID",
    "X-CSRF-Token",
    "X-Device-Id",
    "X-Request-Id",
    "X-Tenant-Id",
]

_SHOWN_HEADERS = [
    "ETag",
    "X-Request-Id",
    "X-Total-Count",
    "X-Total-Count-Relation",
    "Link",
    "Retry-After",
    "Content-Disposition",
]


class _Text(Convertor[str]):
    """The parameter type `text`: anything, where one without a type ends at a slash."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _Text())


def layers(metrics: RequestMetrics, cors_origins: Sequence[str]) -> list[Middleware]:
    """Request log, CORS, problems, admission. Credentials travel in a header, never in a cookie of another origin."""
    return [
        Middleware(RequestLog, metrics=metrics),
        Middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=_METHODS,
            allow_headers=_HEADERS,
            expose_headers=_SHOWN_HEADERS,
            max_age=600,
        ),
        Middleware(Problems),
        Middleware(Admission),
    ]


def endpoints(routes: Sequence[Route], serving: Serving) -> list[StarletteRoute]:
    """The route table as Starlette takes it, in its order."""
    return [StarletteRoute(route.path, Endpoint(route, serving).__call__, methods=[route.method]) for route in routes]
