"""Looking up a host, and refusing what its name leads to before anything is sent there."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Final

import httpx

from server.outbound.addresses import Address, Network, is_within, may_reach

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, by its name and the port that is wanted. Raises OSError."""

_PORTS: Final = range(1, 65536)
_MOST_TRIED: Final = 4
_LOOKUPS_AT_ONCE: Final = 4


class Refused(Exception):
    """Nothing may be sent there. The words are for the operator's log: they tell of the inside of a network."""


class Resolver:
    """Asks the system, in threads of its own: a name server that does not answer holds up nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int) -> list[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Guard:
    """Decides where requests may go. `private` are the networks beside the public Internet that the operator allows.

    Plain http is for those networks alone: over the Internet anybody on the way could answer.
    """

    def __init__(self, private: Sequence[Network] = (), *, resolve: Resolve | None = None) -> None:
        self._private = tuple(private)
        self._resolve = resolve or Resolver()

    async def addresses_of(self, url: httpx.URL) -> list[Address]:
        """Where a request to the URL may be sent: addresses to be used as they are, the name never looked up again.

        Raises Refused, also where only one of several addresses is none that may be reached, and OSError.
        """
        check_form(url)
        host, port = host_of(url), port_of(url)
        try:
            found = [ip_address(text) for text in await self._resolve(host, port)]
        except (ValueError, UnicodeError) as error:
            raise Refused(f"{host} is no name of a host") from error
        if not found:
            raise Refused(f"{host} has no address")
        for address in found:
            self._check(host, address, encrypted=url.scheme == "https")
        return found[:_MOST_TRIED]

    def _check(self, host: str, address: Address, *, encrypted: bool) -> None:
        if not may_reach(address, self._private):
            raise Refused(f"{host} leads to {address}, which is not public and not in OUTBOUND_PRIVATE_NETWORKS")
        if not encrypted and not is_within(address, self._private):
            raise Refused(f"{host} is on the Internet and asked for by plain http")


def check_form(url: httpx.URL) -> None:
    """Raises Refused for anything but http and https to a host, without a user's name in the address."""
    if url.scheme not in ("http", "https"):
        raise Refused("only http and https lead out")
    if url.userinfo:
        raise Refused("the address holds a user's name")
    if not url.host:
        raise Refused("the address names no host")
    if url.port is not None and url.port not in _PORTS:
        raise Refused("there is no such port")


def host_of(url: httpx.URL) -> str:
    """The host's name in ASCII, or its address without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    """The port, by its scheme where the URL names none."""
    return url.port or (443 if url.scheme == "https" else 80)
