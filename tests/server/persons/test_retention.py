"""Retention times: what a config may say, and what is carried out of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.app_configs.model import INVALID, read_config
from server.conflicts.finding import note_conflicts
from server.db import Database
from server.db.migrations import tenant_migrations
from server.kit.clock import iso_ms
from server.kit.problem import Problem
from server.persons import queries, retention
from server.persons.retention import Retention
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from
from tests.conftest import Croft, TenantHandle, small_config, upload_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"forms": {"nowhere": {"days": 3}}}, "retention.forms.nowhere"),
        ({"forms": {"individual": {"days": 0}}}, "retention.forms.individual.days"),
        ({"forms": {"individual": {"days": 36_501}}}, "retention.forms.individual.days"),
        ({"forms": {"individual": {"days": "9"}}}, "retention.forms.individual.days"),
        ({"forms": {"individual": {}}}, "retention.forms.individual.days"),
        ({"forms": ["individual"]}, "retention.forms"),
        ({"quarantineDays": 1.5}, "retention.quarantineDays"),
        ({"deviceAuditDays": True}, "retention.deviceAuditDays"),
        ({"auditDays": 9}, "retention.auditDays"),
        (9, "retention"),
    ],
)
def test_mistakes_in_retention_times_are_named_by_their_path(told: Any, path: str) -> None:
    with pytest.raises(Problem) as refused:
        read_config({**small_config("north"), "retention": told})
    assert refused.value.code == INVALID.code
    assert [error.path for error in refused.value.errors] == [path]


def test_retention_times_are_read() -> None:
    told = {"forms": {"individual": {"days": 730}, "group": {"days": 9}}, "quarantineDays": 365}
    read = read_config({**small_config("north"), "retention": told}).retention
    assert (read.forms, read.quarantine_days, read.device_audit_days) == ({"individual": 730, "group": 9}, 365, None)
    assert read
    assert not read_config(small_config("north")).retention


@dataclass
class Keeping:
    """A tenant with retention times, and the job. `wrote` holds the tenants that it changed."""

    handle: TenantHandle
    database: Database
    job: Retention
    wrote: list[int]

    async def tenant(self) -> Tenant:
        async with self.database.shared() as db:
            row = await db.fetchrow(
                f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE config_id = $1", self.handle.config_id
            )
        assert row is not None
        return tenant_from(row)

    async def push(self, guid: str, at: datetime, *, arrived: datetime | None = None, **data: Any) -> None:
        """A change of a person, made at the time and arrived then or later."""
        members = data.get("members") is not None
        event = {
            "guid": f"{guid} {at} {arrived}",
            "entityGuid": guid,
            "type": "create-group" if members else "create-individual",
            "data": {"name": guid, **data},
            "timestamp": iso_ms(at),
            "userId": "7",
        }
        headers = {"X-Tenant-Id": self.handle.config_id}
        answer = await self.handle.api.post("/api/sync/push", json={"events": [event]}, headers=headers)
        assert answer.status_code == 200, answer.text
        await self.handle.as_owner(
            f"UPDATE events SET received_at = '{arrived or at}' WHERE guid = '{event['guid']}' RETURNING 1"
        )

    async def living(self) -> set[str]:
        async with self.database.inside((await self.tenant()).scope) as db:
            return {row["guid"] for row in await db.fetch("SELECT guid FROM entities WHERE state = 'live'")}

    async def due(self) -> datetime | None:
        async with self.database.shared() as db:
            due: datetime | None = await db.fetchval(
                "SELECT retention_due FROM tenants WHERE id = $1", (await self.tenant()).id
            )
        return due

    async def set_due(self, at: datetime) -> None:
        async with self.database.shared() as db:
            await db.execute("UPDATE tenants SET retention_due = NULL")
            await db.execute("UPDATE tenants SET retention_due = $2 WHERE id = $1", (await self.tenant()).id, at)


@pytest.fixture
async def keeping(croft: Croft) -> AsyncIterator[Keeping]:
    times = {
        "forms": {"individual": {"days": 30}, "group": {"days": 30}, "household": {"days": 90}},
        "quarantineDays": 10,
        "deviceAuditDays": 20,
    }
    handle = await croft.tenant({"retention": times})
    wrote: list[int] = []
    async with Database(croft.addresses.serving, size=4) as database:
        job = Retention(database, note_conflicts, lambda tenant: wrote.append(tenant.id))
        yield Keeping(handle, database, job, wrote)


async def test_who_was_not_changed_for_the_time_of_her_form_is_erased(keeping: Keeping) -> None:
    await keeping.push("old", NOW - 31 * DAY)
    await keeping.push("young", NOW - 29 * DAY)
    await keeping.push("slow clock", NOW - 500 * DAY, arrived=NOW - 2 * DAY)
    await keeping.push("kept longer", NOW - 31 * DAY, entityName="household")
    await keeping.push("of another form", NOW - 500 * DAY, entityName="visit")
    report = await keeping.job.carry_out(await keeping.tenant(), NOW)
    assert report.persons == {"individual": 1}
    assert await keeping.living() == {"young", "slow clock", "kept longer", "of another form"}
    [erased] = await _erasures(keeping)
    assert (erased["guid"], erased["by"], erased["reason"]) == ("old", "system", "not changed for 30 days")
    again = await keeping.job.carry_out(await keeping.tenant(), NOW)
    assert again.is_empty


async def test_change_that_arrives_late_keeps_whoever_was_due_a_moment_ago(keeping: Keeping) -> None:
    """As it is found under locks: between the looking and the erasing a phone with a slow clock may have come."""
    for guid, arrived in (("old", NOW - 31 * DAY), ("just changed", NOW)):
        await keeping.push(guid, NOW - 40 * DAY, arrived=arrived)
    async with keeping.database.inside((await keeping.tenant()).scope) as db:
        assert await queries.list_due(db, ["old", "just changed", "nobody"], NOW - 30 * DAY) == {"old"}


async def test_group_goes_when_nobody_lives_in_it_any_more(keeping: Keeping) -> None:
    await keeping.push("house", NOW - 40 * DAY, members=[{"guid": "member", "name": "Ann"}])
    await keeping.push("member", NOW - 5 * DAY)
    await keeping.job.carry_out(await keeping.tenant(), NOW)
    assert await keeping.living() == {"house", "member"}
    later = NOW + 26 * DAY
    for _ in range(2):
        await keeping.job.carry_out(await keeping.tenant(), later)
    assert await keeping.living() == set()


async def test_dry_run_counts_and_changes_nothing(keeping: Keeping) -> None:
    await keeping.push("old", NOW - 31 * DAY)
    await _spoil(keeping, NOW - 11 * DAY)
    report = await keeping.job.carry_out(await keeping.tenant(), NOW, dry_run=True)
    assert (report.persons, report.quarantine, report.device_audit) == ({"individual": 1}, 1, 0)
    assert await keeping.living() == {"old"}
    assert await _counts(keeping) == (1, 1)


async def test_old_entries_of_quarantine_and_audit_log_are_deleted(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_OLD", 1)
    for days in (9, 11, 12, 21):
        await _spoil(keeping, NOW - days * DAY)
    report = await keeping.job.carry_out(await keeping.tenant(), NOW)
    assert (report.quarantine, report.device_audit) == (3, 1)
    assert await _counts(keeping) == (1, 3)


async def test_who_is_changed_after_she_was_found_due_is_kept(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeping.push("old", NOW - 31 * DAY)
    find = queries.list_unchanged

    async def found_and_changed(*args: Any) -> tuple[str, list[str]]:
        found = await find(*args)
        if found[1]:
            await keeping.push("old", NOW - DAY)
        return found

    monkeypatch.setattr(queries, "list_unchanged", found_and_changed)
    report = await keeping.job.carry_out(await keeping.tenant(), NOW)
    assert report.persons.total() == 0
    assert await keeping.living() == {"old"}


async def test_many_are_erased_in_several_transactions(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_TOGETHER", 2)
    monkeypatch.setattr(retention, "_LOOKED_AT", 3)
    for number in range(7):
        await keeping.push(f"old {number}", NOW - 31 * DAY)
    report = await keeping.job.carry_out(await keeping.tenant(), NOW)
    assert report.persons == {"individual": 7}
    assert await keeping.living() == set()


async def test_what_was_carried_out_is_recorded_with_counts(keeping: Keeping) -> None:
    await keeping.push("old", NOW - 31 * DAY)
    tenant = await keeping.tenant()
    await keeping.job.carry_out(tenant, NOW)
    async with keeping.database.inside(tenant.scope) as db:
        rows = await db.fetch("SELECT actor, action, details::text FROM acts ORDER BY id DESC LIMIT 2")
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("system", "retention.carried-out"),
        ("system", "person.erased"),
    ]
    assert '"persons":{"individual":1}' in rows[0]["details"].replace(" ", "")


async def test_due_tenant_is_claimed_by_one_of_several_processes(keeping: Keeping) -> None:
    await keeping.push("old", NOW - 31 * DAY)
    await keeping.set_due(NOW - DAY)
    jobs = [replace(keeping.job) for _ in range(3)]
    done = await asyncio.gather(*(job.carry_out_one(NOW) for job in jobs))
    assert sorted(done) == [False, False, True]
    assert keeping.wrote == [(await keeping.tenant()).id]
    assert await keeping.due() == NOW + DAY
    assert not await keeping.job.carry_out_one(NOW + DAY - timedelta(seconds=1))
    assert await keeping.job.carry_out_one(NOW + DAY)
    assert len(keeping.wrote) == 1


async def test_claim_of_a_process_that_died_runs_out(keeping: Keeping) -> None:
    await keeping.set_due(NOW)
    async with keeping.database.shared() as db:
        claimed = await queries.claim_due(db, tenant_migrations()[-1].id, NOW, NOW + timedelta(minutes=30))
    assert claimed is not None
    assert not await keeping.job.carry_out_one(NOW + timedelta(minutes=29))
    assert await keeping.job.carry_out_one(NOW + timedelta(minutes=30))


async def test_upload_says_when_retention_is_due(keeping: Keeping, croft: Croft) -> None:
    assert await keeping.due() is not None
    config = small_config(keeping.handle.config_id)
    answer = await croft.operator.post("/api/apps", files={"config": upload_of(config)})
    assert answer.status_code == 200, answer.text
    assert await keeping.due() is None


async def _erasures(keeping: Keeping) -> list[Any]:
    async with keeping.database.inside((await keeping.tenant()).scope) as db:
        return await queries.list_erasures(db)


async def _spoil(keeping: Keeping, at: datetime) -> None:
    await keeping.handle.as_owner(
        f"""
        WITH a AS (INSERT INTO audit_log (guid, timestamp, user_id, action, event_guid, entity_guid, changes, signature,
            device_id, received_at) VALUES ('{at}', '', '', '', '', '', '{{}}', '', '', '{at}'))
        INSERT INTO quarantine (digest, guid, code, path, detail, raw, account, device_id, received_at)
        VALUES (sha256('{at}'), '', '', '', '', '{{}}', '', '', '{at}') RETURNING 1
        """
    )


async def _counts(keeping: Keeping) -> tuple[int, int]:
    quarantine = await keeping.handle.as_owner("SELECT count(*) FROM quarantine")
    return quarantine, await keeping.handle.as_owner("SELECT count(*) FROM audit_log")
