"""`croft import …`: taking over what another server has collected."""

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from server.cli.context import FAILED, complain, open_installation, tell
from server.cli.tables import tell_table
from server.kit.problem import Problem
from server.kit.strict_json import read_json
from server.logs import escape_controls
from server.moving_in.datacollect.accounts import Access
from server.moving_in.datacollect.one_tenant import Progress, Wishes
from server.moving_in.datacollect.reading import SourceError, open_source
from server.moving_in.datacollect.report import Finding, Group, Heading, Report
from server.moving_in.datacollect.taking_over import Outcome, take_over

import_app = typer.Typer(help="Take over what another server has collected.", no_args_is_help=True)

_COLUMNS = (
    ("EVENTS", "events"),
    ("KNOWN", "known"),
    ("REFUSED", "refused"),
    ("RECORDS", "records"),
    ("MADE", "made"),
    ("DIFFERENT", "differing"),
    ("PAIRS", "pairs"),
    ("AUDIT LOG", "entries"),
)
_HEADINGS = {
    Heading.REFUSED: "Could not be taken over:",
    Heading.CHANGED: "Is here otherwise than there:",
    Heading.DIFFERS: "Records that are not the same on both servers (the log of events is the truth):",
    Heading.NOTED: "To know:",
}
_LONGEST = 160
_LONGEST_ROW = 60
_GO_ON = "What was taken over until then stays. Run the same command again to go on."


@import_app.callback()
def _imports() -> None:
    pass


@import_app.command()
def datacollect(
    dsn: Annotated[
        str,
        typer.Argument(
            metavar="DSN",
            envvar="DATACOLLECT_DSN",
            show_envvar=True,
            help="Its database: postgresql://LOGIN:PASSWORD@HOST:PORT/DATABASE. In the environment variable the "
            "password is not seen in the list of processes.",
        ),
    ],
    tenant: Annotated[list[str] | None, typer.Option(help="Only this tenant; may be given more than once.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, say what would become of it, and write nothing.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write everything that there is to tell into this file, a line of JSON each.")
    ] = None,
    access: Annotated[
        Access,
        typer.Option(
            help="Where that server lets every USER into every tenant: member of all that are taken over, of those "
            "in which events of his are seen, or of none."
        ),
    ] = Access.ALL,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            help="E-mail address of an ADMIN there who shall be an operator here; may be given more than once."
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            help="A corrected app config to take instead of the one with its id; may be given more than once."
        ),
    ] = None,
) -> None:
    """Take over a running ID PASS DataCollect server from its PostgreSQL database.

    Reads it in one transaction that cannot write. Tenants keep their ids and artifact ids, events their guids, accounts
    their passwords; ADMIN becomes administrator of the tenants taken over, not operator. Running it again takes what is
    new since, and goes on where a run was broken off. The exit code is 1 where a tenant was refused.
    """
    documents = dict(map(_read_config, config or []))
    try:
        outcome = asyncio.run(
            _datacollect(
                dsn, tuple(tenant or ()), dry_run, report, access, frozenset(map(str.lower, operator or ())), documents
            )
        )
    except KeyboardInterrupt:
        complain("Stopped. Run the same command again to go on.")
        raise typer.Exit(FAILED) from None
    if outcome.refused:
        raise typer.Exit(FAILED)


async def _datacollect(
    dsn: str,
    tenants: tuple[str, ...],
    dry_run: bool,
    file: Path | None,
    access: Access,
    operators: frozenset[str],
    configs: dict[str, Any],
) -> Outcome:
    async with open_installation() as installation:
        tolerance = timedelta(seconds=installation.settings.clock_tolerance_seconds)
        wishes = Wishes(tenants, operators, access, configs, tolerance, installation.keyring, dry_run)
        has_begun = False
        try:
            async with open_source(dsn) as source:
                with _report_to(file) as report, _progress() as progress:
                    has_begun = True
                    outcome = await take_over(source, installation.database, wishes, report, progress)
        except SourceError as error:
            complain(str(error), *([_GO_ON] if has_begun else []))
            raise typer.Exit(FAILED) from None
        _tell(source.place, outcome, report, dry_run=dry_run, file=file)
        return outcome


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        document = read_json(path.read_bytes())
    except (OSError, Problem) as error:
        complain(f"{path}: {error.detail if isinstance(error, Problem) else error.strerror}")
        raise typer.Exit(FAILED) from None
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        complain(f"{path} holds no app config with an id.")
        raise typer.Exit(FAILED)
    return document["id"], document


@contextmanager
def _report_to(path: Path | None) -> Iterator[Report]:
    """A report that is also written to the file, which nobody else may read: it names people's records."""
    if path is None:
        yield Report()
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        yield Report(file.write)


# What is seen while it lasts


class _Lines:
    """A line on standard error for each step, where nobody looks at a terminal."""

    def begin(self, tenant: str, step: str, total: int) -> None:
        complain(f"{tenant or 'all tenants'}: {step}{f' ({total})' if total else ''}")

    def advance(self, rows: int) -> None:
        pass


class _Bar:
    """A bar on standard error that shows how far the present step is."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, tenant: str, step: str, total: int) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        name = escape_controls(f"{tenant or 'all tenants'}: {step}")
        self._task = self._bars.add_task(name, total=total or None)

    def advance(self, rows: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, rows)


@contextmanager
def _progress() -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars)


# What is told at the end


def _tell(place: str, outcome: Outcome, report: Report, *, dry_run: bool, file: Path | None) -> None:
    tell(f"{'Dry run: nothing was written. ' if dry_run else ''}Read from {place}.")
    if outcome.taken:
        _tell_tenants(outcome, report, dry_run=dry_run)
    _tell_accounts(report, dry_run=dry_run)
    for heading, title in _HEADINGS.items():
        _tell_groups(title, report.groups(heading))
    if file is not None:
        tell("", f"Everything there is to tell: {file}")
    elif any(report.groups(heading) for heading in Heading):
        tell("", "With --report FILE all of it is written to a file.")


def _tell_tenants(outcome: Outcome, report: Report, *, dry_run: bool) -> None:
    shown = [(title, name) for title, name in _COLUMNS if not (dry_run and name in ("made", "differing"))]
    rows: list[tuple[str, ...]] = [("TENANT", "STATE", *(title for title, _ in shown))]
    for taken in outcome.taken:
        counts = report.counts[taken.source_id]
        state = "would be new" if not taken.tenant.id else taken.tenant.state
        rows.append((taken.source_id, state, *(str(counts[name]) for _, name in shown)))
    tell("")
    tell_table(rows)


def _tell_accounts(report: Report, *, dry_run: bool) -> None:
    made, known = report.counts[""]["accounts"], report.counts[""]["known accounts"]
    if dry_run:
        tell("", f"Accounts: {made} can be taken over.")
    elif made or known:
        tell("", f"Accounts: {made} made{f', {known} existed' if known else ''}.")


def _tell_groups(title: str, groups: Iterable[tuple[str, Group]]) -> None:
    for number, (reason, group) in enumerate(groups):
        if number == 0:
            tell("", title)
        tell(f"  {reason}: {group.count}")
        for finding in group.examples:
            tell(f"    {_line_of(finding)}")
        if group.count > len(group.examples):
            tell("    …")


def _line_of(finding: Finding) -> str:
    place = " ".join(part for part in (finding.tenant, finding.table, _cut(finding.row, _LONGEST_ROW)) if part)
    said = ": ".join(part for part in (finding.path, finding.detail) if part)
    return _cut(f"{place} – {said}" if said else place, _LONGEST)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
