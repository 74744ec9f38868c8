"""Counting attempts before they are made, so that no number of them at once slips through, and giving them back."""

import math
from collections.abc import Sequence
from datetime import datetime

from server.auth.throttling import queries
from server.auth.throttling.subjects import Bucket
from server.db import Connection, Database
from server.kit.problem import Problem, ProblemKind

TOO_MANY_ATTEMPTS = ProblemKind("auth.too-many-attempts", 429, "This was tried too often: wait, then try again.")


async def reserve(database: Database, buckets: Sequence[Bucket], at: datetime) -> None:
    """Counts an attempt in all of the buckets, or in none and raises `auth.too-many-attempts` with a Retry-After.

    To be called before the attempt is made, and outside of a transaction. What is not given back is a failure.
    """
    async with database.shared(readonly=True) as db:
        # Who has to wait is told so without a write: refusing costs less than asking.
        await refuse_if_waiting(db, buckets, at)
    async with database.shared() as db:
        if not await queries.count_attempt(db, buckets, at):
            raise _refusal(await queries.find_wait(db, buckets, at))


async def refuse_if_waiting(db: Connection, buckets: Sequence[Bucket], at: datetime) -> None:
    """Raises `auth.too-many-attempts` while one of the buckets asks to wait. Counts nothing."""
    seconds = await queries.find_wait(db, buckets, at)
    if seconds > 0:
        raise _refusal(seconds)


async def give_back(db: Connection, buckets: Sequence[Bucket]) -> None:
    """Takes back a reservation: the attempt was none of those to be counted."""
    await queries.take_back_attempt(db, [bucket.key for bucket in buckets])


async def clear(db: Connection, bucket: Bucket) -> None:
    """Forgets what was counted in a bucket that nobody but the owner of the account can have cleared."""
    await queries.delete_bucket(db, bucket.key)


def _refusal(seconds: float) -> Problem:
    return TOO_MANY_ATTEMPTS(headers={"Retry-After": str(max(1, math.ceil(seconds)))})
