"""`croft tenants verify`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.cli.context import FAILED, complain, open_installation, tell
from server.cli.tenants import Id
from server.kit.clock import iso_ms
from server.sync.verification.chain import HeldReceipt, Verdict, verify_chain
from server.sync.verification.replay import Replay, replay
from server.tenants import lifecycle

_NO_TIMEOUT = 0.0
_MOST_SHOWN = 20


def verify(
    tenant_id: Id,
    again: Annotated[
        bool, typer.Option("--replay", help="Also fold the log anew, in memory, and compare with what stands.")
    ] = False,
    receipt: Annotated[
        str | None, typer.Option(metavar="HASH", help="The hash of a device's receipt: does the log hold that push?")
    ] = None,
) -> None:
    """Prove that nothing in a tenant's log was changed, taken out or put in since it was taken. Changes nothing.

    The exit code is 1 when anything is wrong; the first bad place is named. Note down the link that it tells: a log
    that somebody made anew from the beginning lacks that link, and those of the devices' receipts.
    """
    asyncio.run(_verify(tenant_id, again, None if receipt is None else _link(receipt)))


def _link(receipt: str) -> bytes:
    try:
        link = bytes.fromhex(receipt)
    except ValueError:
        link = b""
    if len(link) != sha256().digest_size:
        complain("A receipt's hash has 64 characters of 0-9 and a-f.")
        raise typer.Exit(FAILED)
    return link


async def _verify(name: str, again: bool, receipt: bytes | None) -> None:
    async with open_installation() as installation:
        async with installation.database.shared(readonly=True) as db:
            tenant = await lifecycle.get_tenant(db, name)
        reading = partial(installation.database.inside, tenant.scope, readonly=True, patience=_NO_TIMEOUT)
        with _verifying() as progress:
            verdict = await verify_chain(reading, receipt=receipt, progress=progress)
        is_right = _tell_verdict(verdict, receipt)
        if again:
            async with reading() as db:
                is_right = _tell_replay(await replay(db)) and is_right
    if not is_right:
        raise typer.Exit(FAILED)


@contextmanager
def _verifying() -> Iterator[Callable[[int, int], None]]:
    """A line on standard error that grows with the events that are verified; none where that is no terminal."""
    columns = (TextColumn("Events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as line:
        task = line.add_task("Events", total=None)
        yield lambda done, total: line.update(task, completed=done, total=total)


def _tell_verdict(verdict: Verdict, receipt: bytes | None) -> bool:
    if verdict.fault is None:
        tell("The log is whole: every event is what was pushed, where it was put.")
    else:
        complain("The log is broken.", f"  {verdict.fault}", f"It is whole up to event {verdict.events}.")
    tell(
        f"  Events  {verdict.events}, in {verdict.pushes} pushes",
        f"  Head    {verdict.head}, in the epoch {verdict.epoch}",
        f"  Link    {verdict.link.hex() or 'none yet'}",
        *_erased(verdict),
    )
    return verdict.fault is None and (receipt is None or _tell_receipt(verdict.receipt))


def _erased(verdict: Verdict) -> list[str]:
    if not verdict.persons:
        return []
    return [f"  Erased  {verdict.persons} persons, from {verdict.erased} events: of these the rest is not proven"]


def _tell_receipt(held: HeldReceipt | None) -> bool:
    if held is None:
        complain("The log does not hold the push of this receipt.")
        return False
    tell(f"The receipt is for the events {held.first} to {held.last}, taken at {iso_ms(held.received_at)}.")
    return held.is_proven


def _tell_replay(found: Replay) -> bool:
    if found.is_right:
        tell(f"Folded anew, the {found.folded} events give the {found.into} entities that stand.")
        return True
    complain(f"Folded anew, the {found.folded} events give something else than what stands.")
    for what, names in [
        ("entities that stand otherwise", found.entities),
        ("events with another outcome", found.outcomes),
        ("events that are noted under other entities than they speak of", [f"event {seq}" for seq in found.mentions]),
        ("forms with another number of entities", found.counts),
    ]:
        _complain_of(what, names)
    return False


def _complain_of(what: str, names: list[str]) -> None:
    if names:
        more = f", and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
        complain(f"  {len(names)} {what}: {', '.join(names[:_MOST_SHOWN])}{more}")
