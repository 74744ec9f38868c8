"""Retention: persons whom nobody has changed for as long as their organization keeps them are erased, and so is what
has long been in the quarantine and in the devices' audit log.

Each process that serves looks for what is due. Who finds a tenant that is due claims it in the shared schema for a
while; then nobody else does the same. The work is done in steps, a transaction each, so a process that dies leaves the
rest to the next one.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import asyncpg
import orjson

from server.audit import SYSTEM, Author, record
from server.db import Database
from server.db.migrations import tenant_migrations
from server.kit.clock import utc_now
from server.persons import queries
from server.persons.erasure import Order, erase, record_erasure
from server.sync.push import Follow
from server.sync.queries import find_setting
from server.tenants.model import Tenant

log = logging.getLogger(__name__)

CARRIED_OUT: Final = "retention.carried-out"

_EVERY: Final = timedelta(days=1)
_CLAIM: Final = timedelta(minutes=30)
_SECONDS_BETWEEN: Final = 60.0
_LOOKED_AT: Final = 1_000
_TOGETHER: Final = 100
"""How many persons are erased in one transaction: pushes wait for it."""
_OLD: Final = 5_000
_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@dataclass(slots=True)
class Report:
    """What was, or would be, carried out: how many persons of each form, and how many entries of the two logs."""

    persons: Counter[str] = field(default_factory=Counter)
    quarantine: int = 0
    device_audit: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was due."""
        return not (self.persons.total() or self.quarantine or self.device_audit)


@dataclass(frozen=True, slots=True)
class Retention:
    """Carries out tenants' retention times. `wrote` is told of every tenant in whose schema something was changed."""

    database: Database
    follow: Follow
    wrote: Callable[[Tenant], None] = lambda tenant: None

    async def run(self) -> None:
        """Looks every minute or so for what is due, until cancelled."""
        while True:
            # Processes that started together are not to ask together.
            await asyncio.sleep(_SECONDS_BETWEEN * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            try:
                while await self.carry_out_one(utc_now()):
                    pass
            except _FAILURES as error:
                log.warning("Retention waits: %s", error)
            except Exception:
                # A fault of ours that one tenant's records bring out must not end the work for all others.
                log.exception("Retention failed")

    async def carry_out_one(self, now: datetime) -> bool:
        """Carries out what is due of one tenant; whether there was one."""
        async with self.database.shared() as db:
            tenant = await queries.claim_due(db, tenant_migrations()[-1].id, now, now + _CLAIM)
        if tenant is None:
            return False
        report = await self.carry_out(tenant, now)
        async with self.database.shared() as db:
            await queries.set_due(db, tenant.id, now + _EVERY)
        if not report.is_empty:
            self.wrote(tenant)
        return True

    async def carry_out(
        self, tenant: Tenant, now: datetime, *, author: Author | None = None, dry_run: bool = False
    ) -> Report:
        """Carries out all of a tenant's retention times as of now; with `dry_run`, only says what is due."""
        async with self.database.inside(tenant.scope, readonly=True) as db:
            times = orjson.loads(await find_setting(db, "retention") or b"{}")
        by = author or Author(SYSTEM)
        report = Report()
        for form, days in sorted((times.get("forms") or {}).items()):
            await self._erase_unchanged(tenant, form, days, now, by, report, dry_run=dry_run)
        before = (_before(now, times.get("quarantineDays")), _before(now, times.get("deviceAuditDays")))
        await self._forget_old(tenant, before, report, dry_run=dry_run)
        if not (dry_run or report.is_empty):
            async with self.database.shared() as db:
                await record(db, by, CARRIED_OUT, tenant.subject, tenant=tenant, details=_told(report))
        return report

    async def _erase_unchanged(
        self, tenant: Tenant, form: str, days: int, now: datetime, by: Author, report: Report, *, dry_run: bool
    ) -> None:
        before = now - timedelta(days=days)
        async for persons in self._unchanged(tenant, form, before):
            if dry_run:
                report.persons[form] += len(persons)
                continue
            order = Order(
                tenant,
                persons,
                f"not changed for {days} days",
                by,
                now,
                self.follow,
                recheck=partial(_still_due, before=before),
            )
            async with self.database.inside(tenant.scope) as db:
                erased = await erase(db, order)
                await record_erasure(db, order, erased)
            report.persons[form] += len(erased.persons)
            await self._keep_claim(tenant, now)

    async def _unchanged(self, tenant: Tenant, form: str, before: datetime) -> AsyncIterator[Sequence[str]]:
        after = ""
        while True:
            async with self.database.inside(tenant.scope, readonly=True) as db:
                after, due = await queries.list_unchanged(db, form, before, after, _LOOKED_AT)
            for start in range(0, len(due), _TOGETHER):
                yield due[start : start + _TOGETHER]
            if not after:
                return

    async def _forget_old(
        self, tenant: Tenant, before: tuple[datetime | None, datetime | None], report: Report, *, dry_run: bool
    ) -> None:
        if not any(before):
            return
        if dry_run:
            async with self.database.inside(tenant.scope, readonly=True) as db:
                due = await queries.count_old(db, *before)
            report.quarantine, report.device_audit = due["quarantine"], due["audit_log"]
            return
        while True:
            async with self.database.inside(tenant.scope) as db:
                gone = await queries.forget_old(db, *before, _OLD)
            report.quarantine += gone["quarantine"]
            report.device_audit += gone["audit_log"]
            if max(gone["quarantine"], gone["audit_log"]) < _OLD:
                return

    async def _keep_claim(self, tenant: Tenant, now: datetime) -> None:
        async with self.database.shared() as db:
            await queries.set_due(db, tenant.id, max(now, utc_now()) + _CLAIM)


async def _still_due(db: Any, persons: Sequence[str], *, before: datetime) -> set[str]:
    return await queries.list_due(db, persons, before)


def _before(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)


def _told(report: Report) -> dict[str, Any]:
    return {
        "persons": dict(report.persons),
        "quarantine": report.quarantine,
        "deviceAudit": report.device_audit,
    }
