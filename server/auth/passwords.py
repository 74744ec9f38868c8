"""Hashing and checking passwords with bcrypt, in a few threads of their own: each takes a quarter of a second."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

import bcrypt

from server.kit.passwords import MAXIMUM_BYTES
from server.kit.problem import ProblemKind

TOO_MANY_SIGN_INS = ProblemKind("auth.busy", 429, "Too many people are signing in. Try again in a moment.")

P = ParamSpec("P")
T = TypeVar("T")


class _Threads:
    """Runs slow functions outside the event loop, a few at once, and refuses when too many wait."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._most = at_once + waiting
        self._pending = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pending >= self._most:
            raise TOO_MANY_SIGN_INS(headers={"Retry-After": "5"})
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        finally:
            self._pending -= 1


# One processor stays free for everybody who is signed in already.
_threads: Final = _Threads(at_once=max(1, (os.cpu_count() or 2) - 1), waiting=100)


async def hash_password(password: str, *, cost: int) -> str:
    """The bcrypt hash of a password that keeps the rules. Raises ValueError for one that is too long for bcrypt."""
    return await _threads.run(_hash, password, cost)


async def check_password(password: str, stored: str | None, *, cost: int) -> bool:
    """Whether `password` is the one that `stored` is the hash of. Never raises for what somebody typed.

    Without a stored hash, because there is no such user, the answer is False after the time that a hash of `cost`
    takes, so that nobody learns from the time who has an account.
    """
    matches = await _threads.run(_check, password, stored or _hash_of_nothing(cost))
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
