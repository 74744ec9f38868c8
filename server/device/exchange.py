"""Talking to the server: one request with its retries, one stream of lines, and what failures mean."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import zstandard

from server.device.errors import EpochChanged, NotAllowed, NotSignedIn, Rejected, SyncFailed, Unavailable
from server.device.model import Data
from server.device.strict import read, write

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
NDJSON = {"Accept": "application/x-ndjson"}

SMALL = 1000
"""Bodies of fewer bytes are sent as they are."""

Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often something is tried that fails without getting further, and the pauses in between.

    The n-th pause is between half and the whole of `first_pause` times 2 to the n, `longest_pause` at most, and never
    shorter than the server asks for. When it asks for more than `longest_pause`, that is left to the caller.
    """

    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        whole = min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 30))
        return whole * (0.5 + self.chance() / 2)


class Patience:
    """Counts failures in a row and waits between them."""

    def __init__(self, retrying: Retrying) -> None:
        self._retrying = retrying
        self._failures = 0

    def progressed(self) -> None:
        """Something was got further: the count begins anew."""
        self._failures = 0

    def wait(self, failure: Unavailable) -> None:
        """Returns when it is time to try again; raises the failure when it is not worth it any more."""
        self._failures += 1
        asked = failure.retry_after or 0.0
        if self._failures >= self._retrying.attempts or asked > self._retrying.longest_pause:
            raise failure
        self._retrying.sleep(max(asked, self._retrying.pause(self._failures)))


class Exchange:
    """The server's side of the wire, as one tenant's device sees it."""

    def __init__(
        self,
        server: str,
        tenant: str,
        device_id: str,
        *,
        retrying: Retrying,
        timeout: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.retrying = retrying
        self.token: str | None = None
        self._timeout = timeout
        self._client = httpx.Client(
            base_url=server,
            headers={"X-Tenant-Id": tenant, "X-Device-Id": device_id, "Accept-Encoding": "zstd, gzip"},
            timeout=timeout,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def sign_in(self, email: str, password: str) -> Data:
        """What the server answers to a login: `token` and `userId`. Raises NotSignedIn, Unavailable, Rejected."""
        credentials = write({"email": email, "password": password}).encode()
        return self._patiently("POST", "/api/users/login", content=credentials)

    def get(self, path: str, params: Params | None = None) -> Data:
        return self._patiently("GET", path, params=params, headers=self._authorized())

    def post(self, path: str, body: bytes, params: Params | None = None) -> Data:
        content, headers = _compressed(body)
        return self._patiently("POST", path, params=params, content=content, headers=self._authorized() | headers)

    @contextmanager
    def stream(
        self, path: str, params: Params, *, headers: dict[str, str], silence: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The lines of an answer as they come, tried once. `silence` is for how many seconds nothing may be heard.

        Raises Unavailable when it breaks off, in the block, too.
        """
        headers = self._authorized() | headers
        timeout = self._timeout if silence is None else httpx.Timeout(self._timeout, read=silence)
        with (
            _no_answer(),
            self._client.stream("GET", path, params=params, headers=headers, timeout=timeout) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
                raise _failure(response)
            yield _lines(response)

    def _authorized(self) -> dict[str, str]:
        if self.token is None:
            raise NotSignedIn("there is no token: sign in")
        return {"Authorization": f"Bearer {self.token}"}

    def _patiently(self, method: str, path: str, **request: Any) -> Data:
        patience = Patience(self.retrying)
        while True:
            try:
                return self._once(method, path, **request)
            except Unavailable as failure:
                patience.wait(failure)

    def _once(self, method: str, path: str, *, headers: dict[str, str] | None = None, **request: Any) -> Data:
        headers = {"Content-Type": "application/json", **(headers or {})}
        with _no_answer():
            response = self._client.request(method, path, headers=headers, **request)
        if response.status_code != httpx.codes.OK:
            raise _failure(response)
        return document(response.content)


def document(content: bytes) -> Data:
    """The object in an answer or a line of one. Raises Unavailable: whoever sent anything else is not the server."""
    try:
        value = read(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Unavailable("what came is not an answer of this protocol")
    return value


@contextmanager
def _no_answer() -> Iterator[None]:
    try:
        yield
    except httpx.RequestError as error:
        raise Unavailable(f"no answer: {str(error) or type(error).__name__}") from error


def _failure(response: httpx.Response) -> SyncFailed:
    """What a status means to a device. A redirect is that of a network that wants a person to sign in to it."""
    status = response.status_code
    problem = _problem(response)
    detail = str(problem.get("detail") or response.reason_phrase)
    code = str(problem.get("code") or "")
    if status == httpx.codes.UNAUTHORIZED:
        return NotSignedIn(detail)
    if status == httpx.codes.GONE and "epoch" in problem:
        return EpochChanged(problem["epoch"])
    if status in AGAIN or status < 400:
        return Unavailable(f"{status} {code or detail}", _retry_after(response))
    kind = NotAllowed if status in (403, 404) else Rejected
    return kind(status, code, detail, problem.get("errors") or ())


def _problem(response: httpx.Response) -> Data:
    try:
        return document(response.content)
    except Unavailable:
        return {}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, whether the server named them or a point in time."""
    given = response.headers.get("retry-after", "")
    if given.isascii() and given.isdigit():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """Lines as bytes, parted at line feeds alone: other characters that part lines may stand in a text of JSON.

    What comes after the last line feed is the beginning of a line that broke off, and is left out.
    """
    rest: list[bytes] = []
    for part in response.iter_bytes():
        *ended, last = part.split(b"\n")
        for line in ended:
            yield b"".join([*rest, line])
            rest = []
        rest.append(last)


def _compressed(body: bytes) -> tuple[bytes, dict[str, str]]:
    if len(body) < SMALL:
        return body, {}
    return zstandard.ZstdCompressor().compress(body), {"Content-Encoding": "zstd"}
