"""The outermost layer: a request gets its id, leaves one structured line in the log, and is counted."""

import logging
import re
import secrets
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.metrics.requests import RequestMetrics

log = logging.getLogger("croft.requests")

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}


class RequestLog:
    """Middleware: request id, security headers, log line and metrics.

    Below it, `scope["croft"]` is a dict into which the endpoint writes what the line shall say: route, tenant, account.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id
        facts: dict[str, object] = {"route": "", "tenant": "", "account": ""}
        scope["croft"] = facts
        status, sent = 500, 0

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, counting_send)
        finally:
            seconds = perf_counter() - began
            self._metrics.observe(scope["method"], str(facts["route"]), status, seconds)
            log.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                    "bytes": sent,
                    "address": _address(scope),
                    **facts,
                },
            )


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless, so that a line can be found from both sides; else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
