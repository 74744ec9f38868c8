"""The network between a device and the server, on which requests and answers go astray as a plan says."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import httpx

from tests.server.device.cutting_proxy import CuttingProxy

WAYS: Final = (
    "never-sent",
    "request-cut",
    "answer-cut",
    "answer-lost",
    "answer-late",
    "twice",
    "twice-at-once",
    "held",
    "busy",
)
HARMLESS: Final = frozenset({"twice", "twice-at-once"})
"""Of those, what a device notices nothing of."""

_CUTS = (0, 40, 300, 700, 1500, 4000)


class Line(httpx.BaseTransport):
    """One device's line. `go_wrong` says which of its next requests goes astray, and in which way.

    `held` are requests that the server will get later, after those that came behind them; `complaints` are answers
    that no server should give.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._plain = httpx.HTTPTransport()
        self._way = ""
        self._left = 0
        self._cut = 0
        self._late: list[threading.Thread] = []
        self.held: list[httpx.Request] = []
        self.complaints: list[str] = []

    def end(self) -> None:
        """A device that is closed and opened again has the same line, so it is not closed by `close`."""
        self.wait()
        self._plain.close()

    def go_wrong(self, way: str, after: int, cut: int) -> None:
        """The request behind so many goes astray; `cut` chooses after how many bytes it is cut."""
        self._way, self._left, self._cut = way, after, _CUTS[cut % len(_CUTS)]

    def recover(self) -> bool:
        """From now on nothing goes astray. Answers whether nothing did."""
        is_fine, self._way = bool(self._way), ""
        return is_fine

    def deliver(self) -> None:
        """What was held comes to the server."""
        held, self.held = self.held, []
        for request in held:
            self._send(request)

    def wait(self) -> None:
        """Until the server has answered everything that nobody waits for any more."""
        late, self._late = self._late, []
        for each in late:
            each.join()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        if not self._way:
            return self._send(request)
        self._left -= 1
        if self._left >= 0:
            return self._send(request)
        way, self._way = self._way, ""
        ways: dict[str, Callable[[httpx.Request], httpx.Response]] = {
            "never-sent": self._never,
            "request-cut": self._cut_request,
            "answer-cut": self._cut_answer,
            "answer-lost": self._lose_answer,
            "answer-late": self._answer_late,
            "twice": self._send_twice,
            "twice-at-once": self._send_twice_at_once,
            "held": self._hold,
            "busy": self._be_busy,
        }
        return ways[way](request)

    def _send(self, request: httpx.Request) -> httpx.Response:
        response = self._plain.handle_request(_copy(request))
        try:
            assert isinstance(response.stream, httpx.SyncByteStream)
            content = b"".join(response.stream)
        finally:
            response.close()
        if response.status_code >= 500:
            self.complaints.append(f"{request.method} {request.url}: {response.status_code} {content!r}")
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))

    def _never(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no network", request=request)

    def _cut_request(self, request: httpx.Request) -> httpx.Response:
        return self._through_proxy(request, lambda proxy: proxy.cut("request", self._cut))

    def _cut_answer(self, request: httpx.Request) -> httpx.Response:
        return self._through_proxy(request, lambda proxy: proxy.cut("answer", self._cut))

    def _through_proxy(self, request: httpx.Request, arrange: Callable[[CuttingProxy], None]) -> httpx.Response:
        parts: list[bytes] = []
        with CuttingProxy(self._server) as proxy, httpx.HTTPTransport() as plain:
            arrange(proxy)
            response = plain.handle_request(_copy(request, httpx.URL(proxy.url)))
            assert isinstance(response.stream, httpx.SyncByteStream)
            failure: httpx.TransportError | None = None
            try:
                parts.extend(response.stream)
            except httpx.TransportError as error:
                failure = error
            finally:
                response.close()
        return httpx.Response(response.status_code, headers=response.headers, stream=_Broken(parts, failure))

    def _lose_answer(self, request: httpx.Request) -> httpx.Response:
        self._send(request)
        raise httpx.ReadError("the answer was lost", request=request)

    def _answer_late(self, request: httpx.Request) -> httpx.Response:
        thread = threading.Thread(target=self._send, args=(request,))
        thread.start()
        self._late.append(thread)
        raise httpx.ReadTimeout("no answer yet", request=request)

    def _send_twice(self, request: httpx.Request) -> httpx.Response:
        self._send(request)
        return self._send(request)

    def _send_twice_at_once(self, request: httpx.Request) -> httpx.Response:
        other = threading.Thread(target=self._send, args=(request,))
        other.start()
        try:
            return self._send(request)
        finally:
            other.join()

    def _hold(self, request: httpx.Request) -> httpx.Response:
        self.held.append(_copy(request))
        raise httpx.ReadTimeout("no answer", request=request)

    def _be_busy(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"Retry-After": "0"})


class AsyncLine(httpx.AsyncBaseTransport):
    """The same for a device that waits in coroutines."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return await asyncio.to_thread(self._answer, request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        response = self._line.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=httpx.ByteStream(b"".join(response.stream))
        )


class _Broken(httpx.SyncByteStream):
    """What came of an answer, and then what cut it off."""

    def __init__(self, parts: Sequence[bytes], failure: Exception | None) -> None:
        self._parts = parts
        self._failure = failure

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if self._failure:
            raise self._failure


def _copy(request: httpx.Request, server: httpx.URL | None = None) -> httpx.Request:
    url = request.url.copy_with(port=server.port, host=server.host) if server else request.url
    return httpx.Request(request.method, url, headers=request.headers, content=request.content, extensions=_SLOWLY)


_SLOWLY = {"timeout": {"connect": 30.0, "read": 60.0, "write": 30.0, "pool": 30.0}}
