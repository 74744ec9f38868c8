"""Asking somebody out there, with one kind of failure for whatever goes wrong."""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from server.outbound.guard import Guard, Refused
from server.outbound.transport import GuardedTransport, Limits

log = logging.getLogger("croft.outbound")

USER_AGENT = "croft"


class Unreachable(Exception):
    """No usable answer. Why is in the operators' log alone: closed, filtered, refused and unknown all look the same."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: its status, and its body as it came."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises Unreachable where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Unreachable("the answer is not JSON") from None


class Outbound:
    """Sends requests where the guard lets them go. Follows no redirect, uses no proxy, keeps no cookie."""

    def __init__(self, guard: Guard, *, limits: Limits | None = None, context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._limits = limits or Limits()
        self._context = context or httpx.create_ssl_context()

    def client(self, *, limits: Limits | None = None) -> httpx.AsyncClient:
        """A client of its own, for who has several things to ask. Raises what httpx raises, and `guard.Refused`.

        It may be told to follow redirects: each of them is checked like a first request.
        """
        limits = limits or self._limits
        return httpx.AsyncClient(
            transport=GuardedTransport(self._guard, limits, self._context),
            headers={"User-Agent": USER_AGENT},
            trust_env=False,
            timeout=limits.seconds,
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Fetched:
        """One request and its whole answer, whatever its status. Raises Unreachable."""
        try:
            async with self.client() as client:
                answer = await client.request(method, url, headers=headers, data=form)
        except (httpx.HTTPError, httpx.InvalidURL, Refused, OSError, ValueError) as error:
            log.warning("%s %s failed: %s", method, _where(url), _why(error))
            raise Unreachable("there is no usable answer") from None
        return Fetched(answer.status_code, answer.content)


def _where(url: str) -> str:
    """What the log tells of an address: neither its query nor a user's name can hold a secret there."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "an address that is none"
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}{parsed.path}"[:200]


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Refused) else type(error).__name__
