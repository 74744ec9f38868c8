"""`croft tenants …`: what operators do with tenants at the command line."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import asyncpg
import typer

from server.audit import COMMAND_LINE, Author, record
from server.cli.context import FAILED, Installation, complain, failures_told, open_installation, tell
from server.cli.tables import tell_table
from server.db import Connection
from server.db.scope import scoped
from server.duplicates.finding import load_and_find_pairs, rescan
from server.duplicates.queries import lock_progress
from server.kit.clock import iso_ms, utc_now
from server.kit.problem import Problem
from server.kit.strict_json import read_json
from server.logs import escape_controls
from server.sync.epoch import begin_epoch
from server.sync.rebuilding import RebuildReport, rebuild
from server.tenants import lifecycle, queries
from server.tenants.counting import with_counts
from server.tenants.guarding.model import Security, SecurityChange
from server.tenants.guarding.security import change_security
from server.tenants.model import ACTIVE, DELETED, SUSPENDED, Tenant
from server.tenants.uploading import apply_config
from server.tenants.versioning import lock_living

T = TypeVar("T")

_UNLIMITED = 1_000_000
_NO_TIMEOUT = 0.0
_MOST_SHOWN = 20

tenants_app = typer.Typer(help="List, create, change and remove tenants.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The tenant's config id or number.")]


class State(StrEnum):
    """Which tenants to list."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"
    ALL = "all"


@tenants_app.command("list")
def list_tenants(
    state: Annotated[State | None, typer.Option(help="Only these; without it, all but deleted ones.")] = None,
    search: Annotated[str, typer.Option(help="A part of the name, id or version.")] = "",
) -> None:
    """List tenants."""
    states = {None: (ACTIVE, SUSPENDED), State.ALL: (ACTIVE, SUSPENDED, DELETED)}.get(state, (str(state),))

    async def work(db: Connection, _: Author) -> list[Tenant]:
        found = await queries.list_tenants(
            db, states, None, search, sort_by="id", descending=False, limit=_UNLIMITED, offset=0
        )
        return await with_counts(db, found)

    rows = [("ID", "NUMBER", "NAME", "VERSION", "STATE", "ENTITIES")]
    rows += [
        (each.config_id, str(each.id), each.name, each.version, each.state, str(each.entities_count))
        for each in _in_shared(work)
    ]
    tell_table(rows)


@tenants_app.command()
def show(tenant_id: Id) -> None:
    """Show one tenant."""

    async def work(db: Connection, _: Author) -> list[Tenant]:
        return await with_counts(db, [await lifecycle.get_tenant(db, tenant_id)])

    [tenant] = _in_shared(work)
    _tell_tenant(tenant)


@tenants_app.command()
def apply(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="An app config in JSON; - reads standard input.")],
) -> None:
    """Create the tenant of an app config, or upload it as the next version of the tenant that has its id."""
    with failures_told():
        document = _read(file)
    asyncio.run(_apply(document))


@tenants_app.command()
def suspend(tenant_id: Id) -> None:
    """Keep everybody but operators out of a tenant until it is resumed."""
    tenant = _in_shared(lambda db, author: lifecycle.suspend(db, tenant_id, author))
    tell(f"Tenant {tenant.config_id} is suspended.")


@tenants_app.command()
def resume(tenant_id: Id) -> None:
    """End a tenant's suspension."""
    tenant = _in_shared(lambda db, author: lifecycle.resume(db, tenant_id, author))
    tell(f"Tenant {tenant.config_id} is active.")


@tenants_app.command()
def delete(tenant_id: Id) -> None:
    """Hide a tenant and end its memberships; its data is kept, and can be restored, until it is purged."""

    async def work(db: Connection, author: Author) -> Tenant:
        return await lifecycle.delete(db, (await lifecycle.get_tenant(db, tenant_id)).id, author)

    tenant = _in_shared(work)
    tell(f"Tenant {tenant.config_id} is deleted. Its number, for restore and purge, is {tenant.id}.")


@tenants_app.command()
def restore(
    tenant_id: Id,
    new_id: Annotated[str | None, typer.Option("--as", help="Another config id, where its own is taken.")] = None,
) -> None:
    """Bring a deleted tenant back. Its memberships ended when it was deleted and have to be given anew."""
    asyncio.run(_restore(tenant_id, new_id))


@tenants_app.command()
def purge(
    tenant_id: Annotated[str | None, typer.Argument(help="A deleted tenant; without it, all that are due.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait until the retention time is over.")] = False,
) -> None:
    """Destroy the data of deleted tenants whose retention time (RETENTION_DAYS) is over. Nothing brings it back."""
    if now and tenant_id is None:
        complain("Say which tenant to purge before its time.")
        raise typer.Exit(FAILED)
    asyncio.run(_purge(tenant_id, now))


@tenants_app.command()
def security(
    tenant_id: Id,
    offline_days: Annotated[
        int | None, typer.Option(min=0, max=366, help="How long phones may be away; 0 is what the installation says.")
    ] = None,
    second_factor: Annotated[
        bool | None, typer.Option("--second-factor/--no-second-factor", help="Whether everybody has to show one.")
    ] = None,
    guarded: Annotated[
        bool | None, typer.Option("--guarded/--no-guarded", help="Whether operators need a grant to see the data.")
    ] = None,
) -> None:
    """Show what a tenant asks for beyond the ordinary, and change what is given, also where the tenant is guarded."""
    given = {"offlineDays": offline_days or None} if offline_days is not None else {}
    given |= {"secondFactorRequired": second_factor} if second_factor is not None else {}
    given |= {"guarded": guarded} if guarded is not None else {}
    change = SecurityChange.model_validate(given)

    async def work(db: Connection, author: Author) -> Security:
        tenant = await lock_living(db, (await lifecycle.get_tenant(db, tenant_id)).id)
        return await change_security(db, tenant, change, author)

    after = _in_shared(work)
    tell(
        f"Offline period  {f'{after.offlineDays} days' if after.offlineDays else 'that of the installation'}",
        f"Second factor   {'required' if after.secondFactorRequired else 'not required'}",
        f"Guarded         {'yes' if after.guarded else 'no'}",
    )


@tenants_app.command("rebuild")
def rebuild_tenant(tenant_id: Id) -> None:
    """Compute a tenant's entities anew from its log of events. Pushes wait meanwhile."""
    asyncio.run(_rebuild(tenant_id))


@tenants_app.command("new-epoch")
def new_epoch(
    tenant_id: Annotated[str | None, typer.Argument(help="The tenant's config id or number.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every tenant, suspended and deleted ones too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Answer every phone of a tenant from the start, as is needed after its data was restored from a copy.

    A server that finds itself in another database does so by itself. It cannot see that the files of the same database
    were put back, or one tenant's schema.
    """
    if every == (tenant_id is not None):
        complain("Name a tenant, or give --all.")
        raise typer.Exit(FAILED)
    asyncio.run(_new_epoch(tenant_id, yes))


def _read(file: typer.FileBinaryRead) -> Any:
    try:
        return read_json(file.read().removeprefix(BOM_UTF8))
    except Problem as problem:
        name = "The standard input" if file is typer.get_binary_stream("stdin") else file.name
        raise Problem(problem.status, problem.code, f"{name} {problem.detail.removeprefix('The body ')}") from None


async def _restore(name: str, new_id: str | None) -> None:
    async with open_installation() as installation:
        async with installation.database.shared() as db:
            tenant = await lifecycle.restore(db, name, new_id, _author(), load_and_find_pairs, installation.keyring)
        tell(f"Tenant {tenant.config_id} is active.")


async def _apply(document: Any) -> None:
    async with open_installation() as installation:
        async with installation.database.shared() as db:
            applied = await apply_config(db, document, _author(), load_and_find_pairs, installation.keyring)
        tenant = applied.tenant
        done = "created" if applied.created else f"has version {tenant.config_number} of its config"
        base = (installation.settings.public_base_url or "").rstrip("/")
        tell(
            f"Tenant {tenant.config_id} {done}.",
            f"  Number    {tenant.id}",
            f"  Artifact  {base}{_artifact_path(tenant)}",
        )


async def _purge(name: str | None, now: bool) -> None:
    async with open_installation() as installation:
        retention = timedelta(days=installation.settings.retention_days)
        author = _author()
        async with installation.database.shared() as db:
            due = (
                await queries.list_deleted_before(db, author.at - retention)
                if name is None
                else [await lifecycle.get_deleted_tenant(db, name)]
            )
        if now:
            _confirm(due[0])
            retention = timedelta()
        for tenant in due:
            await _purge_one(installation, tenant, retention, author)
        if not due:
            tell("No deleted tenant's retention time is over.")


async def _purge_one(installation: Installation, tenant: Tenant, retention: timedelta, author: Author) -> None:
    async with installation.database.shared(patience=_NO_TIMEOUT) as db:
        await lifecycle.purge(db, tenant.id, retention, author)
    tell(f"Tenant {tenant.config_id} (number {tenant.id}) is purged.")


def _confirm(tenant: Tenant) -> None:
    question = f"This destroys all data of {tenant.config_id} ({tenant.name}). Type its id to go on"
    _expect_typed(question, tenant.config_id, "That is another id. Nothing was purged.")


def _expect_typed(question: str, wanted: str, refusal: str) -> None:
    if typer.prompt(escape_controls(question), err=True) != wanted:
        complain(refusal)
        raise typer.Exit(FAILED)


async def _rebuild(name: str) -> None:
    async with open_installation() as installation:
        async with installation.database.shared() as db:
            tenant = await lifecycle.get_tenant(db, name)
        async with installation.database.inside(tenant.scope, patience=_NO_TIMEOUT) as db:
            # In the order of those who push and look for pairs: first the progress, then the head.
            await lock_progress(db)
            report = await rebuild(db)
            if report.differing:
                # What stands for an entity may have other keys, and so other likely duplicates.
                await rescan(db, utc_now())
            details = {"events": report.events, "differing": len(report.differing)}
            await record(db, _author(), "tenant.rebuilt", tenant.subject, tenant=tenant, details=details)
        _tell_rebuilt(report)


def _tell_rebuilt(report: RebuildReport) -> None:
    tell(f"Folded {report.events} events into {report.entities} entities; {len(report.differing)} stood otherwise.")
    if not report.differing:
        return
    tell(*(f"  {guid}" for guid in report.differing[:_MOST_SHOWN]))
    if (more := len(report.differing) - _MOST_SHOWN) > 0:
        tell(f"  and {more} more")
    tell("Phones are answered from the start at their next sync.")


async def _new_epoch(name: str | None, yes: bool) -> None:
    async with open_installation() as installation:
        async with installation.database.shared(readonly=True) as db:
            tenants = await _list_all(db) if name is None else [await lifecycle.get_tenant(db, name)]
        if not yes:
            _confirm_new_epoch(tenants, name)
        failed = [each for each in tenants if not await _begin_epoch(installation, each)]
        if failed:
            raise typer.Exit(FAILED)


def _confirm_new_epoch(tenants: list[Tenant], name: str | None) -> None:
    word = "all" if name is None else tenants[0].config_id
    whose = f"all {len(tenants)} tenants" if name is None else f"{word} ({tenants[0].name})"
    question = f"Every phone of {whose} is answered from the start at its next sync. Type {word} to go on"
    _expect_typed(question, word, "Nothing was changed.")


async def _begin_epoch(installation: Installation, tenant: Tenant) -> bool:
    try:
        async with installation.database.shared() as db:
            async with scoped(db, tenant.scope):
                await begin_epoch(db)
            await record(db, _author(), "tenant.epoch-begun", tenant.subject, tenant=tenant)
    except asyncpg.PostgresError as error:
        complain(f"Tenant {tenant.config_id} (number {tenant.id}) has no new epoch: {error}")
        return False
    tell(f"Tenant {tenant.config_id} (number {tenant.id}) begins a new epoch.")
    return True


async def _list_all(db: Connection) -> list[Tenant]:
    states = (ACTIVE, SUSPENDED, DELETED)
    return await queries.list_tenants(db, states, None, "", sort_by="id", descending=False, limit=_UNLIMITED, offset=0)


def _in_shared(work: Callable[[Connection, Author], Awaitable[T]]) -> T:
    """Runs work in one transaction on the shared schema of the installation."""

    async def run() -> T:
        async with open_installation() as installation, installation.database.shared() as db:
            return await work(db, _author())

    return asyncio.run(run())


def _author() -> Author:
    return Author(COMMAND_LINE)


def _artifact_path(tenant: Tenant) -> str:
    return f"/artifacts/{tenant.artifact_id}.json"


def _tell_tenant(tenant: Tenant) -> None:
    deleted = [("Deleted", iso_ms(tenant.deleted_at))] if tenant.deleted_at else []
    for label, value in [
        ("Id", tenant.config_id),
        ("Number", tenant.id),
        ("Name", tenant.name),
        ("Description", tenant.description),
        ("Version", tenant.version),
        ("State", tenant.state),
        ("Entities", tenant.entities_count),
        ("Config uploads", tenant.config_number),
        ("Artifact", _artifact_path(tenant)),
        ("Schema", tenant.schema),
        ("Schema version", tenant.schema_version),
        ("Created", iso_ms(tenant.created_at)),
        *deleted,
    ]:
        tell(f"{label:16}{value}")
