"""What is refused before anything of a request is read: headers that are too large, and more than fits at once."""

from contextlib import ExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.load import OVERLOADED, SOON
from server.kit.problem import ProblemKind

MOST_HEADER_BYTES = 32 * 1024
"""What the address and the headers of a request may have together."""

MOST_REQUESTS = 2000
"""How many requests one process works on at once."""

HEADER_TOO_LARGE = ProblemKind(
    "request.header-too-large", 431, f"A request's address and headers may have {MOST_HEADER_BYTES} bytes together."
)


class Place:
    """The place that one request has in the server, until its answer has been sent.

    What the request holds besides is put into `held`, and given back at the same time.
    """

    def __init__(self) -> None:
        self.held = ExitStack()
        self.gives_up_place = ExitStack()

    def listens(self) -> None:
        """Gives the place to others: a live listener stays for long and does nothing, and is counted elsewhere."""
        self.gives_up_place.close()


class Admission:
    """Middleware: lets at most `most` requests in at once. A connection without a request counts for none.

    Below it, `scope["place"]` is the Place of the request.
    """

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
            raise OVERLOADED(headers=SOON)
        self._inside += 1
        place = scope["place"] = Place()
        place.gives_up_place.callback(self._leave)
        with place.gives_up_place, place.held:
            await self._app(scope, receive, send)

    def _leave(self) -> None:
        self._inside -= 1


def _header_bytes(scope: Scope) -> int:
    """About the size on the wire: a line has two characters between name and value, and two at its end."""
    address = len(scope.get("raw_path", b"")) + len(scope["query_string"])
    return address + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
