"""`croft tenants export` and `offer`, as an operator types them."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from server.db import Database, Scope
from server.sync.log_copies.reading import DEVICE
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from tests.conftest import Croft, TenantHandle
from tests.croft_process import settings_of

Event = dict[str, Any]
Run = Callable[..., Coroutine[Any, Any, Result]]

_numbers = count(1)


@pytest.fixture
def run(croft: Croft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `croft tenants` on the database of the server that runs."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": croft.addresses.serving})

    async def invoke(*words: str, given: bytes | None = None) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["tenants", *words], env=env, input=given))

    return invoke


@pytest.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


def event(entity: str, type_: str = "create-individual", minute: int = 0, **data: Any) -> Event:
    return {
        "guid": f"event-{next(_numbers)}",
        "entityGuid": entity,
        "type": type_,
        "data": data or {"name": entity},
        "timestamp": f"2026-01-31T08:{minute:02}:00.000Z",
        "userId": "7",
    }


async def push(tenant: TenantHandle, caller: httpx.AsyncClient, device: str, *events: Event) -> None:
    headers = {"X-Tenant-Id": tenant.config_id, "X-Device-Id": device}
    answer = await caller.post("/api/v2/sync/push", json={"events": list(events)}, headers=headers)
    assert answer.status_code == 200, answer.text


async def log_of(tenant: TenantHandle) -> list[Event]:
    """The log as a device pulls it."""
    caller = await tenant.caller()
    headers = {"X-Tenant-Id": tenant.config_id, "X-Device-Id": "reader"}
    answer = await caller.get("/api/v2/sync/pull", params={"limit": 10_000}, headers=headers)
    events: list[Event] = answer.json()["events"]
    return events


def without_numbers(events: list[Event]) -> list[Event]:
    return [{key: value for key, value in each.items() if key not in ("seq", "baseVersion")} for each in events]


async def scope_of(tenant: TenantHandle, database: Database) -> Scope:
    async with database.shared(readonly=True) as db:
        row = await db.fetchrow("SELECT schema_name, role_name FROM tenants WHERE config_id = $1", tenant.config_id)
        assert row is not None
        return Scope(row["schema_name"], row["role_name"])


async def assert_whole(tenant: TenantHandle) -> None:
    """The chain holds and the entities are what the log says."""
    async with Database(tenant.croft.addresses.serving, size=1) as database:
        reading = partial(database.inside, await scope_of(tenant, database), readonly=True)
        assert (await verify_chain(reading)).fault is None
        async with reading() as db:
            found = await replay(db)
            assert found.is_right, found


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def read_private(name: str) -> list[Any]:
    """The lines of a file that is its owner's alone."""
    assert Path(name).stat().st_mode & 0o077 == 0
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout_bytes.splitlines()]


# Export


async def test_export_is_what_a_device_pulls(run: Run, tenant: TenantHandle) -> None:
    collector = await tenant.caller()
    await push(tenant, collector, "a", event("p1", name='Ann \u2028 "Lee"', size=2.5, deep={"a": [1]}))
    await push(tenant, collector, "b", event("p2"), event("p1", "update-individual", 1, village="Kibera"))
    *events, end = lines(await run("export", tenant.config_id))
    assert [each["event"] for each in events] == [
        {key: value for key, value in each.items() if key != "baseVersion"} for each in await log_of(tenant)
    ]
    assert end["more"] is False
    assert end["cursor"].endswith(".3")


async def test_export_goes_through_the_whole_log_in_pieces(
    run: Run, tenant: TenantHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.sync.log_copies.writing._EVENTS", 2)
    monkeypatch.setattr("server.sync.log_copies.writing._EVENT_BYTES", 200)
    await push(tenant, await tenant.caller(), "a", *(event(f"p{number}") for number in range(7)))
    *events, _ = lines(await run("export", tenant.config_id))
    assert [each["event"]["seq"] for each in events] == list(range(1, 8))


async def test_empty_log_has_only_the_last_line(run: Run, tenant: TenantHandle) -> None:
    [end] = lines(await run("export", tenant.config_id))
    assert end["more"] is False
    assert (
        "0 events were offered." in (await run("offer", tenant.config_id, "-", given=json.dumps(end).encode())).stdout
    )


# Offer


async def copied(run: Run, tenant: TenantHandle, croft: Croft, until: int = 0) -> tuple[bytes, TenantHandle]:
    """A copy of the tenant's log, and another tenant that has its first events alone, as after a restore."""
    copy = (await run("export", tenant.config_id)).stdout_bytes
    restored = await croft.tenant()
    first = b"".join(copy.splitlines(keepends=True)[:until])
    assert (await run("offer", restored.config_id, "-", given=first)).exit_code == 0
    return copy, restored


async def test_lost_events_come_back_with_their_account_device_and_times(
    run: Run, croft: Croft, tenant: TenantHandle
) -> None:
    ann, ben = await tenant.caller(), await tenant.caller()
    await push(tenant, ann, "a", event("p1"), event("p2"))
    await push(tenant, ben, "b", event("p1", "update-individual", 2, village="Kibera"))
    await push(tenant, ann, "a", event("p2", "delete-entity", 3), event("p3", "update-individual", 9, age=7))
    # Two whose clocks are a day and years ahead: they count as their arrival and a little more, as they did.
    await push(tenant, ben, "b", {**event("p1", "update-individual", village="A"), "timestamp": "2031-01-01T00:00:00Z"})
    await push(tenant, ann, "a", {**event("p1", "update-individual", village="B"), "timestamp": "2030-01-01T00:00:00Z"})
    copy, restored = await copied(run, tenant, croft, until=2)
    told = await run("offer", restored.config_id, "-", given=copy)
    assert told.exit_code == 0, told.output
    assert told.stdout == "7 events were offered.\n  2 known\n  5 taken\n  0 refused\n"
    assert without_numbers(await log_of(restored)) == without_numbers(await log_of(tenant))
    assert await standing(restored) == await standing(tenant)
    assert (await standing(restored))["p1"]["data"]["village"] == "B"
    await assert_whole(restored)


async def standing(tenant: TenantHandle) -> dict[str, Any]:
    async with Database(tenant.croft.addresses.serving, size=1) as database:
        scope = await scope_of(tenant, database)
        async with database.inside(scope, readonly=True) as db:
            rows = await db.fetch(
                "SELECT guid, state, created, type, name, entity_name, external_id, version, data::text, member_ids, "
                "parent_ids, updated_ms, newest::text, born::text, deaths FROM entities ORDER BY guid"
            )
    return {row["guid"]: {**row, "data": json.loads(row["data"])} for row in rows}


async def test_second_offer_takes_nothing(run: Run, croft: Croft, tenant: TenantHandle) -> None:
    await push(tenant, await tenant.caller(), "a", *(event(f"p{number}") for number in range(5)))
    copy, restored = await copied(run, tenant, croft)
    await run("offer", restored.config_id, "-", given=copy)
    before = await log_of(restored)
    told = await run("offer", restored.config_id, "-", given=copy)
    assert "  5 known\n  0 taken\n" in told.stdout
    assert await log_of(restored) == before


async def test_dry_run_tells_the_same_and_writes_nothing(run: Run, croft: Croft, tenant: TenantHandle) -> None:
    await push(tenant, await tenant.caller(), "a", *(event(f"p{number}") for number in range(5)))
    copy, restored = await copied(run, tenant, croft, until=2)
    bad = copy + b'{"event": {"guid": "x"}}\n' + copy
    told = await run("offer", restored.config_id, "-", "--dry-run", given=bad)
    assert (told.exit_code, told.stdout) == (
        1,
        "Dry run: nothing was written. 11 events were offered.\n  7 known\n  3 would be taken\n  1 refused\n",
    )
    assert len(await log_of(restored)) == 2
    assert (await run("offer", restored.config_id, "-", given=bad)).stdout == (
        "11 events were offered.\n  7 known\n  3 taken\n  1 refused\n"
    )


async def test_bare_events_and_other_lines_of_a_pull_are_understood(run: Run, tenant: TenantHandle) -> None:
    given = [
        {"snapshot": {"epoch": "e", "cursor": "e.1", "total": 1}},
        event("p1"),
        {"entity": {"guid": "p1", "version": 1}},
        {"event": {**event("p2"), "baseVersion": 4_000}},
        {"cursor": "e.2"},
    ]
    told = await run("offer", tenant.config_id, write("copy.ndjson", "\n\n".join(map(json.dumps, given))))
    assert told.exit_code == 0, told.output
    assert told.stdout == (
        "2 events were offered.\n  0 known\n  2 taken\n  0 refused\n"
        "The copy does not end as a whole one does: it may lack later events.\n"
    )
    taken = await log_of(tenant)
    assert [(each["entityGuid"], each["account"], each["deviceId"]) for each in taken] == [
        ("p1", "command-line", DEVICE),
        ("p2", "command-line", DEVICE),
    ]
    assert await tenant.as_owner("SELECT count(*) FROM events WHERE base_seq IS NOT NULL") == 0


async def test_lines_that_cannot_be_taken_are_named_and_the_others_taken(run: Run, tenant: TenantHandle) -> None:
    first = event("p1")
    await push(tenant, await tenant.caller(), "a", first)
    bad: list[tuple[Any, str, str]] = [
        ({**first, "data": {"name": "Else"}}, "event.guid-reused", "guid"),
        ({**event("p2"), "data": {}}, "event.invalid", "data"),
        ({**event("p2"), "receivedAt": "yesterday"}, "event.invalid", "receivedAt"),
        ({**event("p2"), "receivedAt": 5}, "event.invalid", "receivedAt"),
        ({**event("p2"), "account": 5}, "event.invalid", "account"),
        ({**event("p2"), "deviceId": "d" * 257}, "event.invalid", "deviceId"),
        ({**event("p2", "update-individual", age=1), "applied": {"age": 2}}, "event.invalid", "applied"),
        ({**event("p2"), "applied": {}}, "event.invalid", "applied"),
        ([first], "event.invalid", ""),
        ("{", "json.invalid", ""),
        ('{"guid": "x", "guid": "y"}', "json.invalid", "guid"),
    ]
    written = [line if isinstance(line, str) else json.dumps({"event": line}) for line, _, _ in bad]
    given = "\n".join([*written, json.dumps(event("p3")), '{"event": {"guid": "brok']).encode()
    told = await run("offer", tenant.config_id, "-", "--report", "refused.ndjson", given=given)
    assert told.exit_code == 1
    assert f"  0 known\n  1 taken\n  {len(bad) + 1} refused\n" in told.stdout
    assert f"Line 1 {first['guid']} – event.guid-reused: guid: another event" in told.stderr
    report = read_private("refused.ndjson")
    assert [(each["code"], each["path"]) for each in report[:-1]] == [(code, path) for _, code, path in bad]
    assert [each["line"] for each in report] == [*range(1, len(bad) + 1), len(bad) + 2]
    assert report[-1]["detail"] == "The copy broke off here."
    assert await tenant.as_owner("SELECT count(*) FROM quarantine") == 0


async def test_line_without_end_is_refused_and_the_next_one_is_read(
    run: Run, tenant: TenantHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.sync.log_copies.reading.LONGEST_LINE", 1_000)
    given = b"x" * 5_000 + b"\n" + json.dumps(event("p1")).encode() + b"\n"
    told = await run("offer", tenant.config_id, "-", given=given)
    assert "  1 taken\n  1 refused\n" in told.stdout
    assert "is longer than 1000 bytes" in told.stderr


async def test_arrival_that_is_still_to_come_counts_as_now(run: Run, tenant: TenantHandle) -> None:
    ahead = {**event("p1"), "timestamp": "2999-01-01T00:00:00Z", "receivedAt": "2998-01-01T00:00:00Z"}
    assert (await run("offer", tenant.config_id, "-", given=json.dumps(ahead).encode())).exit_code == 0
    assert await tenant.as_owner("SELECT max(received_at) <= now() FROM events")
    assert await tenant.as_owner("SELECT max(effective_ms) < 1000 * extract(epoch FROM now()) + 3.6e6 FROM events")
    await assert_whole(tenant)


async def test_offer_stands_in_the_record_of_acts(run: Run, croft: Croft, tenant: TenantHandle) -> None:
    write("north.ndjson", json.dumps(event("p1")))
    await run("offer", tenant.config_id, "north.ndjson", "--dry-run")
    await run("offer", tenant.config_id, "north.ndjson")
    async with Database(croft.addresses.serving, size=1) as database, database.shared() as db:
        acts = await db.fetch(
            "SELECT a.actor, a.details FROM audit a JOIN tenants t ON a.subject = 'tenant:' || t.id "
            "WHERE a.action = 'tenant.log-offered' AND t.config_id = $1",
            tenant.config_id,
        )
    assert [(each["actor"], json.loads(each["details"])["file"]) for each in acts] == [("command-line", "north.ndjson")]


async def test_export_stands_in_the_record_of_acts(run: Run, croft: Croft, tenant: TenantHandle) -> None:
    assert (await run("export", tenant.config_id)).exit_code == 0
    listed = await croft.operator.get("/api/installation/audit", params={"action": "tenant.log-exported"})
    own = await (await tenant.caller("admin")).get(
        "/api/audit", params={"configId": tenant.config_id, "action": "tenant.log-exported"}
    )
    for acts in (listed.json()["acts"], own.json()["acts"]):
        assert acts[0]["actor"] == "command-line"


async def test_phones_whole_form_counts_for_no_more_than_it_did(run: Run, croft: Croft, tenant: TenantHandle) -> None:
    phone, other = await tenant.device(), await tenant.device()
    guid = phone.create_individual({"name": "Grace", "village": "Kibera", "trade": "none"})
    await phone.sync()
    await other.sync()
    phone.whole_form_update(guid, trade="weaver")
    await phone.sync()
    other.whole_form_update(guid, village="Mathare")
    await other.sync()
    expected = (await standing(tenant))[guid]["data"]
    assert (expected["village"], expected["trade"]) == ("Mathare", "weaver")
    copy, restored = await copied(run, tenant, croft, until=1)
    assert (await run("offer", restored.config_id, "-", given=copy)).exit_code == 0
    assert (await standing(restored))[guid]["data"] == expected
    assert lines(await run("export", restored.config_id))[:-1] == lines(await run("export", tenant.config_id))[:-1]


async def test_unknown_tenant_is_told_in_words(run: Run) -> None:
    for words in (("export", "nowhere"), ("offer", "nowhere", "-")):
        told = await run(*words, given=b"")
        assert (told.exit_code, "Traceback" in told.output) == (1, False)


async def test_pushes_of_others_meanwhile_do_not_harm(run: Run, croft: Croft, tenant: TenantHandle) -> None:
    collector = await tenant.caller()
    for number in range(20):
        await push(tenant, collector, "a", event("shared", "update-individual", number, **{f"f{number}": number}))
    copy, restored = await copied(run, tenant, croft)
    members = await restored.caller()
    again = [{key: each[key] for key in event("x")} for each in await log_of(tenant)]
    async with asyncio.TaskGroup() as group:
        offering = group.create_task(run("offer", restored.config_id, "-", given=copy))
        for each in reversed(again):
            group.create_task(push(restored, members, "b", each))
    told = offering.result()
    assert told.exit_code == 0, told.output
    assert len(await log_of(restored)) == 20
    await assert_whole(restored)


async def test_conflict_about_a_record_that_an_offered_event_deletes_is_over(run: Run, tenant: TenantHandle) -> None:
    collector = await tenant.caller()
    await push(tenant, collector, "a", event("p1"))
    for minute, device in enumerate(("a", "b"), 1):
        change = event("p1", "update-individual", minute, village=f"of {device}")
        await push(tenant, collector, device, {**change, "baseVersion": 1})
    asked = {"configId": tenant.config_id}
    assert len((await tenant.api.get("/api/conflicts", params=asked)).json()) == 1
    deletion = json.dumps({"event": event("p1", "delete-entity", 9)}).encode()
    assert (await run("offer", tenant.config_id, "-", given=deletion)).exit_code == 0
    assert (await tenant.api.get("/api/conflicts", params=asked)).json() == []
