"""Listening: server-sent events that say that there is more to pull."""

from collections.abc import Callable, Iterator

from server.device.errors import EpochChanged, Unavailable
from server.device.exchange import Exchange, document
from server.device.model import Head

HEARTBEAT_SECONDS = 45.0
"""A server that is silent for longer is gone."""


class Listening:
    """Connects again for as long as it is iterated.

    Each connection asks from the cursor of the store, not from the last event heard: a head whose pull failed is told
    once more then. Only a device that has no cursor yet says, by Last-Event-ID, what it has heard. `is_over` is asked
    whenever anything is heard.
    """

    def __init__(
        self, exchange: Exchange, cursor: Callable[[], str | None], is_over: Callable[[], bool], silence: float
    ) -> None:
        self._exchange = exchange
        self._cursor = cursor
        self._is_over = is_over
        self._silence = silence
        self._heard: str | None = None
        self._failures = 0

    def heads(self) -> Iterator[Head]:
        while not self._is_over():
            try:
                yield from self._listen()
            except EpochChanged:
                yield Head(None)
                self._wait(0.0)
            except Unavailable as failure:
                self._wait(failure.retry_after or 0.0)

    def _wait(self, asked: float) -> None:
        self._failures += 1
        if not self._is_over():
            retrying = self._exchange.retrying
            retrying.sleep(max(asked, retrying.pause(self._failures)))

    def _listen(self) -> Iterator[Head]:
        """One connection. A head that the device did not go for is told again with every sign of life."""
        started = self._cursor()
        params = {"cursor": started} if started else {}
        known = {"Last-Event-ID": self._heard} if self._heard and not started else {}
        told: Head | None = None
        cursor = None
        with self._exchange.stream(
            "/api/v2/sync/live", params, headers={"Accept": "text/event-stream", **known}, silence=self._silence
        ) as lines:
            for head in self._parse(lines):
                self._failures = 0
                if self._is_over():
                    return
                again = told if cursor == self._cursor() else None
                told = head if head and self._is_news(head) else again
                if told:
                    cursor = self._cursor()
                    yield told
        raise Unavailable("the connection was closed")

    def _is_news(self, head: Head) -> bool:
        return head.cursor is None or head.cursor != self._cursor()

    def _parse(self, lines: Iterator[bytes]) -> Iterator[Head | None]:
        """Each event as a head, and None for each sign of life."""
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.decode("utf-8", "replace").rstrip("\r").partition(":")
            if line.startswith(b":"):
                yield None
            elif name:
                fields[name] = value.removeprefix(" ")
            else:
                if "data" in fields:
                    yield self._head(fields)
                fields = {}

    def _head(self, fields: dict[str, str]) -> Head:
        self._heard = fields.get("id", self._heard)
        data = document(fields["data"].encode())
        return Head(str(data["cursor"]) if fields.get("event") == "head" else None)
