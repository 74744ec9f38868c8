"""What holds for pairs whatever was pushed, in whatever order and batches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.db import Connection
from server.duplicates.finding import load_and_find_pairs, rescan
from server.duplicates.rules import DEFAULT_RULES, keys_of
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import Json, behind, event

AT = datetime(2025, 1, 1, tzinfo=UTC)
BEGINNING = AT - timedelta(days=1)
PEOPLE = [f"person-{number}" for number in range(6)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


fields = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Ana", "ANA", "Bo", "Çan", "Can"]),
        "dob": st.sampled_from(["1990-03-17", "17/03/1990", "1990-03-18", ""]),
        "phone": st.sampled_from(["0700123456", "+254 700 123456", "0700123457"]),
    },
).filter(bool)
kinds = st.sampled_from(
    ["create-individual", "create-individual", "update-individual", "update-individual", "delete-entity"]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Json]:
    """Events of a few people, each with its own place in time, in any order of arrival."""
    drawn = draw(st.lists(st.tuples(kinds, st.sampled_from(PEOPLE), fields), min_size=1, max_size=14))
    made = [
        event(kind, guid, data, at=BEGINNING + timedelta(seconds=number), guid=f"event-{number}")
        for number, (kind, guid, data) in enumerate(drawn)
    ]
    return draw(st.permutations(made))


@st.composite
def batches(draw: st.DrawFn, events: list[Json]) -> list[list[Json]]:
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(events) - 1)), max_size=5)))
    return [part for one, other in zip([0, *cuts], [*cuts, None], strict=True) if (part := events[one:other])]


async def open_pairs(db: Connection) -> list[frozenset[str]]:
    rows = await db.fetch("SELECT entity_guid, duplicate_guid FROM duplicates WHERE state = 'open'")
    return [frozenset((row["entity_guid"], row["duplicate_guid"])) for row in rows]


async def matching(db: Connection) -> set[frozenset[str]]:
    """Every pair of live entities that share a key, found by comparing each with each."""
    rows = await db.fetch("SELECT guid, name, entity_name, type, data::text FROM entities WHERE state = 'live'")
    keys = {
        row["guid"]: keys_of(row["entity_name"] or row["type"], row["name"], orjson.loads(row["data"]), DEFAULT_RULES)
        for row in rows
    }
    return {frozenset((one, other)) for one in keys for other in keys if one != other and keys[one] & keys[other]}


async def pairs_after(
    tenant: TenantHandle, pushes: list[list[Json]], *, rescanned: bool = False
) -> set[frozenset[str]]:
    async with behind(tenant) as db:
        for pushed in pushes:
            await load_and_find_pairs(db, pushed, account="1", at=AT)
        expected = await matching(db)
        if rescanned:
            await rescan(db, AT)
        found = await open_pairs(db)
    assert set(found) == expected
    assert len(found) == len(set(found))
    assert all(len(pair) == 2 for pair in found)
    return set(found)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), history=histories())
async def test_same_pairs_are_found_in_whichever_order_and_batches_events_arrive(
    tenant: TenantHandle, data: Any, history: list[Json]
) -> None:
    in_order = await pairs_after(tenant, [sorted(history, key=lambda each: each["timestamp"])])
    assert await pairs_after(tenant, data.draw(batches(history))) == in_order
    assert await pairs_after(tenant, [[each] for each in reversed(history)], rescanned=True) == in_order


names = st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=names, other=names)
async def test_pair_is_found_whichever_of_the_two_comes_first(tenant: TenantHandle, name: str, other: str) -> None:
    people = [
        event("create-individual", guid, {"name": each, "dob": "1990-03-17"}, at=BEGINNING, guid=f"made-{guid}")
        for guid, each in (("one", name), ("two", other))
    ]
    there = await pairs_after(tenant, [[people[0]], [people[1]]])
    back = await pairs_after(tenant, [[people[1]], [people[0]]])
    assert there == back == await pairs_after(tenant, [people])


async def test_settled_pair_stays_settled_whatever_comes_after(tenant: TenantHandle) -> None:
    twin = {"name": "Ana", "dob": "1990-03-17"}
    settled = {"duplicates": [{"entityGuid": "one", "duplicateGuid": "two"}], "shouldDelete": False}
    async with behind(tenant) as db:
        for made in (
            event("resolve-duplicate", "one", settled),
            event("create-individual", "one", twin),
            event("create-individual", "two", twin),
            event("delete-entity", "two", twin),
            event("create-individual", "two", twin),
        ):
            await load_and_find_pairs(db, [made], account="1", at=AT)
            await rescan(db, AT)
            assert await open_pairs(db) == []
