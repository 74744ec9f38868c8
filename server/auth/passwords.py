"""Hashing and checking passwords with bcrypt, in a few threads of their own: each takes a quarter of a second.

Passwords that strangers send are checked in one lane, those that somebody sets are judged and hashed in another, so
that no number of strangers keeps an administrator from it.

bcrypt reads 72 bytes and no more. So that all of a password counts, what is hashed is its SHA-384 digest in base64, 64
characters; such a hash is stored with PREFIX before it. Hashes without it are of passwords themselves, set by an
earlier version or another server, and are made anew at the next login.
"""

import asyncio
import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import bcrypt

from server.auth.throttling.subjects import network_of
from server.kit.passwords import MAXIMUM_CHARACTERS, password_problems
from server.kit.problem import FieldError, ProblemKind

TOO_MANY_SIGN_INS = ProblemKind("auth.busy", 429, "Too many people are signing in. Try again in a moment.")
WEAK_PASSWORD = ProblemKind("users.weak-password", 422, "The password breaks a rule.")

PREFIX: Final = "sha384"
"""Stands before a bcrypt hash that was made of a password's digest."""

NO_PASSWORD: Final = ""
"""Stored for an account that has none, because an identity provider signs it in: nothing is the right password."""

MOST_OF_ADDRESS = 3
MOST_OF_ACCOUNT = 6
"""How many passwords are checked or wait at once in one process for one address, and for one account.

An account has room for more than one address, so that no address alone keeps the account's owner out.
"""

_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_BYTES = 72

_NOTHING = "." * 53
"""In place of salt and digest: nobody has found, or will find, what it is the hash of."""

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
        Share(f"address {network_of(address)}", MOST_OF_ADDRESS),
        Share(f"account {account.strip().lower()}", MOST_OF_ACCOUNT),
    )


async def check_password_rules(password: str, email: str, *, field: str = "password") -> None:
    """Raises `users.weak-password` (422) with every rule that a password for the account at `email` breaks.

    `field` is where in the request it stands. Raises `auth.busy` when too many wait.
    """
    problems = await _changes.run(lambda: password_problems(password, about=[email]))
    if problems:
        errors = [FieldError(field, f"The password {problem}.") for problem in problems]
        raise WEAK_PASSWORD(f"The password {', '.join(problems)}.", errors=errors)


async def hash_password(password: str, *, cost: int) -> str:
    """What is stored of a password that keeps the rules.

    Raises `auth.busy` when too many wait; strangers who sign in do not count.
    """
    return await _changes.run(lambda: _hash(password, cost))


async def check_password(password: str, stored: str | None, *, cost: int, shares: Sequence[Share] = ()) -> bool:
    """Whether `password` is the one that `stored` is the hash of. Never raises for what somebody typed.

    Without a stored hash, because there is no such user or he has no password, the answer is False after the time that
    a hash of `cost` takes, and so it is where the stored one is of a lower cost: nobody learns from the time who has
    an account. Raises `auth.busy` (429) when too many wait, in all or in one of the shares.
    """
    return await _sign_ins.run(lambda: _check(password, stored or NO_PASSWORD, cost), shares)


def has_password(stored: str) -> bool:
    """Whether there is a password that fits what is stored; accounts that an identity provider signs in have none."""
    known = _BCRYPT.fullmatch(stored.removeprefix(PREFIX))
    return known is not None and not stored.endswith(_NOTHING)


def needs_rehash(stored: str, *, cost: int) -> bool:
    """Whether the hash of a password is of another form or cost than one made now."""
    return not stored.startswith(f"{PREFIX}$2b${cost:02d}$")


def _hash(password: str, cost: int) -> str:
    return PREFIX + bcrypt.hashpw(_digest(password), bcrypt.gensalt(cost)).decode("ascii")


def _check(password: str, stored: str, cost: int) -> bool:
    is_digested, plain_hash = stored.startswith(PREFIX), stored.removeprefix(PREFIX)
    known = _BCRYPT.fullmatch(plain_hash)
    if known is None:
        _spend(0, cost)
        return False
    given = _digest(password) if is_digested else _raw(password)
    # What is too long is wrong, but takes as long to be found wrong as anything else.
    matches = bcrypt.checkpw(given[:_BCRYPT_BYTES], plain_hash.encode("ascii"))
    _spend(int(known["cost"]), cost)
    return matches and len(given) <= _BCRYPT_BYTES and len(password) <= MAXIMUM_CHARACTERS


def _spend(spent: int, cost: int) -> None:
    """Takes as long as a hash of `cost` takes beyond one of the cost `spent`; 0 is none.

    Each step of the cost doubles the time: a hash of cost 10 and the times of 10 and 11 make up the time of 12.
    """
    for each in range(spent, cost) if spent else (cost,):
        bcrypt.checkpw(b"", _hash_of_nothing(each).encode("ascii"))


def _raw(password: str) -> bytes:
    # bcrypt once ended a password at a NUL: a hash made then must not be met by what merely begins the same.
    return password.encode("utf-8", "surrogatepass").replace(b"\0", b"\xff")


def _digest(password: str) -> bytes:
    """64 characters that are different for every password: no NUL among them, and short enough for bcrypt."""
    return base64.b64encode(hashlib.sha384(password.encode("utf-8", "surrogatepass")).digest())


def _hash_of_nothing(cost: int) -> str:
    """A well-formed hash of the given cost, made without hashing: 22 characters of salt and 31 of digest."""
    return f"$2b${cost:02d}${_NOTHING}"
