"""Running an import in a test, and looking at what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from server.db import Database
from server.db.connection import Row
from server.moving_in.datacollect.accounts import Access
from server.moving_in.datacollect.one_tenant import Wishes
from server.moving_in.datacollect.reading import open_source
from server.moving_in.datacollect.report import Heading, Report
from server.moving_in.datacollect.taking_over import Outcome, take_over
from server.tenants.queries import find_live_tenant
from tests.conftest import KEYRING
from tests.server.moving_in.datacollect.reference import Reference

TOLERANCE = timedelta(minutes=15)


@dataclass
class Steps:
    """Hears of the progress; `on_rows` is called with the step and how many rows of it are done."""

    on_rows: Callable[[str, int], None] = lambda step, rows: None
    begun: list[tuple[str, str, int]] = field(default_factory=list)

    def begin(self, tenant: str, step: str, total: int) -> None:
        self.begun.append((tenant, step, total))

    def advance(self, rows: int) -> None:
        self.on_rows(self.begun[-1][1], rows)


@dataclass
class Moved:
    """What a run did."""

    outcome: Outcome
    report: Report
    lines: list[dict[str, Any]]

    def told(self, reason: str) -> list[dict[str, Any]]:
        """The findings with the reason."""
        return [line for line in self.lines if line["reason"] == reason]

    def reasons(self, heading: Heading) -> dict[str, int]:
        """How many findings there are of each reason."""
        return {reason: group.count for reason, group in self.report.groups(heading)}


async def move(reference: Reference, database: Database, steps: Steps | None = None, **wishes: Any) -> Moved:
    """Runs an import of everything, unless `wishes` say otherwise."""
    lines: list[dict[str, Any]] = []
    report = Report(lambda line: lines.append(orjson.loads(line)))
    wanted: dict[str, Any] = {"tenants": (), "operators": frozenset(), "access": Access.ALL, "configs": {}}
    async with open_source(reference.dsn) as source:
        asked = Wishes(tolerance=TOLERANCE, keyring=KEYRING, **(wanted | wishes))
        outcome = await take_over(source, database, asked, report, steps or Steps())
    return Moved(outcome, report, lines)


async def inside(database: Database, config_id: str, sql: str, *args: Any) -> list[Row]:
    """What a statement answers in the schema of the living tenant."""
    async with database.shared() as db:
        tenant = await find_live_tenant(db, config_id)
    assert tenant is not None
    async with database.inside(tenant.scope) as db:
        return await db.fetch(sql, *args)


async def head_of(database: Database, config_id: str) -> int:
    """How many events the tenant's log holds."""
    [row] = await inside(database, config_id, "SELECT head FROM sync_head")
    return int(row["head"])


async def records_of(database: Database, config_id: str) -> dict[str, Any]:
    """Everything that the log says of the entities that live, but for its numbers."""
    rows = await inside(
        database,
        config_id,
        "SELECT guid, type, name, data::text AS data, member_ids, version FROM entities WHERE state = 'live'",
    )
    return {
        row["guid"]: [row["type"], row["name"], orjson.loads(row["data"]), row["member_ids"], row["version"]]
        for row in rows
    }
