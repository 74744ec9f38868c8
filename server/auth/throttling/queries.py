"""The SQL of what is counted against guessing, and of the places that accounts are known to come from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from server.auth.throttling.subjects import Bucket
from server.db.connection import Connection

_ASKED = """
unnest($1::bytea[], $2::int[], $3::float8[], $4::float8[], $5::float8[], $6::int[])
    AS asked (key, free, first, longest, forgets, most)
"""

# In the words of Rule: what `wait` and `level_after` say there. A clock that is behind forgets nothing.
_SECONDS_LEFT = """
CASE WHEN ceil(b.level) < asked.free THEN 0
     ELSE extract(epoch FROM b.at - $7::timestamptz)
          + least(asked.longest, asked.first * 2 ^ least(ceil(b.level) - asked.free, 60)) END
"""

_LONGEST_WAIT = f"SELECT max({_SECONDS_LEFT}) FROM {_ASKED} JOIN login_buckets b ON b.key = asked.key"


async def find_wait(db: Connection, buckets: Sequence[Bucket], at: datetime) -> float:
    """How many seconds from `at` on the most patient of the buckets asks to wait; 0 or less where none does."""
    found = await db.fetchval(_LONGEST_WAIT, *_arrays(buckets), at)
    return 0.0 if found is None else float(found)


# In the order of the keys, so that two that share several buckets never wait for each other. A row that still has to
# wait is locked and left as it is: it is not among those returned.
_COUNT = f"""
INSERT INTO login_buckets AS b (key, level, at, gone_at)
SELECT asked.key, 1, $7::timestamptz, $7::timestamptz + make_interval(secs => asked.forgets)
FROM {_ASKED} ORDER BY asked.key
ON CONFLICT (key) DO UPDATE SET (level, at, gone_at) = (
    SELECT fresh.level, fresh.at, fresh.at + make_interval(secs => fresh.level * asked.forgets)
    FROM {_ASKED}
    CROSS JOIN LATERAL (
        SELECT greatest(b.at, $7::timestamptz) AS at, least(asked.most, 1 + greatest(
            0, b.level - greatest(0, extract(epoch FROM $7::timestamptz - b.at)) / asked.forgets
        )) AS level
    ) fresh
    WHERE asked.key = b.key
)
WHERE (SELECT {_SECONDS_LEFT} <= 0 FROM {_ASKED} WHERE asked.key = b.key)
RETURNING true
"""


async def count_attempt(db: Connection, buckets: Sequence[Bucket], at: datetime) -> bool:
    """Counts one attempt in all of the buckets; False where one of them asks to wait. Then roll back."""
    return len(await db.fetch(_COUNT, *_arrays(buckets), at)) == len(buckets)


_TAKE_BACK = """
WITH mine AS (SELECT key FROM login_buckets WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE)
UPDATE login_buckets b SET level = greatest(0, level - 1) FROM mine WHERE b.key = mine.key
"""


async def take_back_attempt(db: Connection, keys: Sequence[bytes]) -> None:
    """Takes one attempt off each of the buckets."""
    await db.execute(_TAKE_BACK, list(keys))


async def delete_bucket(db: Connection, key: bytes) -> None:
    """Forgets what was counted in a bucket."""
    await db.execute("DELETE FROM login_buckets WHERE key = $1", key)


_DELETE_GONE = """
DELETE FROM login_buckets WHERE key IN (
    SELECT key FROM login_buckets WHERE gone_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


async def delete_gone_buckets(db: Connection, at: datetime, most: int) -> None:
    """Clears away buckets in which everything is forgotten, so many at the most."""
    await db.execute(_DELETE_GONE, at, most)


PLACE_DAYS: Final = 90
"""For so long an account is known at a place from which it last signed in: a season, and the holidays after it."""

MOST_PLACES: Final = 100
"""Of one account; of a phone whose address changes with every mast, the newest."""

_UPSERT_PLACE = """
INSERT INTO known_places AS p (user_id, network, seen_at)
SELECT id, $2, $3 FROM users WHERE id = $1 FOR KEY SHARE
ON CONFLICT (user_id, network) DO UPDATE SET seen_at = greatest(p.seen_at, excluded.seen_at)
"""

_DELETE_OLD_PLACES = """
DELETE FROM known_places WHERE user_id = $1 AND network IN (
    SELECT network FROM known_places WHERE user_id = $1 ORDER BY seen_at DESC, network OFFSET $2
)
"""


async def mark_place(db: Connection, user_id: int, network: str, at: datetime) -> None:
    """Notes that the account signed in from the network, unless it is gone by now."""
    await db.execute(_UPSERT_PLACE, user_id, network, at)
    await db.execute(_DELETE_OLD_PLACES, user_id, MOST_PLACES)


async def delete_old_places(db: Connection, at: datetime) -> None:
    """Clears away the places that nobody was at for PLACE_DAYS."""
    await db.execute("DELETE FROM known_places WHERE seen_at < $1", at - timedelta(days=PLACE_DAYS))


def _arrays(buckets: Sequence[Bucket]) -> tuple[list[object], ...]:
    rules = [bucket.rule for bucket in buckets]
    return (
        [bucket.key for bucket in buckets],
        [rule.free for rule in rules],
        [rule.first for rule in rules],
        [rule.longest for rule in rules],
        [rule.forgets for rule in rules],
        [rule.most for rule in rules],
    )
