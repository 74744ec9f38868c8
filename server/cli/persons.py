"""`croft persons …`: erasing and exporting what is held about a person, and retention, at the command line."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from server.audit import COMMAND_LINE, Author, record
from server.cli.context import FAILED, Installation, complain, open_installation, tell
from server.conflicts.finding import note_conflicts
from server.db import Database
from server.kit.clock import iso_ms, utc_now
from server.persons import queries
from server.persons.api import EXPORTED, HAS_MEMBERS, known_person
from server.persons.erasure import Erased, Order, erase, record_erasure
from server.persons.export import Export
from server.persons.model import ErasurePreview
from server.persons.preview import preview
from server.persons.retention import Report, Retention
from server.tenants import lifecycle
from server.tenants.model import Tenant

_NO_TIMEOUT: Final = 0.0
_TOGETHER: Final = 100
_LONGEST_REASON: Final = 500
_WORDS: Final = {
    "otherEntities": "other records",
    "deviceAudit": "device audit",
    "duplicateKeys": "search keys",
    "externalIds": "external ids",
}
"""How names of counts are told where their own are for programs."""

persons_app = typer.Typer(help="Erase and export what is held about a person; retention.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The tenant's config id or number.")]


@persons_app.command("erase")
def erase_person(
    tenant_id: Id,
    guid: Annotated[str | None, typer.Argument(help="The person's guid.")] = None,
    reason: Annotated[str, typer.Option(help="Why. It is kept for good and should not name her.")] = "on request",
    again: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(help="What `erasures` wrote: erase all of these again, as after a backup was restored."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be met, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take everything that is held about a person away for good. Devices are told to delete her. Nothing undoes it.

    Running it again is harmless. Whatever is said of her later is emptied as it arrives.
    """
    if (guid is None) == (again is None):
        complain("Name a person, or give --again FILE.")
        raise typer.Exit(FAILED)
    if not 0 < len(reason) <= _LONGEST_REASON or "\0" in reason:
        complain(f"A reason has 1 to {_LONGEST_REASON} characters.")
        raise typer.Exit(FAILED)
    if again is not None:
        asyncio.run(_erase_again(tenant_id, _read(again), dry_run))
    elif guid is not None:
        asyncio.run(_erase(tenant_id, guid, reason, dry_run=dry_run, yes=yes))


@persons_app.command()
def erasures(tenant_id: Id) -> None:
    """Write who was erased in a tenant to standard output, a line of JSON each: guids, times and reasons.

    Keep it with the backups. One of these that was made before brings erased persons back: `erase --again` takes them
    away once more.
    """
    asyncio.run(_list_erasures(tenant_id))


@persons_app.command()
def export(
    tenant_id: Id,
    guid: Annotated[str, typer.Argument(help="The person's guid.")],
    file: Annotated[Path, typer.Argument(help="Where to write; the owner's eyes alone.")],
) -> None:
    """Write all that is held about a person into a file, as one JSON document. That it was done is recorded."""
    asyncio.run(_export(tenant_id, guid, file))


@persons_app.command()
def retention(
    tenant_id: Annotated[str | None, typer.Argument(help="A tenant's config id or number; without it, all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is due, and change nothing.")] = False,
) -> None:
    """Carry out tenants' retention times now, as the server does once a day by itself."""
    asyncio.run(_carry_out(tenant_id, dry_run))


# Erasing


async def _erase(name: str, guid: str, reason: str, *, dry_run: bool, yes: bool) -> None:
    async with open_installation() as installation:
        tenant = await _find(installation, name)
        async with installation.database.inside(tenant.scope, readonly=True, patience=_NO_TIMEOUT) as db:
            found = await preview(db, tenant, guid, await known_person(db, guid))
        _tell_preview(found)
        if dry_run:
            return
        if not yes and typer.prompt("Nothing brings this back. Type the guid to go on", err=True) != guid:
            complain("That is another guid. Nothing was erased.")
            raise typer.Exit(FAILED)
        erased = await _carry_out_erasure(installation.database, tenant, [guid], reason)
        if erased.passed_over:
            raise HAS_MEMBERS()
        _tell_erased(erased)


async def _carry_out_erasure(database: Database, tenant: Tenant, persons: list[str], reason: str) -> Erased:
    at = utc_now()
    order = Order(tenant, persons, reason, Author(COMMAND_LINE, at=at), at, note_conflicts)
    async with database.inside(tenant.scope, patience=_NO_TIMEOUT) as db:
        erased = await erase(db, order)
        await record_erasure(db, order, erased)
    return erased


async def _erase_again(name: str, told: list[dict[str, str]], dry_run: bool) -> None:
    async with open_installation() as installation:
        tenant = await _find(installation, name)
        async with installation.database.inside(tenant.scope, readonly=True) as db:
            known = {row["guid"] for row in await queries.list_erasures(db)}
        fresh = sum(each["guid"] not in known for each in told)
        tell(f"{len(told)} persons, of whom this database does not know {fresh} to be erased.")
        total = Erased()
        for reason in () if dry_run else dict.fromkeys(each["reason"] for each in told):
            persons = list(dict.fromkeys(each["guid"] for each in told if each["reason"] == reason))
            for start in range(0, len(persons), _TOGETHER):
                some = persons[start : start + _TOGETHER]
                erased = await _carry_out_erasure(installation.database, tenant, some, reason)
                total.persons += erased.persons
                total.passed_over += erased.passed_over
                total.counts += erased.counts
        if not dry_run:
            _tell_erased(total)
    if total.passed_over:
        complain("These groups have living members, and were left as they are:", *total.passed_over)
        raise typer.Exit(FAILED)


def _read(file: typer.FileBinaryRead) -> list[dict[str, str]]:
    told = []
    for number, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            entry = orjson.loads(line)
            told.append({"guid": _text(entry["guid"]), "reason": _text(entry["reason"])[:_LONGEST_REASON]})
        except (ValueError, KeyError, TypeError):
            complain(f"Line {number} is none that `croft persons erasures` wrote. Nothing was erased.")
            raise typer.Exit(FAILED) from None
    return told


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return value


async def _list_erasures(name: str) -> None:
    output = typer.get_binary_stream("stdout")
    async with open_installation() as installation:
        tenant = await _find(installation, name)
        async with installation.database.inside(tenant.scope, readonly=True, patience=_NO_TIMEOUT) as db:
            rows = await queries.list_erasures(db)
        for row in rows:
            told = {"guid": row["guid"], "at": iso_ms(row["at"]), "by": row["by"], "reason": row["reason"]}
            output.write(orjson.dumps(told) + b"\n")
        output.flush()


def _tell_preview(found: ErasurePreview) -> None:
    tell(f"{found.guid} ({found.form or found.type}, {found.state})")
    if found.erased is not None:
        tell(f"  {'erased':14}{found.erased.at}")
    if found.members:
        tell(f"  {'members':14}{found.members} living, who would be deleted with it")
    for name, number in found.found.items():
        tell(f"  {_WORDS.get(name, name):14}{number}")
    for group in found.groups:
        tell(f"  Spoken of by the {group.type} {group.guid}")


def _tell_erased(erased: Erased) -> None:
    emptied = ", ".join(
        f"{number} {_WORDS.get(name, name)}" for name, number in sorted(erased.counts.items()) if number
    )
    tell(f"{len(erased.persons)} erased. Emptied: {emptied or 'nothing more'}.")


# Exporting


async def _export(name: str, guid: str, file: Path) -> None:
    async with open_installation() as installation:
        tenant = await _find(installation, name)

        def reading() -> Any:
            return installation.database.inside(tenant.scope, readonly=True, patience=_NO_TIMEOUT)

        async with installation.database.inside(tenant.scope) as db:
            await known_person(db, guid)
            await record(db, Author(COMMAND_LINE), EXPORTED, f"person:{guid}", tenant=tenant)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            async for piece in Export(tenant, guid, utc_now(), reading).pieces():
                output.write(piece)
        tell(f"All that is held about {guid} is in {file}.")


# Retention


async def _carry_out(name: str | None, dry_run: bool) -> None:
    async with open_installation() as installation:
        async with installation.database.shared(readonly=True) as db:
            tenants = await queries.list_with_retention(db) if name is None else [await lifecycle.get_tenant(db, name)]
        job = Retention(installation.database, note_conflicts)
        for tenant in tenants:
            report = await job.carry_out(tenant, utc_now(), author=Author(COMMAND_LINE), dry_run=dry_run)
            _tell_report(tenant, report, dry_run=dry_run)
        if not tenants:
            tell("No tenant has retention times.")


def _tell_report(tenant: Tenant, report: Report, *, dry_run: bool) -> None:
    erased, deleted = ("are due", "are due") if dry_run else ("erased", "deleted")
    tell(f"Tenant {tenant.config_id} (number {tenant.id}):")
    if report.is_empty:
        tell("  nothing is due")
        return
    tell(*(f"  {number} of {form} {erased}" for form, number in sorted(report.persons.items()) if number))
    tell(f"  {report.quarantine} entries of the quarantine and {report.device_audit} of the audit log {deleted}")


async def _find(installation: Installation, name: str) -> Tenant:
    async with installation.database.shared(readonly=True) as db:
        return await lifecycle.get_tenant(db, name)
