"""`croft audit …`: the logs of what was done, of each tenant and of the operators."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Annotated

import typer

from server.audit import COMMAND_LINE, Author, record, record_for_operators
from server.audit.chain import Verdict
from server.audit.chain import verify as verify_log
from server.audit.export import CSV, NDJSON, pieces
from server.audit.model import Media
from server.audit.queries import Log
from server.cli.context import FAILED, Installation, complain, open_installation, tell
from server.db.connection import Opening
from server.tenants import lifecycle, queries
from server.tenants.model import ACTIVE, DELETED, SUSPENDED, Tenant

FIRST_WITH_LOG = "0006.create-acts"
_NO_TIMEOUT = 0.0
_UNLIMITED = 1_000_000

audit_app = typer.Typer(help="Prove and export the logs of what was done.", no_args_is_help=True)

_Tenant = Annotated[
    str | None, typer.Argument(help="A tenant's config id or number; without it, the operators' log is meant.")
]


@audit_app.command()
def verify(
    tenant_id: _Tenant = None,
    every: Annotated[bool, typer.Option("--all", help="The operators' log and that of every tenant.")] = False,
    expect: Annotated[
        str | None, typer.Option(metavar="LINK", help="A link that an earlier run told: does the log still hold it?")
    ] = None,
) -> None:
    """Prove that no act in a log was changed, taken out or put in since it was recorded. Changes nothing.

    The exit code is 1 when anything is wrong; the number of the first bad act is told. Whoever can write everything in
    the database can make a log anew from the beginning: note down the link that is told, away from the database, and
    give it with --expect the next time. `croft tenants verify` proves the log of events.
    """
    if every and (tenant_id is not None or expect is not None):
        complain("With --all, name neither a tenant nor a link.")
        raise typer.Exit(FAILED)
    if not asyncio.run(_verify(tenant_id, every, None if expect is None else _link(expect))):
        raise typer.Exit(FAILED)


@audit_app.command()
def export(
    tenant_id: _Tenant = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV for a spreadsheet; a line of JSON each without it.")] = (
        False
    ),
) -> None:
    """Write a log of acts to standard output, the oldest act first. That it was exported is its last act."""
    asyncio.run(_export(tenant_id, CSV if as_csv else NDJSON))


async def _verify(name: str | None, every: bool, expect: bytes | None) -> bool:
    async with open_installation() as installation:
        tenants = await _tenants(installation, name, every)
        right = [await _verify_one(installation, each, expect) for each in tenants]
        if name is None:
            right.append(await _verify_one(installation, None, expect))
    return all(right)


async def _verify_one(installation: Installation, tenant: Tenant | None, expect: bytes | None) -> bool:
    whose = "The operators' log" if tenant is None else f"The log of {tenant.config_id} (number {tenant.id})"
    if tenant is not None and tenant.schema_version < FIRST_WITH_LOG:
        complain(f"{whose} is not there before `croft migrate` has run.")
        return False
    log, reading = _log_of(installation, tenant)
    return _tell(whose, await verify_log(reading, log, expect=expect), expect)


async def _tenants(installation: Installation, name: str | None, every: bool) -> list[Tenant]:
    async with installation.database.shared(readonly=True) as db:
        if every:
            return await queries.list_tenants(
                db, (ACTIVE, SUSPENDED, DELETED), None, "", sort_by="id", descending=False, limit=_UNLIMITED, offset=0
            )
        return [] if name is None else [await lifecycle.get_tenant(db, name)]


def _log_of(installation: Installation, tenant: Tenant | None) -> tuple[Log, Opening]:
    database = installation.database
    if tenant is None:
        return "operators", partial(database.shared, readonly=True, patience=_NO_TIMEOUT)
    return "tenant", partial(database.inside, tenant.scope, readonly=True, patience=_NO_TIMEOUT)


def _tell(whose: str, verdict: Verdict, expect: bytes | None) -> bool:
    if verdict.fault is None:
        tell(f"{whose} is whole: {verdict.acts} acts, {verdict.erased} of them with their details erased.")
    else:
        complain(f"{whose} is broken at act {verdict.broken_at}.", f"  {verdict.fault}")
    tell(f"  Link  {verdict.link.hex() or 'none yet'}")
    if expect is not None and verdict.expected is None:
        complain("It does not hold the link that was expected: it is not the log that it was then.")
        return False
    if verdict.expected is not None:
        tell(f"  It holds the expected link, at act {verdict.expected}.")
    return verdict.fault is None


def _link(given: str) -> bytes:
    try:
        link = bytes.fromhex(given)
    except ValueError:
        link = b""
    if len(link) != sha256().digest_size:
        complain("A link has 64 characters of 0-9 and a-f.")
        raise typer.Exit(FAILED)
    return link


async def _export(name: str | None, media: Media) -> None:
    output = typer.get_binary_stream("stdout")
    async with _recorded(name, media) as (log, reading):
        async for piece in pieces(reading, log, media):
            output.write(piece)
        output.flush()


@asynccontextmanager
async def _recorded(name: str | None, media: Media) -> AsyncIterator[tuple[Log, Opening]]:
    """The log that is meant, once it is on the record that it is exported."""
    async with open_installation() as installation:
        found = await _tenants(installation, name, every=False)
        tenant = found[0] if found else None
        details = {"format": media}
        async with installation.database.shared() as db:
            if tenant is None:
                await record_for_operators(db, Author(COMMAND_LINE), "audit.exported", "audit", details=details)
            else:
                await record(db, Author(COMMAND_LINE), "audit.exported", "audit", tenant=tenant, details=details)
        yield _log_of(installation, tenant)
