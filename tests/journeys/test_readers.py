"""Readers follow the log while many write, and hold their transactions open at the worst of moments."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest

from server.db import Database, Scope
from server.kit.clock import iso_ms, to_ms, utc_now
from server.sync.event import Event
from server.sync.old_clients import feed
from server.sync.old_clients.marks import PEOPLE_CARRIER
from server.sync.push import Source, push
from tests.conftest import Croft, TenantHandle

WRITERS = 16
ROUNDS = 10
SEEDS = range(2)
MOST_LIMIT = 9


class ChangedHisMind(Exception):
    """A writer rolls back."""


@dataclass
class Polls:
    """Tells writers when a reader has looked."""

    done: int = 0
    is_over: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def count(self) -> None:
        """Says that a poll is done."""
        async with self._changed:
            self.done += 1
            self._changed.notify_all()

    async def whole_one(self) -> None:
        """Returns when a poll is done that has begun since."""
        # The next one to be done may have begun before.
        wanted = self.done + 2
        async with self._changed:
            await self._changed.wait_for(lambda: self.done >= wanted)


@dataclass
class Written:
    """What the writers did: the guids of events that were committed, and of those that were not."""

    kept: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)


async def write(number: int, database: Database, scope: Scope, polls: Polls, written: Written, chance: Random) -> None:
    """Pushes in transactions that are held open before the numbers are taken, after that, or not at all."""
    for turn in range(ROUNDS):
        guids = [f"{number}-{turn}-{each}" for each in range(chance.randint(1, 4))]
        at = utc_now()
        with suppress(ChangedHisMind):
            async with database.inside(scope) as db:
                if chance.random() < 0.5:
                    # An early transaction id, and an early time of arrival, for what is committed late.
                    await db.fetchval("SELECT pg_current_xact_id()")
                    await polls.whole_one()
                await push(db, [event(guid, at) for guid in guids], Source(f"{number}", "a device", at))
                if chance.random() < 0.5:
                    await polls.whole_one()
                if chance.random() < 0.25:
                    written.rolled_back += guids
                    raise ChangedHisMind
            written.kept += guids


def event(guid: str, at: Any) -> Event:
    """The making of one person: nobody else speaks of him, so a feed of persons is one of events."""
    return Event(
        guid=guid,
        entity_guid=f"person {guid}",
        type="create-individual",
        data={"name": f"Person {guid}"},
        timestamp=iso_ms(at),
        timestamp_ms=to_ms(at),
        effective_ms=to_ms(at),
        user_id="7",
    )


Read = Callable[[], Awaitable[tuple[list[str], bool]]]
"""Reads on: the guids of events, and whether there is more now."""


async def follow(read: Read, polls: Polls) -> list[str]:
    """All that is seen until the writers are done and there is no more."""
    seen: list[str] = []
    more = True
    while more or not polls.is_over:
        was_over = polls.is_over
        guids, more = await read()
        seen += guids
        more = more or not was_over
        await polls.count()
    return seen


class NewReader:
    """A device of the new protocol, page by page."""

    def __init__(self, client: httpx.AsyncClient, config_id: str, chance: Random) -> None:
        self._client = client
        self._headers = {"X-Tenant-Id": config_id, "X-Device-Id": "a reader"}
        self._chance = chance
        self._cursor = ""
        self.numbers: list[int] = []

    async def read(self) -> tuple[list[str], bool]:
        """One page."""
        params: dict[str, str | int] = {"limit": self._chance.randint(1, MOST_LIMIT)}
        if self._cursor:
            params["cursor"] = self._cursor
        answer = await self._client.get("/api/v2/sync/pull", params=params, headers=self._headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        self._cursor = page["cursor"]
        self.numbers += [each["seq"] for each in page["events"]]
        return [each["guid"] for each in page["events"]], page["more"]


class OldReader:
    """A phone: it goes on after the greatest time that it was given."""

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database = database
        self._scope = scope
        self._since = ""

    async def read(self) -> tuple[list[str], bool]:
        """One page."""
        async with self._database.inside(self._scope) as db:
            page = await feed.pull(db, self._since, Source("8", "a phone", utc_now()))
        self._since = max([self._since, *(each["timestamp"] for each in page.events)])
        listed = [each["data"]["members"] for each in page.events if is_list_of_people(each)]
        people = [member["guid"] for members in listed for member in members]
        return [guid.removeprefix("person ") for guid in people], page.next_cursor is not None


def is_list_of_people(told: dict[str, Any]) -> bool:
    return told["entityGuid"] == PEOPLE_CARRIER and told["type"] == "create-group" and bool(told["data"].get("members"))


@dataclass
class World:
    """A tenant, and a database of its own for the writers and the reader, with room for all of them."""

    tenant: TenantHandle
    database: Database
    scope: Scope

    async def run(self, read: Read, seed: int) -> tuple[Written, list[str]]:
        """What was written, and what was seen meanwhile."""
        polls, written = Polls(), Written()
        async with asyncio.timeout(60), asyncio.TaskGroup() as everybody:
            # A reader that fails ends the writers, who would wait for it.
            following = everybody.create_task(follow(read, polls))
            async with asyncio.TaskGroup() as writers:
                for number in range(WRITERS):
                    chance = Random(f"{seed} {number}")
                    writers.create_task(write(number, self.database, self.scope, polls, written, chance))
            polls.is_over = True
        return written, following.result()


@pytest.fixture
async def world(croft: Croft, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A tenant without anything in its log."""
    monkeypatch.setattr(feed, "PAGE", 7)
    tenant = await croft.tenant()
    async with Database(croft.addresses.serving, size=2 * (WRITERS + 2)) as database:
        async with database.shared(readonly=True) as db:
            row = await db.fetchrow("SELECT schema_name, role_name FROM tenants WHERE config_id = $1", tenant.config_id)
        assert row is not None
        yield World(tenant, database, Scope(row["schema_name"], row["role_name"]))


def expect_each_once(written: Written, seen: list[str]) -> None:
    assert [guid for guid, times in Counter(seen).items() if times > 1] == []
    assert set(written.kept) - set(seen) == set()
    assert set(seen) - set(written.kept) == set()
    assert len(written.kept) > WRITERS
    assert len(written.rolled_back) > WRITERS


@pytest.mark.parametrize("seed", SEEDS)
async def test_device_that_pulls_page_by_page_sees_every_event_once(world: World, seed: int) -> None:
    reader = NewReader(await world.tenant.caller(), world.tenant.config_id, Random(seed))
    written, seen = await world.run(reader.read, seed)
    expect_each_once(written, seen)
    assert reader.numbers == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("seed", SEEDS)
async def test_phone_that_pulls_after_the_last_time_it_was_given_sees_every_event_once(world: World, seed: int) -> None:
    written, seen = await world.run(OldReader(world.database, world.scope).read, seed)
    expect_each_once(written, seen)
