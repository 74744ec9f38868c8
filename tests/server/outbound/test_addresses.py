"""Whatever way an address is written, it is refused unless it is anybody's on the Internet."""

import asyncio
import ipaddress
from ipaddress import IPv4Address, IPv6Address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.outbound import Guard
from server.outbound.addresses import is_public, is_within, may_reach, networks_of
from server.outbound.guard import Refused

PRIVATE = (
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "100::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8")


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not_on_the_internet_is_not_reached(text: str) -> None:
    assert not may_reach(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_on_the_internet_is_reached(text: str) -> None:
    assert may_reach(ipaddress.ip_address(text))


@given(st.ip_addresses())
def test_nothing_is_public_that_python_knows_to_be_otherwise(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global or getattr(address, "ipv4_mapped", None) is not None
        assert not address.is_multicast
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_unspecified
        assert not address.is_private or getattr(address, "ipv4_mapped", None) is not None


@given(st.ip_addresses(v=4))
def test_address_of_version_4_is_public_in_every_form_or_in_none(address: IPv4Address) -> None:
    expected = is_public(address)
    assert is_public(IPv6Address(f"::ffff:{address}")) == expected
    assert is_public(IPv6Address(f"64:ff9b::{address}")) == expected


@given(st.ip_addresses(v=4))
def test_tunnels_that_carry_an_address_of_version_4_are_closed(address: IPv4Address) -> None:
    number = int(address)
    six_to_four, teredo = (0x2002 << 112) | (number << 80), (0x20010000 << 96) | (number << 64)
    assert not any(is_public(IPv6Address(each)) for each in (number, six_to_four, teredo))


OCTAL = 6
"""Of the forms below, the one that no URL may have."""


def _forms(address: IPv4Address) -> list[str]:
    """How else the C library takes an address of version 4."""
    number = int(address)
    one, two, three, four = address.packed
    return [
        str(number),
        hex(number),
        f"0{number:o}",
        f"{one}.{number & 0xFFFFFF}",
        f"{one}.{two}.{number & 0xFFFF}",
        ".".join(hex(part) for part in (one, two, three, four)),
        ".".join(f"0{part:o}" for part in (one, two, three, four)),
        f"[::ffff:{address}]",
        f"[::ffff:{one * 256 + two:x}:{three * 256 + four:x}]",
    ]


@pytest.mark.parametrize("text", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0", "192.168.0.1"])
async def test_private_address_is_refused_however_it_is_written(text: str) -> None:
    guard = Guard()
    for form in _forms(IPv4Address(text)):
        with pytest.raises((Refused, httpx.InvalidURL)):
            await guard.addresses_of(httpx.URL(f"https://{form}/"))


@given(st.ip_addresses(v=4), st.integers(0, 8))
def test_guard_agrees_with_the_address_that_the_system_reads(address: IPv4Address, form: int) -> None:
    async def verdict() -> bool:
        try:
            found = await Guard().addresses_of(httpx.URL(f"https://{_forms(address)[form]}/"))
        except (Refused, httpx.InvalidURL):
            return False
        plain = [getattr(each, "ipv4_mapped", None) or each for each in found]
        assert plain == [address]
        return True

    with asyncio.Runner() as runner:
        is_reached = runner.run(verdict())
    assert is_reached == is_public(address) or (form == OCTAL and not is_reached)


@given(st.ip_addresses(), st.integers(0, 128))
def test_private_network_allows_what_is_in_it(address: IPv4Address | IPv6Address, length: int) -> None:
    network = ipaddress.ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
    assert is_within(network[0], [network]) or network[0].version == 6
    assert may_reach(address, [network]) or getattr(address, "ipv4_mapped", None) is not None


def test_allowed_network_is_that_network_alone() -> None:
    allowed = networks_of(["10.20.0.0/16", "fd00::/64"])
    reached = ["10.20.0.1", "::ffff:10.20.0.1", "fd00::5"]
    refused = ["10.21.0.1", "127.0.0.1", "169.254.169.254", "fd01::5", "fd00::5%eth0"]
    assert all(may_reach(ipaddress.ip_address(each), allowed) for each in reached)
    assert not any(may_reach(ipaddress.ip_address(each), allowed) for each in refused)
