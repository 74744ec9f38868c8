"""Hashing and checking passwords with bcrypt, in a few threads of their own: each takes a quarter of a second.

Passwords that strangers send are checked in one lane, those that administrators set are hashed in another, so that no
number of strangers keeps an administrator from it.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeVar

import bcrypt

from server.kit.passwords import MAXIMUM_BYTES
from server.kit.problem import ProblemKind

TOO_MANY_SIGN_INS = ProblemKind("auth.busy", 429, "Too many people are signing in. Try again in a moment.")

MOST_OF_ADDRESS = 3
MOST_OF_ACCOUNT = 6
"""How many passwords are checked or wait at once for one address, and for one account.

An account has room for more than one address, so that no address alone keeps the account's owner out.
"""

# One processor stays free for everybody who is signed in already.
_PROCESSORS_FOR_SIGN_INS = max(1, (os.cpu_count() or 2) - 1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """Whose part of a lane somebody takes, and how many calls may be in it at once."""

    name: str
    most: int


class _Lane:
    """Runs slow functions outside the event loop, a few at once; refuses when too many wait, in all or in a share."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._most = at_once + waiting
        self._pending = 0
        self._taken: Counter[str] = Counter()

    async def run(self, function: Callable[[], T], shares: Sequence[Share] = ()) -> T:
        if self._pending >= self._most or any(self._taken[share.name] >= share.most for share in shares):
            raise TOO_MANY_SIGN_INS(headers={"Retry-After": "5"})
        self._count(shares, 1)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        finally:
            self._count(shares, -1)

    def share_processors(self, processes: int) -> None:
        at_once = max(1, _PROCESSORS_FOR_SIGN_INS // processes)
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")

    def _count(self, shares: Sequence[Share], change: int) -> None:
        self._pending += change
        for share in shares:
            self._taken[share.name] += change
            if not self._taken[share.name]:
                del self._taken[share.name]


_sign_ins: Final = _Lane(at_once=_PROCESSORS_FOR_SIGN_INS, waiting=100)
_changes: Final = _Lane(at_once=1, waiting=100)


def share_processors(processes: int) -> None:
    """Says how many processes of this server check passwords. To be called before the first is checked."""
    _sign_ins.share_processors(processes)


def shares_of(address: str, account: str) -> tuple[Share, Share]:
    """The shares that a sign-in takes. `account` is the e-mail address as typed, whether or not there is such a one."""
    return (
        Share(f"address {_network(address)}", MOST_OF_ADDRESS),
        Share(f"account {account.strip().lower()}", MOST_OF_ACCOUNT),
    )


def _network(address: str) -> str:
    """An address of version 6 without what its holder chooses himself: the second half."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or int(known) >> 64)
    return str(known)


async def hash_password(password: str, *, cost: int) -> str:
    """The bcrypt hash of a password that keeps the rules. Raises ValueError for one that is too long for bcrypt.

    Raises `auth.busy` when too many wait; strangers who sign in do not count.
    """
    return await _changes.run(lambda: _hash(password, cost))


async def check_password(password: str, stored: str | None, *, cost: int, shares: Sequence[Share] = ()) -> bool:
    """Whether `password` is the one that `stored` is the hash of. Never raises for what somebody typed.

    Without a stored hash, because there is no such user, the answer is False after the time that a hash of `cost`
    takes, so that nobody learns from the time who has an account. Raises `auth.busy` (429) when too many wait, in all
    or in one of the shares.
    """
    matches = await _sign_ins.run(lambda: _check(password, stored or _hash_of_nothing(cost)), shares)
    return matches and stored is not None


def _hash(password: str, cost: int) -> str:
    raw = password.encode()
    if len(raw) > MAXIMUM_BYTES:
        raise ValueError(f"a password of more than {MAXIMUM_BYTES} bytes")
    return bcrypt.hashpw(raw, bcrypt.gensalt(cost)).decode("ascii")


def _check(password: str, stored: str) -> bool:
    raw = password.encode()
    # What is too long is wrong, but takes as long to be found wrong as anything else.
    matches = bcrypt.checkpw(raw[:MAXIMUM_BYTES], stored.encode("ascii"))
    return matches and len(raw) <= MAXIMUM_BYTES


def _hash_of_nothing(cost: int) -> str:
    """A well-formed hash of the given cost, made without hashing: 22 characters of salt and 31 of digest."""
    return f"$2b${cost:02d}${'.' * 53}"
