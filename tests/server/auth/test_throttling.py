"""Counting attempts: the rule against an oracle that adds up from the beginning, and what the database makes of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.auth.throttling import queries, rules, subjects
from server.auth.throttling.rules import Rule
from server.auth.throttling.subjects import Bucket, network_of
from server.auth.throttling.throttle import clear, give_back, refuse_if_waiting, reserve
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.kit.problem import Problem
from server.users.sweeping import sweep
from tests.conftest import new_installation

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ALL_RULES = [rule for rule in vars(rules).values() if isinstance(rule, Rule)]

_names = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(cluster: EmbeddedPostgres) -> AsyncIterator[Database]:
    addresses = await new_installation(cluster)
    async with Database(addresses.serving) as opened:
        yield opened


def fresh(rule: Rule) -> Bucket:
    return Bucket.of(rule, "test", str(next(_names)))


async def is_counted(database: Database, buckets: list[Bucket], at: datetime) -> bool:
    try:
        await reserve(database, buckets, at)
    except Problem as problem:
        if problem.code != "auth.too-many-attempts":
            raise
        return False
    return True


def oracle(rule: Rule, moments: list[float]) -> Iterator[bool]:
    """Whether each of the attempts at these moments, in seconds, is let through: told from all before it."""
    passed: list[float] = []
    for moment in moments:
        level, last = 0.0, None
        for each in passed:
            level = 0.0 if last is None else max(0.0, level - (each - last) / rule.forgets)
            level, last = min(rule.most, level + 1), each
        wait = 0.0
        if ceil(level) >= rule.free:
            wait = rule.first
            for _ in range(ceil(level) - rule.free):
                wait = min(rule.longest, wait * 2)
        lets = last is None or ceil(level) < rule.free or moment - last >= wait
        if lets:
            passed.append(moment)
        yield lets


# Numbers that a binary fraction holds exactly, so that the oracle and the database do not differ by a rounding.
RULES = st.builds(
    Rule,
    free=st.integers(1, 6),
    first=st.sampled_from([0.5, 1.0, 4.0]),
    longest=st.sampled_from([4.0, 32.0, 64.0]),
    forgets=st.sampled_from([2.0, 16.0, 256.0]),
)


@given(rule=RULES, pauses=st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.5, 16.0, 64.0, 500.0]), max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_attempts_are_let_through_as_the_rule_says(database: Database, rule: Rule, pauses: list[float]) -> None:
    moments = [sum(pauses[: n + 1]) for n in range(len(pauses))]
    bucket = fresh(rule)
    seen = [await is_counted(database, [bucket], NOW + timedelta(seconds=moment)) for moment in moments]
    assert seen == list(oracle(rule, moments))


@given(rule=RULES, levels=st.lists(st.floats(0, 100), min_size=2, max_size=2))
def test_wait_never_shrinks_with_the_level_and_is_never_longer_than_the_longest(
    rule: Rule, levels: list[float]
) -> None:
    low, high = sorted(levels)
    assert 0 <= rule.wait(low) <= rule.wait(high) <= rule.longest
    assert rule.wait(rule.free) == min(rule.first, rule.longest)
    assert rule.wait(rule.most) == rule.longest


@pytest.mark.parametrize("rule", ALL_RULES, ids=repr)
def test_nothing_is_forgotten_before_it_has_been_waited_for(rule: Rule) -> None:
    """Else a bucket would be cleared away while somebody still has to wait."""
    assert all(level * rule.forgets >= rule.wait(level) for level in range(1, rule.most + 1))


def guesses_in(rule: Rule, seconds: float) -> int:
    """How many attempts somebody gets through who tries without a pause."""
    at, level, guesses = 0.0, 0.0, 0
    while at <= seconds:
        guesses += 1
        level = min(rule.most, level + 1)
        wait = rule.wait(level)
        at += wait or 0.01
        level = rule.level_after(level, wait or 0.01)
    return guesses


def test_a_year_of_guessing_does_not_reach_a_password_that_is_just_good_enough() -> None:
    day, year = 24 * rules.HOUR, 365 * 24 * rules.HOUR
    assert guesses_in(rules.ACCOUNT, day) < 120
    assert guesses_in(rules.ACCOUNT, year) < 5e7 / 1000
    assert guesses_in(rules.CODE, year) * 3 / 1e6 < 0.03


async def test_of_a_hundred_at_once_only_as_many_as_are_free_get_through(database: Database) -> None:
    rule = Rule(free=5, first=60, longest=600, forgets=600)
    bucket = fresh(rule)
    assert sum(await asyncio.gather(*(is_counted(database, [bucket], NOW) for _ in range(100)))) == rule.free


async def test_attempt_that_one_bucket_refuses_is_counted_in_none(database: Database) -> None:
    strict, lenient = fresh(Rule(1, 60, 600, 600)), fresh(Rule(3, 60, 600, 600))
    assert await is_counted(database, [strict, lenient], NOW)
    for _ in range(10):
        assert not await is_counted(database, [strict, lenient], NOW)
    async with database.shared() as db:
        # Not by the first look, either, but by counting: as if both had come at the same moment.
        assert not await queries.count_attempt(db, [strict], NOW)
    assert [await is_counted(database, [lenient], NOW) for _ in range(3)] == [True, True, False]


async def test_two_who_share_buckets_in_any_order_never_wait_for_each_other(database: Database) -> None:
    buckets = [fresh(Rule(10_000, 1, 1, 1)) for _ in range(6)]
    orders = [buckets, buckets[::-1], buckets[3:] + buckets[:3]]

    async def turns(order: list[Bucket]) -> None:
        for _ in range(15):
            await reserve(database, order, NOW)
            async with database.shared() as db:
                await give_back(db, order[::-1])

    await asyncio.gather(*(turns(order) for order in orders * 2))


async def test_what_is_given_back_was_never_counted(database: Database) -> None:
    bucket = fresh(Rule(3, 60, 600, 600))
    for _ in range(20):
        await reserve(database, [bucket], NOW)
        async with database.shared() as db:
            await give_back(db, [bucket])
    assert [await is_counted(database, [bucket], NOW) for _ in range(4)] == [True, True, True, False]


async def test_retry_after_is_when_the_next_attempt_is_let_through(database: Database) -> None:
    bucket = fresh(Rule(2, 8, 64, 1000))
    at = NOW
    for expected in ["8", "16", "32", "64", "64"]:
        while await is_counted(database, [bucket], at):
            pass
        with pytest.raises(Problem) as refused:
            await reserve(database, [bucket], at)
        assert refused.value.headers == {"Retry-After": expected}
        at += timedelta(seconds=int(expected))


async def test_looking_counts_nothing(database: Database) -> None:
    bucket = fresh(Rule(1, 60, 60, 60))
    async with database.shared(readonly=True) as db:
        for _ in range(5):
            await refuse_if_waiting(db, [bucket], NOW)
    await reserve(database, [bucket], NOW)
    async with database.shared(readonly=True) as db:
        with pytest.raises(Problem):
            await refuse_if_waiting(db, [bucket], NOW)


async def test_worker_whose_clock_is_behind_neither_refuses_the_first_nor_forgets(database: Database) -> None:
    bucket = fresh(Rule(3, 60, 600, 1))
    moments = [NOW, NOW - timedelta(seconds=30), NOW - timedelta(seconds=60), NOW - timedelta(seconds=60)]
    assert [await is_counted(database, [bucket], at) for at in moments] == [True, True, True, False]


async def test_bucket_that_is_cleared_begins_anew(database: Database) -> None:
    bucket = fresh(Rule(1, 600, 600, 600))
    assert await is_counted(database, [bucket], NOW)
    assert not await is_counted(database, [bucket], NOW)
    async with database.shared() as db:
        await clear(db, bucket)
    assert await is_counted(database, [bucket], NOW)


async def test_flood_of_invented_addresses_leaves_few_rows_and_these_are_cleared_away(
    cluster: EmbeddedPostgres,
) -> None:
    addresses = await new_installation(cluster)
    at = datetime.now(UTC) - timedelta(hours=1)
    async with Database(addresses.serving) as database:

        async def attempt(number: int) -> None:
            await is_counted(
                database,
                list(subjects.of_login(f"nobody{number}@x.test", f"2001:db8:{number:x}::/64", is_known_place=False)),
                at,
            )

        for start in range(0, 1200, 100):
            await asyncio.gather(*(attempt(number) for number in range(start, start + 100)))
        async with database.shared() as db:
            rows = await db.fetchval("SELECT count(*) FROM login_buckets")
        assert rows == 2 * rules.OVERALL.free + 1
        await sweep(database)
        async with database.shared() as db:
            assert await db.fetchval("SELECT count(*) FROM login_buckets") == 0


async def test_table_of_attempts_holds_nothing_that_was_typed(database: Database) -> None:
    typed = "My-Secret-Password-1"
    await reserve(database, list(subjects.of_login(typed, "192.0.2.1", is_known_place=False)), NOW)
    async with database.shared() as db:
        rows = await db.fetch("SELECT * FROM login_buckets")
    assert all(len(row["key"]) == 16 and typed.lower().encode() not in row["key"] for row in rows)


async def test_table_of_attempts_costs_no_write_ahead_log(database: Database) -> None:
    async with database.shared() as db:
        assert await db.fetchval("SELECT relpersistence FROM pg_class WHERE relname = 'login_buckets'") == b"u"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("0.0.0.1", "::1", False),
        ("", "", True),
    ],
)
def test_addresses_that_one_holder_can_choose_are_one_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_each_kind_of_attempt_has_buckets_of_its_own() -> None:
    made = [
        *subjects.of_login("a@b.test", "192.0.2.1", is_known_place=False),
        *subjects.of_login("a@b.test", "192.0.2.1", is_known_place=True),
        *subjects.of_reset("a@b.test", "192.0.2.1", is_known_place=False),
        *subjects.of_reset("a@b.test", "192.0.2.1", is_known_place=True),
        *subjects.of_code(7, "192.0.2.1", is_known_place=False),
        *subjects.of_code(7, "192.0.2.1", is_known_place=True),
        *subjects.of_token("reset", "192.0.2.1"),
        *subjects.of_invitation(7, "a@b.test"),
        *subjects.of_email_change(7),
    ]
    assert len({bucket.key for bucket in made}) == len(made)


def test_account_is_counted_as_typed_without_case_and_spaces() -> None:
    one = subjects.of_login(" A@b.Test ", "192.0.2.1", is_known_place=False)
    other = subjects.of_login("a@B.test", "198.51.100.1", is_known_place=False)
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_counting_cannot_tell_a_known_place_from_any_other() -> None:
    known = subjects.of_login("a@b.test", "192.0.2.1", is_known_place=True)
    unknown = subjects.of_login("a@b.test", "192.0.2.1", is_known_place=False)
    assert known[0].rule == unknown[0].rule


async def test_places_of_an_account_are_bounded_and_the_newest_stay(database: Database) -> None:
    async with database.shared() as db:
        user_id = await db.fetchval(
            "INSERT INTO users (email, password_hash, role) VALUES ('places@x.test', '', 'USER') RETURNING id"
        )
        for number in range(queries.MOST_PLACES + 20):
            await queries.mark_place(db, user_id, f"192.0.2.{number}", NOW + timedelta(minutes=number))
        kept = await db.fetch("SELECT network FROM known_places WHERE user_id = $1 ORDER BY seen_at", user_id)
    assert [row["network"] for row in kept] == [f"192.0.2.{n}" for n in range(20, queries.MOST_PLACES + 20)]


async def test_place_is_forgotten_after_its_days(database: Database) -> None:
    now = datetime.now(UTC)
    async with database.shared() as db:
        user_id = await db.fetchval(
            "INSERT INTO users (email, password_hash, role) VALUES ('old@x.test', '', 'USER') RETURNING id"
        )
        for network, days in {"192.0.2.1": queries.PLACE_DAYS + 1, "192.0.2.2": queries.PLACE_DAYS - 1}.items():
            await queries.mark_place(db, user_id, network, now - timedelta(days=days))
    await sweep(database)
    async with database.shared() as db:
        kept = await db.fetch("SELECT network FROM known_places WHERE user_id = $1", user_id)
    assert [row["network"] for row in kept] == ["192.0.2.2"]
