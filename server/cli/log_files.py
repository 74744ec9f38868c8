"""`croft tenants export` and `offer`: a copy of a tenant's log in a file, and giving back what the log has lost."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from server.audit import COMMAND_LINE, Author, record
from server.cli.context import FAILED, Installation, complain, open_installation, tell
from server.cli.tenants import Id
from server.conflicts.finding import note_conflicts
from server.sync.intake import Refusal
from server.sync.log_copies.offering import Log, Offered, offer
from server.sync.log_copies.reading import DEVICE, Terms, read_lines
from server.sync.log_copies.writing import copy_log
from server.sync.push import Source
from server.tenants import lifecycle
from server.tenants.model import Tenant

_NO_TIMEOUT: Final = 0.0
_MOST_SHOWN: Final = 20
_LONGEST: Final = 160


def export_log(tenant_id: Id) -> None:
    """Write a tenant's log to standard output: a line of JSON for each event, as devices pull it.

    `croft tenants offer` gives a log back from it what it has lost. The last line says `"more":false`; without it the
    copy is not whole. It holds everything that was ever recorded: keep it as safe as the database. That it was exported
    is recorded.
    """
    asyncio.run(_export(tenant_id))


def offer_log(
    tenant_id: Id,
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(help="What export wrote, or a device pulled as NDJSON; - reads standard input."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of it, and write nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the lines that could not be taken into this file, a line of JSON each.")
    ] = None,
) -> None:
    """Give back to a tenant's log, from a copy of it, the events that it has lost.

    Those that it has are passed over. The others are taken with the account, the device and the time that the copy
    says, so offer only a copy that was in safe hands. Running it again is harmless. The exit code is 1 where a line was
    refused.
    """
    asyncio.run(_offer(tenant_id, file, dry_run, report))


async def _export(name: str) -> None:
    output = typer.get_binary_stream("stdout")
    async with open_installation() as installation:
        tenant = await _find(installation, name)
        async with installation.database.shared() as db:
            await record(db, Author(COMMAND_LINE), "tenant.log-exported", tenant.subject, tenant=tenant)
        reading = partial(installation.database.inside, tenant.scope, readonly=True, patience=_NO_TIMEOUT)
        with _progress("Events") as show:
            async for lines, done, total in copy_log(reading):
                output.write(lines)
                show(done, total)
            output.flush()


async def _find(installation: Installation, name: str) -> Tenant:
    async with installation.database.shared(readonly=True) as db:
        return await lifecycle.get_tenant(db, name)


async def _offer(name: str, file: BinaryIO, dry_run: bool, report: Path | None) -> None:
    async with open_installation() as installation:
        tenant = await _find(installation, name)
        author = Author(COMMAND_LINE)
        tolerance = timedelta(seconds=installation.settings.clock_tolerance_seconds)
        terms = Terms(Source(author.account, DEVICE, author.at), tolerance)
        inside = partial(installation.database.inside, tenant.scope, patience=_NO_TIMEOUT)
        log = Log(partial(inside, readonly=True), None if dry_run else inside, note_conflicts)
        if not dry_run:
            async with installation.database.shared() as db:
                details = {"file": _name(file)}
                await record(db, author, "tenant.log-offered", tenant.subject, tenant=tenant, details=details)
        offered, size = Offered(), _size(file)
        with _refused(report) as refuse, _progress("Bytes") as show:
            async for offered in offer(log, read_lines(file, terms), terms, refuse):
                show(offered.bytes, size)
        _tell(offered, dry_run=dry_run)
    if offered.refused:
        raise typer.Exit(FAILED)


def _name(file: BinaryIO) -> str:
    return "standard input" if file is typer.get_binary_stream("stdin") else file.name


def _size(file: BinaryIO) -> int | None:
    """How many bytes there are to read; None where that is not known, as of a pipe."""
    try:
        return os.fstat(file.fileno()).st_size or None
    except OSError:
        return None


@contextmanager
def _refused(report: Path | None) -> Iterator[Callable[[int, Refusal], None]]:
    """Tells of the first lines that could not be taken, and writes all of them into the report, the owner's alone."""
    told = 0
    file = None if report is None else os.fdopen(os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def refuse(number: int, refusal: Refusal) -> None:
        nonlocal told
        told += 1
        if told <= _MOST_SHOWN:
            said = ": ".join(part for part in (refusal.path, refusal.detail) if part)
            complain(f"Line {number} {refusal.guid} – {refusal.code}: {said}"[:_LONGEST])
        if file is not None:
            entry = {"line": number, "guid": refusal.guid, "code": refusal.code, "path": refusal.path}
            file.write(orjson.dumps({**entry, "detail": refusal.detail}) + b"\n")

    try:
        yield refuse
    finally:
        if file is not None:
            file.close()
        if told > _MOST_SHOWN:
            complain(
                f"and {told - _MOST_SHOWN} more{'' if report else '; with --report FILE all are written to a file'}"
            )


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A line on standard error that grows with what is done; none where nobody looks, or events are written there."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    is_seen = sys.stderr.isatty() and not (what == "Events" and sys.stdout.isatty())
    with Progress(*columns, console=Console(stderr=True), disable=not is_seen, transient=True) as line:
        task = line.add_task(what, total=None)
        yield lambda done, total: line.update(task, completed=done, total=total)


def _tell(offered: Offered, *, dry_run: bool) -> None:
    taken = "would be taken" if dry_run else "taken"
    tell(
        f"{'Dry run: nothing was written. ' if dry_run else ''}{offered.events} events were offered.",
        f"  {offered.known} known",
        f"  {offered.taken} {taken}{_effects(offered)}",
        f"  {offered.refused} refused",
    )
    if not offered.is_whole:
        tell("The copy does not end as a whole one does: it may lack later events.")


def _effects(offered: Offered) -> str:
    told = [f"{offered.waiting} of them wait for their record"] if offered.waiting else []
    told += [f"{offered.without_effect} are without effect"] if offered.without_effect else []
    return f" ({', '.join(told)})" if told else ""
