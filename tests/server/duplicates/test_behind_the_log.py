"""Pairs are looked for behind the log: what a push, a reader and a dead process may rely on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.duplicates import finding
from server.duplicates.finding import catch_up, catch_up_aside
from server.duplicates.queries import FOUND_BEFORE
from server.kit.clock import utc_now
from server.sync.seeding import load_events
from tests.conftest import Croft, TenantHandle
from tests.server.entities.records import Json, behind, event, fetch, person, push

PAIRS = "/api/potential-duplicates"


@pytest_asyncio.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


def twin() -> Json:
    return person("Fatuma Hassan", dateOfBirth="1990-03-17")


@pytest_asyncio.fixture
async def looking(tenant: TenantHandle) -> AsyncIterator[None]:
    """Somebody else looks for pairs and does not come to an end."""
    async with behind(tenant) as db:
        await db.fetchval("SELECT seq FROM duplicates_progress FOR UPDATE")
        yield


async def test_pairs_are_found_though_nobody_asks_for_them(tenant: TenantHandle) -> None:
    await push(tenant, twin(), twin())
    async with asyncio.timeout(10):
        found = 0
        while not found:
            async with behind(tenant) as db:
                found = await db.fetchval("SELECT count(*) FROM duplicates WHERE state = 'open'")
    assert found == 1


@pytest.mark.usefixtures("looking")
async def test_push_waits_for_nobody_who_looks_for_pairs(tenant: TenantHandle) -> None:
    async with asyncio.timeout(5):
        assert (await push(tenant, twin(), twin()))["status"] == "success"


async def test_list_holds_the_pairs_of_a_push_that_was_just_answered(tenant: TenantHandle) -> None:
    for number in range(1, 6):
        await push(tenant, person(f"Person {number}", phone="+256700000001"))
        assert len(await fetch(tenant, PAIRS)) == number * (number - 1) // 2


async def test_steps_come_to_the_end_however_many_records_one_event_touches(
    tenant: TenantHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_STEP", 3)
    members = [{"guid": f"member {number}", "name": "Twin", "dateOfBirth": "1990-03-17"} for number in range(5)]
    async with behind(tenant) as db:
        crowd = event("create-group", "crowd", {"name": "Crowd", "members": members})
        others = [person("Twin", guid=f"twin {number}", dateOfBirth="1990-03-17") for number in range(4)]
        await load_events(db, [crowd, *others], account="1", at=utc_now())
        assert not await catch_up(db, utc_now(), most_steps=1)
        assert await catch_up(db, utc_now())
        assert await db.fetchval("SELECT count(*) FROM duplicates WHERE state = 'open'") == 9 * 8 // 2
        assert await db.fetchval("SELECT seq = head FROM duplicates_progress, sync_head")


@pytest.mark.usefixtures("looking")
async def test_step_aside_is_left_out_while_somebody_looks(tenant: TenantHandle) -> None:
    await push(tenant, twin(), twin())
    async with behind(tenant) as db, asyncio.timeout(5):
        assert not await catch_up_aside(db, utc_now())


async def test_pair_that_came_from_another_server_stays_open_until_one_of_the_two_is_gone(tenant: TenantHandle) -> None:
    one, other = person("Amina", guid="one"), person("Somebody else", guid="other")
    async with behind(tenant) as db:
        await load_events(db, [one, other], account="1", at=utc_now())
        await db.execute(
            "INSERT INTO duplicates (entity_guid, duplicate_guid, rule, found_at) VALUES ('other', 'one', $1, now())",
            FOUND_BEFORE,
        )
        for change, expected in (
            (event("update-individual", "one", {"village": "Kibera"}), "open"),
            (event("delete-entity", "one", {"reason": "left"}), "gone"),
        ):
            await load_events(db, [change], account="1", at=utc_now())
            await catch_up(db, utc_now())
            assert await db.fetchval("SELECT state FROM duplicates") == expected
