"""Erasing persons from a log: what comes beside it, after it, and instead of it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from server.db import Scope
from server.kit.clock import from_ms, iso_ms, utc_now
from server.persons import queries as persons
from server.sync.audit_log import receive
from server.sync.event import Event
from server.sync.intake import Refusal
from server.sync.quarantine import keep
from server.sync.queries import note_erasures
from server.sync.v2.push import receive as receive_push
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from tests.server.persons.erasing import erase_in
from tests.server.sync.conftest import AT, SOURCE, Log
from tests.server.sync.strategies import event

TELLING = "telling"
_WIRE = {
    "guid": "guid",
    "entityGuid": "entity_guid",
    "type": "type",
    "data": "data",
    "timestamp": "timestamp",
    "userId": "user_id",
}
_IS_WAITED_FOR = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))"


async def test_events_of_whoever_pushes_keep_nothing_of_who_was_erased(log: Log) -> None:
    await erase_in(log, ["ann"])
    data = {"name": "Camp", "members": [{"guid": "ann", "name": TELLING}, {"guid": "ben", "name": "Ben"}]}
    await log.push([event("create-group", "camp", data), event("create-individual", "ann", {"name": TELLING})])
    assert TELLING not in str(await log.fetch("SELECT data, applied FROM events"))
    entities = await log.entities()
    assert entities["camp"].member_ids == ["ben"]
    assert (entities["ann"].state, entities["ann"].data) == ("deleted", {})


async def test_erasure_and_pushes_at_once_leave_nothing_of_her(log: Log) -> None:
    await log.push([event("create-individual", "ann", {"name": TELLING})])
    pushes = [[event("update-individual", "ann", {"n": number, "name": TELLING}, at=number)] for number in range(12)]
    async with asyncio.TaskGroup() as group:
        group.create_task(log.push_at_once(pushes))
        group.create_task(erase_in(log, ["ann"]))
    assert TELLING not in str(await log.fetch("SELECT data, applied FROM events"))
    assert await log.fetchval("SELECT count(*) FROM events") == 14
    async with log.inside() as db:
        assert (await replay(db)).is_right


async def test_erasure_that_is_broken_off_leaves_all_as_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    await log.push([event("create-individual", "ann", {"name": TELLING})])
    before = await log.fetch("SELECT * FROM events")

    async def killed(_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(persons, "sample_anew", killed)
    with pytest.raises(asyncio.CancelledError):
        await erase_in(log, ["ann"])
    assert await log.fetch("SELECT * FROM events") == before
    assert (await log.entities())["ann"].name == TELLING
    assert await log.fetchval("SELECT count(*) FROM erased_persons") == 0


async def test_person_whom_nobody_mentioned_yet_can_be_erased(log: Log) -> None:
    """As after a backup was restored that is older than she."""
    await erase_in(log, ["ann"])
    await log.push([event("update-individual", "ann", {"name": TELLING}, at=-5)])
    assert TELLING not in str(await log.fetch("SELECT data FROM events"))
    assert (await log.entities())["ann"].state == "deleted"
    async with log.inside() as db:
        assert (await replay(db)).is_right


async def test_group_with_living_members_is_passed_over(log: Log) -> None:
    await log.push([event("create-group", "camp", {"name": "Camp", "members": [{"guid": "ben", "name": "Ben"}]})])
    assert await erase_in(log, ["camp"]) == []
    assert (await log.entities())["camp"].state == "live"
    assert sorted(await erase_in(log, ["ben", "camp"])) == ["ben", "camp"]


async def test_group_stays_whose_subgroup_has_living_members_and_stays(log: Log) -> None:
    """Deleting the camp would delete the tent, and everybody in it."""
    tent = {"guid": "tent", "type": "group", "name": "Tent", "members": [{"guid": "ben", "name": "Ben"}]}
    await log.push([event("create-group", "camp", {"name": "Camp", "members": [tent]})])
    assert await erase_in(log, ["camp", "tent"]) == []
    assert {guid: each.state for guid, each in (await log.entities()).items()} == dict.fromkeys(
        ("camp", "tent", "ben"), "live"
    )


async def test_erasure_waits_for_who_has_found_nobody_erased_and_is_still_storing(log: Log) -> None:
    raw = {"type": "nonsense", "entityGuid": "ann", "data": {"guid": "ann", "name": TELLING}}
    entry = {**dict.fromkeys(("guid", "timestamp", "action", "eventGuid"), "x"), "entityGuid": "ann"}
    async with log.inside() as db:
        await keep(db, [(raw, Refusal("", "event.invalid", "type", "is none"))], SOURCE)
        await receive(db, [{**entry, "changes": {"name": TELLING}}], SOURCE)
        erasing = asyncio.create_task(erase_in(log, ["ann"]))
        while not (erasing.done() or await db.fetchval(_IS_WAITED_FOR)):
            pass
    assert await erasing == ["ann"]
    assert TELLING not in str(await log.fetch("SELECT raw FROM quarantine"))
    assert TELLING not in str(await log.fetch("SELECT changes FROM audit_log"))


async def test_push_that_comes_while_somebody_is_erased_keeps_nothing_of_her(log: Log) -> None:
    """Also where it does not mention her as an entity: it waits before it looks up who was erased."""
    telling = _dated(event("create-individual", "ben", {"name": "Ben", "mother": {"guid": "ann", "name": TELLING}}))
    raw = {each: getattr(telling, name) for each, name in _WIRE.items()}
    async with log.inside() as db:
        await persons.lock_erasing(db)
        pushing = asyncio.create_task(_receive(log, raw))
        while not (pushing.done() or await db.fetchval(_IS_WAITED_FOR)):
            pass
        await note_erasures(db, ["ann"], ["x"], at=AT, by="7", reason="on request")
    await pushing
    assert await log.fetchval("SELECT count(*) FROM events") == 1
    assert TELLING not in str(await log.fetch("SELECT data FROM events"))
    assert TELLING not in str(await log.fetch("SELECT data FROM entities"))


async def _receive(log: Log, raw: object) -> None:
    async with log.inside() as db:
        await receive_push(db, [raw], SOURCE, timedelta(), epoch=None)


@pytest.mark.parametrize(
    ("forgery", "fault"),
    [
        ("UPDATE events SET erased = true, data = '{}' WHERE guid = 'other'", "speaks of nobody who was"),
        ("UPDATE events SET data = '{\"name\": \"forged\"}' WHERE guid = 'hers'", "still says something"),
        ("INSERT INTO erased_persons VALUES ('ben', 'other', now(), '', '')", "does not hold the event"),
    ],
)
async def test_erasure_that_nobody_made_is_found_out(log: Log, forgery: str, fault: str) -> None:
    await log.push([_dated(event("create-individual", "ann", {"name": "Ann"}, guid="hers"))])
    await log.push([_dated(event("create-individual", "ben", {"name": "Ben"}, guid="other"))])
    await erase_in(log, ["ann"])
    verdict = await verify_chain(log.inside)
    assert (verdict.fault, verdict.erased, verdict.persons) == (None, 1, 1)
    async with log.database.inside(Scope(log.scope.schema, log.owner)) as db:
        await db.execute(forgery)
    assert fault in ((await verify_chain(log.inside)).fault or "")


@pytest.mark.parametrize(
    ("seq", "content"),
    [
        (2, "{}"),
        (1, '{"name": "somebody else, a longer name"}'),
        (3, "{}"),
    ],
    ids=["somebody who was not erased", "more than there was", "the erasure itself"],
)
async def test_role_can_blank_nothing_but_what_says_something_of_the_erased(log: Log, seq: int, content: str) -> None:
    await log.push([event("create-individual", guid, {"name": guid}) for guid in ("ann", "ben")])
    await erase_in(log, ["ann"])
    before = await log.fetch("SELECT * FROM events ORDER BY seq")
    attempt = "SELECT blank_events(ARRAY[$1::bigint], ARRAY[$2::json], ARRAY[NULL]::json[])"
    assert await log.fetchval(attempt, seq, content) == 0
    assert await log.fetch("SELECT * FROM events ORDER BY seq") == before


@pytest.mark.parametrize(
    "change",
    ["events SET data = '{}'", "quarantine SET raw = ''", "audit_log SET changes = '{}'", "erased_persons SET by = ''"],
)
async def test_role_cannot_write_what_is_only_emptied(log: Log, change: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await log.fetch(f"UPDATE {change}")


async def test_role_cannot_delete_what_arrived_today(log: Log) -> None:
    entry = {**dict.fromkeys(("guid", "timestamp", "action", "eventGuid", "entityGuid"), "x")}
    source = replace(SOURCE, at=utc_now())
    async with log.inside() as db:
        await keep(db, [({"type": "nonsense"}, Refusal("", "event.invalid", "type", "is none"))], source)
        await receive(db, [entry], source)
        soon = "now() + interval '9 days'"
        [gone] = await db.fetch(f"SELECT quarantined, audited FROM forget_old({soon}, {soon}, 100)")
    assert tuple(gone) == (0, 0)
    assert await log.fetchval("SELECT (SELECT count(*) FROM quarantine) + (SELECT count(*) FROM audit_log)") == 2


def _dated(event: Event) -> Event:
    return replace(event, timestamp=iso_ms(from_ms(event.timestamp_ms)))
