"""Which addresses of the Internet a tenant may make this server speak to."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Whatever a release of Python says about them: for special use, or relays that would lead on to any address.
_BLOCKS_4: Final = ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")
_NOT_PUBLIC: Final = tuple(IPv4Network(each) for each in _BLOCKS_4)

# Version 6 is told by what is open, not by what is closed: global unicast without the blocks for special use in it,
# among them Teredo (2001::/32) and 6to4 (2002::/16), which carry an address of version 4 that nobody would check.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_SPECIAL: Final = tuple(IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64: Final = IPv6Network("64:ff9b::/96")


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks as they are written in a setting. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def may_reach(address: Address, private: Sequence[Network] = ()) -> bool:
    """Whether the address is anybody's on the public Internet, or in one of the private networks that are allowed."""
    return is_within(address, private) or is_public(address)


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether the address, or the one of version 4 that is written in it as ::ffff:…, is in one of the networks."""
    plain = _plain(address)
    return getattr(plain, "scope_id", None) is None and any(plain in network for network in networks)


def is_public(address: Address) -> bool:
    """Whether the address is one of the public Internet, for a single host. What leads to another counts as that."""
    plain = _plain(address)
    if isinstance(plain, IPv4Address):
        return _is_public_4(plain)
    if plain.scope_id is not None:
        return False
    if plain in _NAT64:
        return _is_public_4(IPv4Address(int(plain) & 0xFFFFFFFF))
    return plain in _GLOBAL_UNICAST and not any(plain in each for each in _SPECIAL)


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_public_4(address: IPv4Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or any(address in each for each in _NOT_PUBLIC)
    return address.is_global and not is_special
