"""What is refused before anything of a request is read: headers that are too large, and more than fits at once."""

from starlette.types import ASGIApp, Receive, Scope, Send

from server.kit.problem import ProblemKind

MOST_HEADER_BYTES = 32 * 1024
"""What the address and the headers of a request may have together."""

MOST_REQUESTS = 2000
"""How many requests one process works on at once."""

HEADER_TOO_LARGE = ProblemKind(
    "request.header-too-large", 431, f"A request's address and headers may have {MOST_HEADER_BYTES} bytes together."
)
OVERLOADED = ProblemKind("server.overloaded", 503, "The server has too many requests at once. Try again in a moment.")


class Admission:
    """Middleware: lets at most `most` requests in at once. A connection without a request counts for none."""

    def __init__(self, app: ASGIApp, most: int = MOST_REQUESTS) -> None:
        self._app = app
        self._most = most
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _header_bytes(scope) > MOST_HEADER_BYTES:
            raise HEADER_TOO_LARGE()
        if self._inside >= self._most:
            raise OVERLOADED(headers={"Retry-After": "5"})
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1


def _header_bytes(scope: Scope) -> int:
    """About the size on the wire: a line has two characters between name and value, and two at its end."""
    address = len(scope.get("raw_path", b"")) + len(scope["query_string"])
    return address + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
