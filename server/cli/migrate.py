"""`croft migrate`."""

import asyncio
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.cli.context import FAILED, complain, open_installation, tell
from server.starting import install_shared_schema
from server.tenants.migrating import MigrationReport, migrate_tenants
from server.tenants.migrating import Progress as Step


def migrate(
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many tenants to migrate at a time.")] = 4,
    lock_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a lock of a tenant in use.")] = 10.0,
) -> None:
    """Bring the shared schema and then every tenant's schema up to date.

    Each tenant is migrated by itself: one that fails keeps its old tables, is named at the end, and does not stop the
    others; the exit code is 1 then. Running it again goes on with what is left.
    """
    report = asyncio.run(_migrate(parallel, lock_timeout))
    for failure in report.failures:
        complain(f"  {failure.config_id} (number {failure.tenant_id}): {failure.error}")
    if report.failures:
        raise typer.Exit(FAILED)


async def _migrate(parallel: int, lock_timeout: float) -> MigrationReport:
    async with open_installation() as installation:
        done = await install_shared_schema(installation.addresses)
        tell(f"Shared schema: {_counted(len(done), 'migration')} run." if done else "Shared schema: up to date.")
        with _ProgressLine() as line:
            report = await migrate_tenants(
                installation.addresses.direct, parallel=parallel, progress=line.show, lock_timeout=lock_timeout
            )
        tell(_summary(report))
        return report


class _ProgressLine:
    """A line on standard error that grows with the tenants that are through; none where there are none."""

    def __init__(self) -> None:
        self._line = Progress(
            TextColumn("Tenants"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._line.live.is_started:
            self._line.stop()

    def show(self, step: Step) -> None:
        if not self._line.live.is_started:
            self._line.add_task("Tenants", total=step.total)
            self._line.start()
        self._line.update(self._line.task_ids[0], completed=step.done)


def _summary(report: MigrationReport) -> str:
    if not report.migrated and not report.failures:
        return "Tenants: up to date."
    failed = f", {len(report.failures)} failed:" if report.failures else "."
    return f"Tenants: {len(report.migrated)} migrated{failed}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
