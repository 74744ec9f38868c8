"""How a request leaves: to an address that was checked, and with an answer that has bounds."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from server.outbound.addresses import Address
from server.outbound.guard import Guard, Refused, host_of


@dataclass(frozen=True, slots=True)
class Limits:
    """bytes: of an answer's body. seconds: from the look-up of the host to the last byte; connect_seconds: a try."""

    bytes: int = 512 * 1024
    seconds: float = 8.0
    connect_seconds: float = 3.0


class GuardedTransport(httpx.AsyncBaseTransport):
    """What an httpx.AsyncClient sends through: every request is checked by the guard, each redirect like a first one.

    The connection goes to exactly the address that was checked, so that a name which leads elsewhere a moment later
    gains nothing; TLS is verified against the name. No connection is used twice: two names of one address would share
    it, and only the first would have been verified. Answers come as they are, never packed: what unpacks to more than
    memory is refused unread. Raises Refused besides what httpx raises.
    """

    def __init__(self, guard: Guard, limits: Limits, context: ssl.SSLContext) -> None:
        self._guard = guard
        self._limits = limits
        self._context = context

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request."""
        deadline = asyncio.get_running_loop().time() + self._limits.seconds
        async with _until(deadline, request):
            addresses = await self._guard.addresses_of(request.url)
            transport, response = await self._send(request, addresses)
        body = _Body(transport, response, request, self._limits.bytes, deadline)
        if response.headers.get("content-encoding", "identity") != "identity":
            await body.aclose()
            raise Refused("the answer came packed, although it was asked for as it is")
        return httpx.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )

    async def _send(
        self, request: httpx.Request, addresses: list[Address]
    ) -> tuple[httpx.AsyncHTTPTransport, httpx.Response]:
        """Tries one address after the other until one takes the connection; then nothing is tried again."""
        *others, last = addresses
        for address in others:
            try:
                return await self._send_to(request, address)
            except httpx.ConnectError:
                continue
        return await self._send_to(request, last)

    async def _send_to(
        self, request: httpx.Request, address: Address
    ) -> tuple[httpx.AsyncHTTPTransport, httpx.Response]:
        headers = request.headers.copy()
        headers["Accept-Encoding"] = "identity"
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=headers,  # its Host is the name
            stream=request.stream,
            extensions={
                "sni_hostname": host_of(request.url),
                "timeout": {
                    "connect": self._limits.connect_seconds,
                    "read": self._limits.seconds,
                    "write": self._limits.seconds,
                    "pool": self._limits.seconds,
                },
            },
        )
        transport = httpx.AsyncHTTPTransport(verify=self._context, trust_env=False)
        try:
            return transport, await transport.handle_async_request(pinned)
        except BaseException:
            await transport.aclose()
            raise


@asynccontextmanager
async def _until(deadline: float, request: httpx.Request) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise httpx.ReadTimeout("the answer took too long", request=request) from None


class _Body(httpx.AsyncByteStream):
    """The bytes of an answer, up to their bounds."""

    def __init__(
        self,
        transport: httpx.AsyncHTTPTransport,
        response: httpx.Response,
        request: httpx.Request,
        most: int,
        deadline: float,
    ) -> None:
        self._transport = transport
        self._response = response
        self._request = request
        self._most = most
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        parts = self._response.aiter_raw()
        while True:
            async with _until(self._deadline, self._request):
                part = await anext(parts, None)
            if part is None:
                return
            size += len(part)
            if size > self._most:
                raise Refused(f"the answer has more than {self._most} bytes")
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()
        await self._transport.aclose()
