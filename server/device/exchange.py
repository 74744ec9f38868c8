"""Talking to the server: one request with its retries, one stream of lines, and what failures mean."""

import random
import threading
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
from server.device.tokens import StoredTokens

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
    """The server's side of the wire, as one tenant's device sees it.

    Where the server no longer takes the access token, the refresh token gets the next ones. These are in the store
    before either is used, since a refresh token is good once; when their answer is lost, the same one is sent again.
    """

    def __init__(
        self,
        server: str,
        tenant: str,
        device_id: str,
        *,
        tokens: StoredTokens,
        retrying: Retrying,
        timeout: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.retrying = retrying
        self._tokens = tokens
        self._renewing = threading.Lock()
        self._timeout = timeout
        self._client = httpx.Client(
            base_url=server,
            headers={"X-Tenant-Id": tenant, "X-Device-Id": device_id, "Accept-Encoding": "zstd, gzip"},
            timeout=timeout,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def sign_in(self, email: str, password: str, *, code: str | None, device_name: str) -> Data:
        """What the server answers to a login. Raises NotSignedIn, Unavailable, Rejected."""
        given = {"email": email, "password": password, "code": code, "deviceName": device_name}
        return self._patiently("POST", "/api/v2/auth/login", content=write(given).encode())

    def get(self, path: str, params: Params | None = None) -> Data:
        return self._signed("GET", path, params=params)

    def post(self, path: str, body: bytes, params: Params | None = None) -> Data:
        content, headers = _compressed(body)
        return self._signed("POST", path, params=params, content=content, headers=headers)

    @contextmanager
    def stream(
        self, path: str, params: Params, *, headers: dict[str, str], silence: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The lines of an answer as they come, tried once. `silence` is for how many seconds nothing may be heard.

        Raises Unavailable when it breaks off, in the block, too.
        """
        timeout = self._timeout if silence is None else httpx.Timeout(self._timeout, read=silence)
        request = self._client.build_request("GET", path, params=params, headers=headers, timeout=timeout)
        with _no_answer():
            response = self._begin(request)
            try:
                yield _lines(response)
            finally:
                response.close()

    def _begin(self, request: httpx.Request) -> httpx.Response:
        """The answer to the request, as far as its beginning; with a new token where the one there is is not taken."""
        token = self._present_token()
        try:
            return self._answer_to(request, token)
        except NotSignedIn:
            if not self._can_renew(token):
                raise
        return self._answer_to(request, self._present_token())

    def _answer_to(self, request: httpx.Request, token: str) -> httpx.Response:
        request.headers["Authorization"] = f"Bearer {token}"
        response = self._client.send(request, stream=True)
        if response.status_code != httpx.codes.OK:
            response.read()
            raise _failure(response)
        return response

    def _present_token(self) -> str:
        token = self._tokens.access()
        if token is None:
            raise NotSignedIn("there is no token: sign in")
        return token

    def _signed(self, method: str, path: str, *, headers: dict[str, str] | None = None, **request: Any) -> Data:
        token = self._present_token()
        try:
            return self._patiently(method, path, headers=_bearing(token, headers), **request)
        except NotSignedIn:
            if not self._can_renew(token):
                raise
        return self._patiently(method, path, headers=_bearing(self._present_token(), headers), **request)

    def _can_renew(self, refused: str) -> bool:
        """Gets the next tokens, unless another thread has done so since. False where there is no refresh token."""
        with self._renewing:
            if self._tokens.access() != refused:
                return True
            refresh_token = self._tokens.refresh()
            if refresh_token is None:
                return False
            body = write({"refreshToken": refresh_token}).encode()
            answer = self._patiently("POST", "/api/v2/auth/refresh", content=body)
            self._tokens.renew(refused, str(answer["accessToken"]), str(answer["refreshToken"]))
            return True

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


def _bearing(token: str, headers: dict[str, str] | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **(headers or {})}


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
