import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.audit import Author, record, record_for_operators, record_inside
from server.audit.masking import MASK, MOST_BYTES
from server.db import Connection, Database, scoped
from server.tenants.model import Tenant
from tests.isolation.neighbours import Neighbours
from tests.server.audit.conftest import as_owner, verdict_on

ANNA = Author("7", "s1", "::1")


async def acts(database: Database, subject: str, tenant: Tenant | None = None) -> list[asyncpg.Record]:
    columns = "actor, session_id, address, action, details::text AS details, tenant_id"
    if tenant is None:
        async with database.shared(readonly=True) as db:
            return await db.fetch(f"SELECT {columns} FROM audit WHERE subject = $1 ORDER BY id", subject)
    async with database.inside(tenant.scope, readonly=True) as db:
        return await db.fetch(f"SELECT {columns} FROM acts WHERE subject = $1 ORDER BY id", subject)


async def details(database: Database, subject: str, tenant: Tenant | None = None) -> list[object]:
    return [json.loads(act["details"]) for act in await acts(database, subject, tenant)]


async def test_act_says_who_did_what_to_whom_from_where(pair: Neighbours) -> None:
    told = {"name": "O'Brien ☃", "list": [1, None, {"deep": True}]}
    async with pair.database.shared() as db:
        await record(db, ANNA, "things.make", "thing:1", details=told)
    [act] = await acts(pair.database, "thing:1")
    assert tuple(act)[:4] == ("7", "s1", "::1", "things.make")
    assert json.loads(act["details"]) == told


async def test_act_that_is_rolled_back_leaves_no_trace_and_no_gap(pair: Neighbours) -> None:
    async def fail_after_recording() -> None:
        async with pair.database.shared() as db:
            await record(db, ANNA, "things.make", "thing:2", tenant=pair.tenants[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_recording()
    async with pair.database.shared() as db:
        await record(db, ANNA, "things.make", "thing:after", tenant=pair.tenants[0])
    assert await acts(pair.database, "thing:2") == []
    assert await acts(pair.database, "thing:2", pair.tenants[0]) == []
    assert [(await verdict_on(pair.database, each)).fault for each in (None, *pair.tenants)] == [None] * 3


async def test_act_without_details_has_an_empty_object(pair: Neighbours) -> None:
    async with pair.database.shared() as db:
        await record(db, Author("system"), "things.end", "thing:3")
    [act] = await acts(pair.database, "thing:3")
    assert tuple(act)[:5] == ("system", "", "", "things.end", "{}")


async def test_act_about_a_tenant_stands_in_its_own_log_too_and_in_no_other(pair: Neighbours) -> None:
    north, south = pair.tenants
    async with pair.database.shared() as db:
        await record(db, ANNA, "things.change", "thing:4", tenant=north, before={"a": 1}, after={"a": 2})
    for tenant in (None, north):
        assert await details(pair.database, "thing:4", tenant) == [{"before": {"a": 1}, "after": {"a": 2}}]
    [act] = await acts(pair.database, "thing:4")
    assert act["tenant_id"] == north.id
    assert await acts(pair.database, "thing:4", south) == []


@pytest.mark.parametrize("scope", ["shared", "tenant", "neighbour"])
async def test_act_can_be_recorded_in_any_scope_which_stays_as_it_was(pair: Neighbours, scope: str) -> None:
    north, south = pair.tenants
    inside = {"shared": None, "tenant": north.scope, "neighbour": south.scope}[scope]
    state = "SELECT current_setting('search_path'), current_setting('role')"
    async with pair.database.shared() as db, scoped(db, inside):
        before = await db.fetchrow(state)
        await record(db, ANNA, "things.make", f"thing:{scope}", tenant=north)
        assert await db.fetchrow(state) == before
    assert len(await acts(pair.database, f"thing:{scope}")) == 1
    assert len(await acts(pair.database, f"thing:{scope}", north)) == 1
    assert await acts(pair.database, f"thing:{scope}", south) == []


async def test_act_of_people_within_a_tenant_stands_in_its_log_alone(pair: Neighbours) -> None:
    async with pair.database.inside(pair.tenants[0].scope) as db:
        await record_inside(db, ANNA, "pair.settled", "pair:1")
    assert len(await acts(pair.database, "pair:1", pair.tenants[0])) == 1
    assert await acts(pair.database, "pair:1") == []


async def test_act_about_a_tenant_that_is_gone_stands_in_the_operators_log_alone(pair: Neighbours) -> None:
    async with pair.database.shared() as db:
        await record_for_operators(db, ANNA, "tenant.purged", "gone", tenant_id=77)
    [act] = await acts(pair.database, "gone")
    assert act["tenant_id"] == 77


async def test_tenant_without_a_log_yet_can_be_acted_on(pair: Neighbours) -> None:
    """Its schema waits for the migration that makes the log; it may have to be suspended meanwhile."""
    north = pair.tenants[0]
    async with as_owner(pair, north) as db:
        await db.execute("ALTER FUNCTION append_act RENAME TO not_yet")
    try:
        async with pair.database.shared() as db:
            await record(db, ANNA, "tenant.suspended", "behind", tenant=north)
    finally:
        async with as_owner(pair, north) as db:
            await db.execute("ALTER FUNCTION not_yet RENAME TO append_act")
    assert len(await acts(pair.database, "behind")) == 1


async def test_nothing_is_recorded_in_a_transaction_that_only_reads(pair: Neighbours) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with pair.database.shared(readonly=True) as db:
            await record(db, ANNA, "things.see", "thing:5")


# Secrets and bounds


async def test_what_stands_under_a_secrets_name_is_masked(pair: Neighbours) -> None:
    after = {
        "url": "https://anna:hunter2@example.org/x",
        "password": "hunter2",
        "deep": [{"apiKey": "hunter2", "tokens": ["hunter2"], "name": "Anna"}],
        "credentials": {"user": "anna", "key": "hunter2"},
        "passwordChanged": True,
        "secret": None,
        "token": False,
    }
    async with pair.database.shared() as db:
        await record(db, ANNA, "things.change", "thing:6", tenant=pair.tenants[0], after=after)
    for tenant in (None, pair.tenants[0]):
        [found] = await details(pair.database, "thing:6", tenant)
        assert found == {
            "after": {
                "url": f"https://{MASK}@example.org/x",
                "password": MASK,
                "deep": [{"apiKey": MASK, "tokens": MASK, "name": "Anna"}],
                "credentials": MASK,
                "passwordChanged": True,
                "secret": None,
                "token": False,
            }
        }


async def test_of_what_is_too_large_only_size_and_digest_are_kept(pair: Neighbours) -> None:
    async with pair.database.shared() as db:
        await record(db, ANNA, "things.change", "thing:7", after={"text": "x" * MOST_BYTES})
    [found] = await details(pair.database, "thing:7")
    assert isinstance(found, dict)
    assert found.keys() == {"tooLarge", "sha256"}
    assert (await verdict_on(pair.database)).fault is None


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, VALUES), min_size=1, max_size=3))
async def test_whatever_an_act_says_the_chain_holds(
    pair: Neighbours, said: list[tuple[str, str, str, str, str, object]]
) -> None:
    """The database links by its own JSON, verification by Python's: both must write every text alike."""
    async with pair.database.shared() as db:
        for actor, session, address, action, subject, value in said:
            author = Author(actor, session, address)
            await record(db, author, action, subject, tenant=pair.tenants[1], after=value)
    for tenant in (None, pair.tenants[1]):
        assert (await verdict_on(pair.database, tenant)).fault is None


# Several at once


@dataclass(frozen=True)
class Doing:
    """A transaction: which logs it writes to, in which way, and whether it stays."""

    way: str
    tenants: tuple[int, ...]
    stays: bool


async def do(pair: Neighbours, doing: Doing) -> None:
    async def write(db: Connection) -> None:
        for number in doing.tenants:
            tenant = pair.tenants[number]
            if doing.way == "inside":
                await record_inside(db, ANNA, "things.do", "many", tenant=tenant)
            else:
                await record(db, ANNA, "things.do", "many", tenant=tenant)
        if doing.way == "operators":
            await record(db, ANNA, "things.do", "many")
        if not doing.stays:
            raise RuntimeError

    try:
        async with pair.database.shared() as db:
            await write(db)
    except RuntimeError:
        assert not doing.stays


def doings(chance: random.Random, count: int) -> Sequence[Doing]:
    made = []
    for _ in range(count):
        way = chance.choice(["both", "both", "inside", "operators"])
        tenants = chance.choice([(0,), (1,), (0, 1), (1, 0), (1, 0, 1)])
        # Who writes to tenants' own logs alone writes to one.
        tenants = {"both": tenants, "inside": tenants[:1], "operators": ()}[way]
        made.append(Doing(way, tenants, chance.random() > 0.2))
    return made


async def test_many_who_record_at_once_wait_for_each_other_and_leave_no_gap(pair: Neighbours) -> None:
    """A deadlock, or two acts with one number, would be an error here."""
    ends = [(await verdict_on(pair.database, each)).acts for each in (None, *pair.tenants)]
    many = doings(random.Random(4), 150)
    async with asyncio.TaskGroup() as tasks:
        for doing in many:
            tasks.create_task(do(pair, doing))
    stayed = [doing for doing in many if doing.stays]
    expected = [sum(len(doing.tenants) or 1 for doing in stayed if doing.way != "inside")]
    expected += [sum(doing.tenants.count(number) for doing in stayed) for number in (0, 1)]
    verdicts = [await verdict_on(pair.database, each) for each in (None, *pair.tenants)]
    assert [verdict.fault for verdict in verdicts] == [None] * 3
    assert [verdict.acts - end for verdict, end in zip(verdicts, ends, strict=True)] == expected
